"""Data sets in the training process's memory: loaded once, checked against the study's digest, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from trainers.contract import Dataset
from trainers.data import files, load
from tuner.worker.messages import Run

MAX_BYTES = 2**30
_loaded: OrderedDict[tuple[str, str | None], Dataset] = OrderedDict()


def of(run: Run) -> Dataset:
    """The data set of a run.

    Raises:
        ValueError: it is not the one that the study was made for.
    """
    attempt = run.attempt
    assert attempt.dataset is not None
    key = (attempt.dataset, run.data_folder)  # the folder's name is the digest of its files
    dataset = _loaded.pop(key, None) or _load(*key)
    if dataset.digest != attempt.dataset_digest:
        raise ValueError(
            f"{attempt.dataset} here has the digest {dataset.digest}, and the study wants {attempt.dataset_digest}: "
            "install the same versions of scikit-learn, pandas and pyarrow as the control plane"
        )
    _loaded[key] = dataset
    while len(_loaded) > 1 and sum(each.x.nbytes + each.y.nbytes for each in _loaded.values()) > MAX_BYTES:
        _loaded.popitem(last=False)
    return dataset


def _load(name: str, folder: str | None) -> Dataset:
    return load.load(name) if folder is None else files.load(Path(folder), name)
