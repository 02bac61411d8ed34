"""Which interactions train, validate and test: of each user the last ones are held out; needs numpy only.

Without a time the order is drawn, seeded by splitmix64 as in `trainers.data.split`. The parts have as many rows as there, so
that their sizes are known without a row. Of a user with n interactions about n times the share is held out, and the first
one last of all: who is to be recommended something has, as a rule, something to go by in training.
"""

from __future__ import annotations

import numpy as np

from trainers.contract import Dataset
from trainers.data import split
from trainers.data.info import TIME, USER, Column, of_role
from trainers.data.split import Splits


def splits(dataset: Dataset, *, validation: float, test: float, folds: int, repeats: int, seed: int) -> Splits:
    """Splits interactions; the arguments are those of `split.splits`.

    Raises:
        ValueError: where a part would be empty, or folds are asked for and a time says what comes after what.
    """
    given = {name: np.sort(rows) for name, rows in (dataset.part_rows or {}).items()}
    refuse_folds(dataset.columns, folds * repeats)
    expected = split.sizes(
        len(dataset.y),
        validation=validation,
        test=test,
        folds=folds,
        repeats=repeats,
        parts={name: len(rows) for name, rows in given.items()} or None,
    )
    everything = given.get("train", np.arange(len(dataset.y)))
    test_rows = given.get("test", _last(dataset, everything, expected.test, seed, stream=0))
    others = np.setdiff1d(everything, test_rows)
    if "validation" in given:
        return Splits(test_rows, ((others, given["validation"]),))
    pairs = []
    for repeat in range(repeats):
        if folds == 1:
            parts = [_last(dataset, others, expected.folds[0][1], seed, stream=repeat + 1)]
        else:
            keys = split.random_keys(len(dataset.y), seed, stream=repeat + 1)
            dealt = others[np.lexsort((keys[others], _users(dataset)[others]))]  # each user's rows go to all folds
            parts = [np.sort(dealt[fold::folds]) for fold in range(folds)]
        pairs += [(np.setdiff1d(others, part), part) for part in parts]
    return Splits(test_rows, tuple(pairs))


def refuse_folds(columns: tuple[Column, ...], rounds: int) -> None:
    """Refuses folds and repeats where there is a time: they would train on what came later, or be all the same.

    Raises:
        ValueError: with the cure.
    """
    if rounds > 1 and of_role(columns, TIME):
        raise ValueError("the last interactions by time are the same in every round: set folds and repeats to 1")


def _users(dataset: Dataset) -> np.ndarray:
    return dataset.x[:, of_role(dataset.columns, USER)[0]].astype(np.int64)


def _last(dataset: Dataset, rows: np.ndarray, size: int, seed: int, stream: int) -> np.ndarray:
    """The `size` rows that stand nearest to the end of their user's, by the share of the user's rows up to there."""
    keys = split.random_keys(len(dataset.y), seed, stream)[rows]
    users = _users(dataset)[rows]
    times = of_role(dataset.columns, TIME)
    when = dataset.x[rows, times[0]] if times else np.zeros(len(rows))
    order = np.lexsort((keys, -when, users))  # user after user, each from the last interaction to the first
    counts = np.bincount(users)[users[order]]
    starts = np.flatnonzero(np.diff(users[order], prepend=-1))
    place = np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))
    nearest = np.lexsort((keys[order], (place + 1) / counts))[:size]
    return np.sort(rows[order[nearest]])
