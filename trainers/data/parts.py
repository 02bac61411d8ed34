"""The parts of any data set, split as its kind asks for; needs numpy only."""

from __future__ import annotations

from trainers.contract import Dataset
from trainers.data import interaction_split, split
from trainers.data.split import Splits


def of(dataset: Dataset, *, validation: float, test: float, folds: int, repeats: int, seed: int) -> Splits:
    """Splits a data set's rows; the shares are those of `split.splits`.

    Raises:
        ValueError: where a part would be empty, or the data cannot be split so.
    """
    shares = {"validation": validation, "test": test}
    if dataset.kind == "interactions":
        return interaction_split.splits(dataset, **shares, folds=folds, repeats=repeats, seed=seed)
    return split.splits(
        dataset.y, dataset.task, **shares, folds=folds, repeats=repeats, seed=seed, part_rows=dataset.part_rows
    )
