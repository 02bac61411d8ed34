"""`image-resnet` and `image-cnn` beside k-nearest neighbours and SVC: scikit-learn's digits as PNG files, the same test rows.

Five split seeds. Each side's configuration is chosen on validation, then fitted on training and validation, and judged once on
test. Run as `python -m benchmarks.families.image`.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import torch
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from benchmarks.families import media
from benchmarks.families.media import SEEDS, Rows, Scored
from tests.unit.trainers.stored import store
from tests.zipped import digits, packed
from trainers.configs import ImageCnnConfig
from trainers.contract import Dataset
from trainers.data import files
from trainers.data.split import splits
from trainers.media_configs import ImageResnetConfig

CONFIGS = (
    ImageCnnConfig(width=16, epochs=10, augmentation="light"),
    ImageResnetConfig(width=16, depth=1, epochs=8),
    ImageResnetConfig(width=16, depth=1, epochs=8, augmentation="light"),
)
NEIGHBOURS = [partial(KNeighborsClassifier, k) for k in (1, 3, 5, 9)]
MACHINES = [partial(SVC, C=c) for c in (1, 10, 100)]


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        dataset = files.load(store(Path(folder, "set"), {"data.zip": packed(digits())}), "digits")
    pixels = dataset.x.reshape(len(dataset.y), -1) / 255
    print(
        f"{len(dataset.y)} images of {dataset.x.shape[1:]} in {len(dataset.class_names)} classes, {len(SEEDS)} splits"
    )
    found: dict[str, list[Scored]] = {}
    for seed in SEEDS:
        rows = _rows(dataset, seed)
        found.setdefault("k-nearest neighbours", []).append(media.library(pixels, dataset.y, rows, NEIGHBOURS))
        found.setdefault("SVC", []).append(media.library(pixels, dataset.y, rows, MACHINES))
        found.setdefault("image-resnet or image-cnn", []).append(media.ours(dataset, rows, CONFIGS))
        print(
            f"split {seed}: {', '.join(f'{name} {each[-1].accuracy:.4f}' for name, each in found.items())}", flush=True
        )
    print(media.table(found))


def _rows(dataset: Dataset, seed: int) -> Rows:
    made = splits(dataset.y, dataset.task, validation=0.2, test=0.2, folds=1, repeats=1, seed=seed)
    return *made.folds[0], made.test_rows


if __name__ == "__main__":
    main()
