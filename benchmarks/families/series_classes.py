"""`sequence` on labelled series beside scikit-learn on summaries of them: the same test rows, in five languages.

The clips of `benchmarks.families.audio` as series of unequal length: a step is 20 ms, and its values are the energies of four
bands. It is one voice a language, so which voice it is tells the class, too; split by prompt. Five split seeds; each side's
configuration is chosen on validation, then fitted on training and validation, and judged once on test. Run as
`python -m benchmarks.families.series_classes`.
"""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.families import audio, media
from benchmarks.families.media import SEEDS, Scored
from tests.unit.trainers.stored import store
from trainers.configs import SequenceConfig
from trainers.contract import Dataset
from trainers.data import files

STEP_S = 0.02
BANDS_HZ = (100, 400, 1000, 2000, 4000)
CONFIGS = tuple(
    SequenceConfig(architecture=architecture, epochs=40, depth=2, learning_rate=0.01)
    for architecture in ("gru", "tcn", "transformer")
)
MACHINES = (
    HistGradientBoostingClassifier,
    *(lambda c=c: make_pipeline(StandardScaler(), SVC(C=c)) for c in (1, 10, 100)),
)


def main() -> None:
    torch.set_num_threads(1)
    clips = [(prompt, language) for prompt in audio.spoken_prompts() for language in audio.VOICES]
    dataset = _dataset(_energies(clips))
    # series are in the order of their names
    prompts = np.array([name.split()[0] for name in sorted(f"{prompt} {language}" for prompt, language in clips)])
    features = summaries(dataset)
    print(f"{len(dataset.y)} series of up to {dataset.x.shape[1]} steps", flush=True)
    found: dict[str, list[Scored]] = {}
    for seed in SEEDS:
        rows = audio.rows_of(prompts, seed)
        found.setdefault("summaries + scikit-learn", []).append(media.library(features, dataset.y, rows, MACHINES))
        found.setdefault("sequence", []).append(media.ours(dataset, rows, CONFIGS))
        print(f"split {seed}: {', '.join(f'{key} {each[-1].accuracy:.4f}' for key, each in found.items())}", flush=True)
    print(media.table(found), flush=True)


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
        tables.append(table.assign(series=f"{prompt} {language}", step=np.arange(len(table)), language=language))
    return pd.concat(tables)


def _dataset(table: pd.DataFrame) -> Dataset:
    with tempfile.TemporaryDirectory() as scratch:
        given = {"data.csv": table.to_csv(index=False)}
        said = {"time": "step", "series": "series", "target": "language"}
        return files.load(store(Path(scratch, "set"), given, **said), "languages")


if __name__ == "__main__":
    main()
