"""Data sets in the training process's memory: loaded once, checked against the study's digest, bounded in bytes.

Owns also how the last study's rows are split, which by groups takes longer than a short trial.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainers.contract import Dataset
from trainers.data import files, keys, load, parts
from trainers.data.digest import digest
from trainers.data.split import Splits
from tuner.wire_attempts import ClaimedAttempt
from tuner.worker.messages import Run

MAX_BYTES = 2**30
NONE = np.empty(0)


@dataclass(frozen=True)
class _Kept:
    """A data set, and what it takes of memory."""

    dataset: Dataset
    bytes: int


_loaded: OrderedDict[tuple[str | None, ...], _Kept] = OrderedDict()
_split: dict[tuple[object, ...], Splits] = {}  # the last one


def of(run: Run) -> Dataset:
    """The data set of a run.

    Raises:
        ValueError: it is not the one that the study was made for.
    """
    attempt = run.attempt
    assert attempt.dataset is not None
    # the folder's name is the digest of its files
    key = (attempt.dataset, run.data_folder, attempt.group, attempt.time)
    kept = _loaded.pop(key, None) or _load(attempt.dataset, run.data_folder, attempt.group, attempt.time)
    dataset = kept.dataset
    if dataset.digest != attempt.dataset_digest:
        raise ValueError(
            f"{attempt.dataset} here has the digest {dataset.digest}, and the study wants {attempt.dataset_digest}: "
            "install the same versions of scikit-learn, pandas and pyarrow as the control plane"
        )
    _loaded[key] = kept
    while len(_loaded) > 1 and sum(each.bytes for each in _loaded.values()) > MAX_BYTES:
        _loaded.popitem(last=False)
    return dataset


def _load(name: str, data_folder: str | None, group: str | None, time: str | None) -> _Kept:
    folder = None if data_folder is None else Path(data_folder)
    dataset = load.load(name) if folder is None else files.load(folder, name)
    dataset = keys.attach(dataset, folder, group=group, time=time)
    return _Kept(dataset, _bytes(dataset.x) + _bytes(dataset.y))


def _bytes(array: np.ndarray) -> int:
    """Of an array, with its texts where it holds such."""
    return array.nbytes + (sum(map(sys.getsizeof, array)) if array.dtype.hasobject else 0)


def split_of(attempt: ClaimedAttempt, dataset: Dataset) -> Splits:
    """The rows of every part of a run's data set.

    Raises:
        ValueError: where the rows do not allow it.
    """
    shares: dict[str, Any] = {
        "validation": attempt.validation,
        "test": attempt.test,
        "folds": attempt.folds,
        "repeats": attempt.repeats,
    }
    # a version whose groups alone were mended has the same x and y, and so the same digest
    known = digest(NONE if dataset.groups is None else dataset.groups, NONE if dataset.times is None else dataset.times)
    key = (dataset.digest, known, attempt.split_seed, *shares.values())
    if key not in _split:
        made = parts.of(dataset, **shares, seed=attempt.split_seed)
        _split.clear()
        _split[key] = made
    return _split[key]
