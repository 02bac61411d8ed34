"""The parts of a data set as a study splits it: by groups, by time, or any row anywhere; and how large they are.

Owns the choice between these, and what every one of them must leave: classes to learn and to be judged by.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trainers.contract import Dataset
from trainers.data import interaction_split, split, split_groups, split_times
from trainers.data.info import TIME, of_role
from trainers.data.split import Splits


def of(dataset: Dataset, *, validation: float, test: float, folds: int, repeats: int, seed: int) -> Splits:
    """Splits a data set by its groups or its times where it has them, as `trainers.data.keys` attaches them.

    Args:
        dataset: to split.
        validation: share of all rows that validate; used with one fold only.
        test: share of all rows kept for the end; these depend on the data set, this share and the seed alone.
        folds: 1 holds out `validation`; more is cross-validation, or by time rolling origin.
        repeats: how often that is done.
        seed: same seed, same rows.

    Raises:
        ValueError: where the rows do not allow it.
    """
    shares: dict[str, Any] = {"validation": validation, "test": test, "folds": folds, "repeats": repeats}
    if dataset.kind == "interactions":
        return interaction_split.splits(dataset, **shares, seed=seed)
    if dataset.kind == "series":
        _refuse_other_times(dataset)
    if dataset.groups is None and dataset.times is None:
        return split.splits(dataset.y, dataset.task, **shares, seed=seed, part_rows=dataset.part_rows)
    if dataset.part_rows is not None:
        raise ValueError("the data set brings parts of its own: leave group and time out, or give it in one part")
    if dataset.groups is not None:
        made = split_groups.splits(dataset.y, dataset.task, dataset.groups, **shares, seed=seed)
        by = "the classes lie in too few groups: use fewer folds, another seed, or another column"
    else:
        assert dataset.times is not None
        made = split_times.splits(dataset.times, **shares, ends=dataset.ends)
        by = "the classes do not lie side by side in time: use fewer folds or other shares"
        by += "" if dataset.ends is None else f", or {split_times.SHORTER}"
    if dataset.task == "classification":
        _refuse_lacking(dataset, made, by)
    return made


def _refuse_other_times(dataset: Dataset) -> None:
    """Refuses to split series by anything but their own time: a window of the past would hold what is to be forecast."""
    own = of_role(dataset.columns, TIME)
    if dataset.groups is not None or (
        dataset.times is not None and not np.array_equal(dataset.times, dataset.x[:, own[0]])
    ):
        raise ValueError("series are split by the time that their data set names: leave group and time out")


def _refuse_lacking(dataset: Dataset, made: Splits, cure: str) -> None:
    """Refuses training parts that lack a class, and validation and test parts that have one alone."""
    there = len(np.unique(dataset.y))
    for fold, (train_rows, validation_rows) in enumerate(made.folds):
        where = f" of fold {fold}" if len(made.folds) > 1 else ""
        if (learned := len(np.unique(dataset.y[train_rows]))) < there:
            raise ValueError(f"the training part{where} has rows of {learned} of {there} classes, as {cure}")
        if len(np.unique(dataset.y[validation_rows])) < 2:
            raise ValueError(f"the validation part{where} has rows of one class alone, as {cure}")
    if len(made.test_rows) and len(np.unique(dataset.y[made.test_rows])) < 2:
        raise ValueError(f"the test part has rows of one class alone, as {cure}")


def sizes(dataset: Dataset, made: Splits) -> dict[str, Any]:
    """Plain JSON of how many rows each part has; by groups also how many groups, by time also where it begins."""
    folds = [
        {
            "train": len(train_rows),
            "validation": len(validation_rows),
            **_told(dataset, "train", train_rows, begins=False),
            **_told(dataset, "validation", validation_rows, begins=True),
        }
        for train_rows, validation_rows in made.folds
    ]
    return {"test": len(made.test_rows), **_told(dataset, "test", made.test_rows, begins=True), "folds": folds}


def _told(dataset: Dataset, part: str, rows: np.ndarray, *, begins: bool) -> dict[str, Any]:
    if dataset.groups is not None:
        return {f"{part}_groups": len(np.unique(dataset.groups[rows]))}
    if dataset.times is not None and begins and len(rows):
        return {f"{part}_from": float(dataset.times[rows].min())}
    return {}
