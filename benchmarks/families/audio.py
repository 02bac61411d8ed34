"""`audio-classifier` beside MFCC + SVC: spoken prompts of Debian's asterisk-core-sounds packages.

The same numbers, letters and spelling words in five languages, two questions: which language it is, and which of the three kinds
of words. One speaker a language (English and Mexican Spanish are the same woman), so the first is also which speaker, and the
second is about voices that training has heard. Split by prompt, as the zip's own parts: what is said in the test part is said
in no other. Run as `python -m benchmarks.families.audio`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import torch
from scipy.fft import dct
from sklearn.model_selection import GroupShuffleSplit
from sklearn.preprocessing import StandardScaler

from benchmarks.families import problem, run
from benchmarks.families.image import classified
from benchmarks.families.problem import Candidate, Family, Problem, Scores, Usual
from tests.zipped import packed
from trainers import preprocessing
from trainers.contract import Dataset
from trainers.spectrograms import LogMel

SOUNDS = Path("/usr/share/asterisk/sounds")
VOICES = {
    "English": "en_US_f_Allison",
    "French": "fr_CA_f_June",
    "Spanish": "es_MX_f_Allison",
    "Italian": "it_IT_m_Carlo",
    "Russian": "ru_RU_f_IvrvoiceRU",
}
KINDS = {"digits": "number", "letters": "letter", "phonetic": "spelling word"}
OF_EACH_KIND = 22  # prompts, the first by name
LONGEST_S = 1.5
METRICS = ("accuracy", "log_loss")
PARTS = ("train", "validation", "test")


def problems(seed: int, folder: Path) -> Iterator[Problem]:
    for name in ("which language", "which kind of word"):
        zipped = packed(_clips(seed, by_language=name == "which language"))
        yield problem.uploaded(name, seed, METRICS, folder, {"data.zip": zipped})


def machines(given: Problem) -> list[Candidate]:
    default = {"coefficients": 13, "C": 1.0, "gamma": "scale"}
    strengths, widths = [1.0, 3.0, 10.0, 30.0, 100.0], ["scale", 0.003, 0.01, 0.03]
    return problem.grid(default, given.seed, coefficients=[13, 20], C=strengths, gamma=widths)


def by_machine(given: Problem, candidate: Candidate, learnt: np.ndarray, held: np.ndarray) -> Scores:
    """A support vector machine on standardised cepstra."""
    features = mfcc(given.dataset, candidate["coefficients"])
    scaled = StandardScaler().fit(features[learnt]).transform(features)
    of_svc = {name: value for name, value in candidate.items() if name != "coefficients"}
    return classified(scaled, given, of_svc, learnt, held)


def mfcc(dataset: Dataset, coefficients: int) -> np.ndarray:
    """Mean and deviation over time of cepstral coefficients and of their differences, `(rows, 4 * coefficients)`.

    The cosine transform of the log-mel spectrogram: Davis and Mermelstein 1980, as for `trainers.spectrograms.mel_bank`.
    """
    assert dataset.media is not None
    log_mel = LogMel(dataset.media["sample_rate"], 40)
    samples = torch.from_numpy(preprocessing.apply({"kind": "audio"}, dataset.x))
    cepstra = dct(log_mel.log_power(samples).numpy(), axis=1, norm="ortho")[:, :coefficients]
    made = []
    for cepstrum, frames in zip(cepstra, log_mel.frames(samples).tolist(), strict=True):
        heard = cepstrum[:, :frames]
        change = np.diff(heard, axis=1)
        made.append(np.concatenate([heard.mean(1), heard.std(1), change.mean(1), change.std(1)]))
    return np.stack(made)


def _clips(seed: int, *, by_language: bool) -> dict[str, bytes]:
    """Files in folders of their part and class."""
    part_of = _parts(seed)
    clips = {}
    for prompt in spoken_prompts():
        kind, _, name = prompt.partition("/")
        for language, voice in VOICES.items():
            label, other = (language, KINDS[kind]) if by_language else (KINDS[kind], language)
            clips[f"{part_of[prompt]}/{label}/{other} {name}"] = (SOUNDS / voice / prompt).read_bytes()
    return clips


def _parts(seed: int) -> dict[str, str]:
    """Of each prompt the part that it is in: three, one and one of five."""
    prompts = np.array(spoken_prompts())
    others, test = next(GroupShuffleSplit(1, test_size=0.2, random_state=seed).split(prompts, groups=prompts))
    inner = GroupShuffleSplit(1, test_size=0.25, random_state=seed).split(others, groups=prompts[others])
    train, validation = (others[rows] for rows in next(inner))
    rows_of = zip(PARTS, (train, validation, test), strict=True)
    return {prompt: part for part, rows in rows_of for prompt in prompts[rows].tolist()}


@cache
def spoken_prompts() -> list[str]:
    """Those that every voice speaks, and none at length."""
    shared = set.intersection(
        *(
            {f"{kind}/{file.name}" for kind in KINDS for file in (SOUNDS / voice / kind).glob("*.wav")}
            for voice in VOICES.values()
        )
    )
    short = [
        prompt
        for prompt in sorted(shared)
        if max(soundfile.info(SOUNDS / voice / prompt).duration for voice in VOICES.values()) <= LONGEST_S
    ]
    return [each for kind in KINDS for each in [p for p in short if p.startswith(kind)][:OF_EACH_KIND]]


FAMILY = Family(
    name="audio",
    trainer="audio-classifier",
    seconds=15,
    problems=problems,
    usual=(Usual(name="MFCC + SVC, tuned", candidates=machines, answer=by_machine),),
)

if __name__ == "__main__":
    run.main(FAMILY.name)
