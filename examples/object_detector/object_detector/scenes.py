"""`python -m object_detector.scenes OUT.zip`: images of handwritten digits with a box around each, in one zip.

The digits are scikit-learn's 1,797, written by people; the scenes are composed here: one to three digits of different sizes on a
dark ground with noise, none over another. Each digit is in one scene alone, so that those which are held out are new.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

SIDE = 48  # pixels of a scene
SIZES = (12, 20)  # pixels of a digit with its margin
INK = 60  # of 255: from there on a pixel is the digit's
MOST = 3  # digits


def scene(digits: list[np.ndarray], random: np.random.Generator) -> tuple[np.ndarray, list[list[int]]]:
    """Pixels `(SIDE, SIDE)`, and the box around each digit's ink: left, top, right, bottom; empty where there was no room."""
    pixels = np.zeros((SIDE, SIDE))
    boxes: list[list[int]] = []
    for digit in digits:
        size = int(random.integers(*SIZES))
        drawn = np.asarray(Image.fromarray(digit).resize((size, size), Image.Resampling.BICUBIC), float)
        for _ in range(50):
            top, left = random.integers(0, SIDE - size, 2)
            if not pixels[top : top + size, left : left + size].any():
                pixels[top : top + size, left : left + size] = np.maximum(drawn, 1)  # its margin is its own, too
                rows, columns = (np.flatnonzero((drawn > INK).any(axis=axis)) for axis in (1, 0))
                boxes.append([left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1])
                break
        else:
            boxes.append([])
    ground = random.uniform(0, 40) + random.normal(0, random.uniform(2, 12), pixels.shape)
    return np.maximum(pixels, ground).clip(0, 255).astype(np.uint8), boxes


def made(seed: int = 0) -> Iterator[tuple[bytes, str]]:
    """PNG files, each with its label, until the digits are used up: some 900."""
    random = np.random.default_rng(seed)
    found = load_digits()
    order = random.permutation(len(found.target)).tolist()
    while len(order) >= MOST:
        chosen = [order.pop() for _ in range(random.integers(1, MOST + 1))]
        pixels, boxes = scene([(found.images[each] * 255 / 16).astype(np.uint8) for each in chosen], random)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        label = [
            {"class": str(found.target[each]), "box": [round(float(side) / SIDE, 4) for side in box]}
            for each, box in zip(chosen, boxes, strict=True)
            if box
        ]
        yield file.getvalue(), json.dumps(label)


def write(path: Path, scenes: Iterable[tuple[bytes, str]]) -> None:
    """A zip of PNG files and `labels.csv`."""
    table = io.StringIO()
    labels = csv.writer(table)
    labels.writerow(["file", "label"])
    with zipfile.ZipFile(path, "w") as archive:
        for i, (file, label) in enumerate(scenes):
            archive.writestr(f"{i:04}.png", file)
            labels.writerow([f"{i:04}.png", label])
        archive.writestr("labels.csv", table.getvalue())


if __name__ == "__main__":
    write(Path(sys.argv[1]), made())
