"""`python -m speech_commands.numbers OUT.zip`: numbers said aloud, as clips and their transcripts in one zip.

The words are the prompts of Debian's asterisk-core-sounds-en-wav, one recording of each by one speaker, put one behind the
other as Asterisk says a number, with pauses, speed, loudness and noise by chance. No number of the validation and the test part
is said in the training part; each of their words is.
"""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample

PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison/digits")
RATE = 8_000
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
FILES = {word: f"{i}.wav" for i, word in enumerate(SMALL)}
FILES |= {word: f"{10 * i}.wav" for i, word in enumerate(TENS, start=2)}
SILENT = 0.02  # of the loudest sample
HELD_OUT = 20  # numbers, for each of validation and test
TAKES = 4  # of each number that is learnt


def words(number: int) -> list[str]:
    """A number from 0 to 99 as it is said."""
    if number < 20:
        return [SMALL[number]]
    return [TENS[number // 10 - 2], *([SMALL[number % 10]] if number % 10 else [])]


def spoken(said: list[str], random: np.random.Generator) -> np.ndarray:
    """Samples of the words, one behind the other."""
    speed, pieces = random.uniform(0.9, 1.1), []
    for word in said:
        samples, _rate = soundfile.read(PROMPTS / FILES[word])
        loud = np.flatnonzero(np.abs(samples) > SILENT * np.abs(samples).max())
        trimmed = samples[loud[0] : loud[-1] + 1]
        pieces += [resample(trimmed, round(len(trimmed) / speed)), np.zeros(round(random.uniform(0, 0.1) * RATE))]
    whole = random.uniform(0.4, 1.2) * np.concatenate(pieces)
    return whole + random.uniform(0.0005, 0.003) * random.standard_normal(len(whole))


def clip(said: list[str], random: np.random.Generator) -> bytes:
    """A WAV file of the words."""
    written = io.BytesIO()
    soundfile.write(written, spoken(said, random), RATE, format="WAV", subtype="PCM_16")
    return written.getvalue()


def parts(random: np.random.Generator) -> dict[str, list[int]]:
    """Numbers of two words are held out; those of one word must be learnt."""
    numbers = [number for number in range(100) if len(words(number)) == 2]
    shuffled = random.permutation(numbers).tolist()
    held = {"validation": shuffled[:HELD_OUT], "test": shuffled[HELD_OUT : 2 * HELD_OUT]}
    return {"train": sorted({*range(100)} - {*shuffled[: 2 * HELD_OUT]}), **held}


def write(path: Path, seed: int = 0) -> None:
    """A zip with the folders `train`, `validation` and `test`, and `labels.csv`."""
    random = np.random.default_rng(seed)
    table = io.StringIO()
    labels = csv.writer(table)
    labels.writerow(["file", "label"])
    with zipfile.ZipFile(path, "w") as archive:
        for part, numbers in parts(random).items():
            for number in numbers:
                for take in range(TAKES if part == "train" else 1):
                    said, file = words(number), f"{part}/{number:02}-{take}.wav"
                    archive.writestr(file, clip(said, random))
                    labels.writerow([file, " ".join(said)])
        archive.writestr("labels.csv", table.getvalue())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
