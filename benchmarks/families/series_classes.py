"""`sequence` on labelled series beside scikit-learn on summaries of them, in five languages.

The clips of `benchmarks.families.audio` as series of unequal length: a step is 20 ms, and its values are the energies of four
bands. It is one voice a language, so which voice it is tells the class, too; split by prompt. Run as
`python -m benchmarks.families.series_classes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import StandardScaler

from benchmarks.families import audio, problem, run
from benchmarks.families.image import classified
from benchmarks.families.problem import Candidate, Family, Problem, Scores, Usual
from trainers import scoring
from trainers.contract import Dataset

STEP_S = 0.02
BANDS_HZ = (100, 400, 1000, 2000, 4000)
METRICS = ("accuracy", "log_loss")


def problems(seed: int, folder: Path) -> Iterator[Problem]:
    content = {"data.csv": _table()}
    said = {"time": "step", "series": "series", "target": "language"}
    yield problem.uploaded("languages", seed, METRICS, folder, content, group="prompt", **said)


def machines(given: Problem) -> list[Candidate]:
    strengths = [1.0, 3.0, 10.0, 30.0, 100.0]
    return problem.grid({"C": 1.0, "gamma": "scale"}, given.seed, C=strengths, gamma=["scale", 0.003, 0.01, 0.03])


def by_machine(given: Problem, candidate: Candidate, learnt: np.ndarray, held: np.ndarray) -> Scores:
    features = summaries(given.dataset)
    scaled = StandardScaler().fit(features[learnt]).transform(features)
    return classified(scaled, given, candidate, learnt, held)


def boostings(given: Problem) -> list[Candidate]:
    rates, leaves = [0.03, 0.1, 0.3], [4, 8, 15, 31]
    return problem.grid({}, given.seed, learning_rate=rates, max_leaf_nodes=leaves, min_samples_leaf=[5, 20])


def by_boosting(given: Problem, candidate: Candidate, learnt: np.ndarray, held: np.ndarray) -> Scores:
    features, y = summaries(given.dataset), given.dataset.y
    model = HistGradientBoostingClassifier(random_state=0, **candidate).fit(features[learnt], y[learnt])
    return scoring.MEASURES["classification"](y[held], model.predict_proba(features[held]))


def summaries(dataset: Dataset) -> np.ndarray:
    """Of each value and of its changes: mean, deviation, ends and quartiles over the steps; and how many steps there are."""
    made = []
    for row in dataset.x:
        course = row[~np.isnan(row).all(axis=1)]
        told = [len(course)]
        for each in (course, np.diff(course, axis=0)):
            told += [each.mean(axis=0), each.std(axis=0), *np.percentile(each, [0, 25, 50, 75, 100], axis=0)]
        made.append(np.hstack(told))
    return np.stack(made)


@cache
def _table() -> str:
    clips = [(prompt, language) for prompt in audio.spoken_prompts() for language in audio.VOICES]
    table: str = _energies(clips).to_csv(index=False)
    return table


def _energies(clips: list[tuple[str, str]]) -> pd.DataFrame:
    """A row a step: the logarithm of the energy in each band."""
    tables = []
    for prompt, language in clips:
        samples, rate = soundfile.read(audio.SOUNDS / audio.VOICES[language] / prompt)
        length = round(STEP_S * rate)
        frames = samples[: len(samples) // length * length].reshape(-1, length)
        power = np.abs(np.fft.rfft(frames * np.hanning(length))) ** 2
        edges = np.searchsorted(np.fft.rfftfreq(length, 1 / rate), BANDS_HZ)
        bands = [power[:, low:high].sum(axis=1) for low, high in pairwise(edges)]
        table = pd.DataFrame({f"band{i}": np.log(band + 1e-8) for i, band in enumerate(bands)})
        tables.append(
            table.assign(series=f"{prompt} {language}", step=np.arange(len(table)), language=language, prompt=prompt)
        )
    return pd.concat(tables)


FAMILY = Family(
    name="series_classes",
    trainer="sequence",
    seconds=10,
    problems=problems,
    usual=(
        Usual(name="summaries + SVC, tuned", candidates=machines, answer=by_machine),
        Usual(name="summaries + HistGradientBoosting, tuned", candidates=boostings, answer=by_boosting),
    ),
)

if __name__ == "__main__":
    run.main(FAMILY.name)
