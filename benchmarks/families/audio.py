"""`audio-classifier` beside MFCC + SVC: spoken prompts of Debian's asterisk-core-sounds packages, the same test rows.

The same numbers, letters and spelling words in five languages, two questions: which language it is, and which of the three kinds
of words. One speaker a language (English and Mexican Spanish are the same woman), so the first is also which speaker, and the
second is about voices that training has heard. Split by prompt: what is said in the test part is said in no other. Five split
seeds; each side's configuration is chosen on validation, then fitted on training and validation, and judged once on test. Run as
`python -m benchmarks.families.audio`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch
from scipy.fft import dct
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.families import media
from benchmarks.families.media import SEEDS, Rows, Scored
from tests.unit.trainers.stored import store
from tests.zipped import packed
from trainers import preprocessing
from trainers.contract import Dataset
from trainers.data import files
from trainers.media_configs import AudioClassifierConfig
from trainers.spectrograms import LogMel

SOUNDS = Path("/usr/share/asterisk/sounds")
VOICES = {
    "English": "en_US_f_Allison",
    "French": "fr_CA_f_June",
    "Spanish": "es_MX_f_Allison",
    "Italian": "it_IT_m_Carlo",
    "Russian": "ru_RU_f_IvrvoiceRU",
}
QUESTIONS = ("language", "kind of word")
KINDS = ("digits", "letters", "phonetic")
OF_EACH_KIND = 22  # prompts, the first by name
LONGEST_S = 1.5
COEFFICIENTS = 13
CONFIGS = tuple(
    AudioClassifierConfig(mels=40, width=8, depth=3, epochs=12, batch_size=16, augmentation=augmentation)
    for augmentation in ("none", "strong")
)
MACHINES = [partial(lambda c: make_pipeline(StandardScaler(), SVC(C=c)), c) for c in (1, 10, 100)]


def main(questions: Sequence[str] = QUESTIONS) -> None:
    torch.set_num_threads(1)
    prompts = spoken_prompts()
    for question in questions:
        dataset, groups = _dataset(prompts, question)
        print(
            f"{question}: {len(dataset.y)} clips of {len(prompts)} prompts, {', '.join(dataset.class_names)}",
            flush=True,
        )
        features = mfcc(dataset)
        found: dict[str, list[Scored]] = {}
        for seed in SEEDS:
            rows = rows_of(groups, seed)
            found.setdefault("MFCC + SVC", []).append(media.library(features, dataset.y, rows, MACHINES))
            found.setdefault("audio-classifier", []).append(media.ours(dataset, rows, CONFIGS))
            told = ", ".join(f"{name} {each[-1].accuracy:.4f}" for name, each in found.items())
            print(f"split {seed}: {told}", flush=True)
        print(media.table(found), flush=True)


def mfcc(dataset: Dataset) -> np.ndarray:
    """Mean and deviation over time of cepstral coefficients and of their differences, `(rows, 52)`.

    The cosine transform of the log-mel spectrogram: Davis and Mermelstein 1980, as for `trainers.spectrograms.mel_bank`.
    """
    assert dataset.media is not None
    log_mel = LogMel(dataset.media["sample_rate"], 40)
    samples = torch.from_numpy(preprocessing.apply({"kind": "audio"}, dataset.x))
    cepstra = dct(log_mel.log_power(samples).numpy(), axis=1, norm="ortho")[:, :COEFFICIENTS]
    made = []
    for cepstrum, frames in zip(cepstra, log_mel.frames(samples).tolist(), strict=True):
        heard = cepstrum[:, :frames]
        change = np.diff(heard, axis=1)
        made.append(np.concatenate([heard.mean(1), heard.std(1), change.mean(1), change.std(1)]))
    return np.stack(made)


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


def _dataset(prompts: list[str], question: str) -> tuple[Dataset, np.ndarray]:
    """The clips as an uploaded zip, and the prompt of each row."""
    clips = {}
    for prompt in prompts:
        for language, voice in VOICES.items():
            kind, _, name = prompt.partition("/")
            label, other = (language, kind) if question == "language" else (kind, language)
            clips[f"{label}/{other} {name}"] = ((SOUNDS / voice / prompt).read_bytes(), prompt)
    with tempfile.TemporaryDirectory() as folder:
        zipped = packed({name: content for name, (content, _) in clips.items()})
        dataset = files.load(store(Path(folder, "set"), {"data.zip": zipped}), question)
    # rows are in the order of their paths
    return dataset, np.array([clips[name][1] for name in sorted(clips, key=lambda path: path.split("/"))])


def rows_of(groups: np.ndarray, seed: int) -> Rows:
    everything = np.arange(len(groups))
    others, test = next(GroupShuffleSplit(1, test_size=0.2, random_state=seed).split(everything, groups=groups))
    inner = GroupShuffleSplit(1, test_size=0.25, random_state=seed).split(others, groups=groups[others])
    train, validation = next(inner)
    return others[train], others[validation], test


if __name__ == "__main__":
    main(sys.argv[1:] or QUESTIONS)
