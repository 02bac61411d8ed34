"""Which rows train, validate and test: leak-free, seeded, stratified; needs numpy only.

The test part depends on the seed and its own share alone, so changing folds or repeats never moves a row into or
out of it. Rows are shuffled by splitmix64 and not by numpy's generators, whose streams may change between versions:
the machine that scores the test part must find the very rows that another left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainers.contract import Task


@dataclass(frozen=True)
class Splits:
    """Row indices, ascending and int64.

    Attributes:
        test_rows: never in any fold; empty for a test share of 0.
        folds: `(train_rows, validation_rows)` each; repeat 0's folds first.
    """

    test_rows: np.ndarray
    folds: tuple[tuple[np.ndarray, np.ndarray], ...]


@dataclass(frozen=True)
class SplitSizes:
    """Row counts: of the test part, and `(train, validation)` of each fold."""

    test: int
    folds: tuple[tuple[int, int], ...]


def splits(y: np.ndarray, task: Task, *, validation: float, test: float, folds: int, repeats: int, seed: int) -> Splits:
    """Splits a data set's rows; for classification each part has the classes in the same shares, to a row.

    Args:
        y: `(rows,)` class indices, or targets.
        task: classification is stratified, regression shuffled.
        validation: share of all rows that validate, 0 to 1 exclusive; used with one fold only.
        test: share of all rows kept for the end, 0 inclusive to 1 exclusive.
        folds: 1 holds out `validation`; more is cross-validation on the rows that do not test.
        repeats: how often that is done, each time shuffled anew.
        seed: same seed, same rows.

    Raises:
        ValueError: where a part would be empty, or a class has too few rows to be in every part.
    """
    expected = sizes(len(y), validation=validation, test=test, folds=folds, repeats=repeats)
    classes = y.astype(np.int64) if task == "classification" else np.zeros(len(y), np.int64)
    everything = np.arange(len(y))
    if expected.test > 0:
        _refuse_small_classes(classes, task, 3, "a test part and two more")
    # two of each class stay behind, not one per fold: the number of folds must not move the test part
    test_rows = _sample(everything, classes, expected.test, 2, _keys(len(y), seed, stream=0))
    others = np.setdiff1d(everything, test_rows)
    _refuse_small_classes(classes[others], task, max(folds, 2), f"{folds} folds, the test part left out")
    pairs = []
    for repeat in range(repeats):
        keys = _keys(len(y), seed, stream=repeat + 1)
        if folds == 1:
            parts = [_sample(others, classes, expected.folds[0][1], 1, keys)]
        else:
            # dealt like cards, class after class: a class's rows differ by at most one between folds
            dealt = others[np.lexsort((keys[others], classes[others]))]
            parts = [np.sort(dealt[fold::folds]) for fold in range(folds)]
        pairs += [(np.setdiff1d(others, part), part) for part in parts]
    return Splits(test_rows, tuple(pairs))


def sizes(rows: int, *, validation: float, test: float, folds: int, repeats: int) -> SplitSizes:
    """The row counts that `splits` gives, from the number of rows alone.

    Raises:
        ValueError: where a part would be empty.
    """
    if folds < 1 or repeats < 1:
        raise ValueError(f"folds and repeats must be at least 1, not {folds} and {repeats}")
    if not 0 <= test < 1 or (folds == 1 and not 0 < validation < 1):
        raise ValueError(f"shares must be between 0 and 1: validation is {validation}, test is {test}")
    tests = _share(rows, test) if test > 0 else 0
    others = rows - tests
    # with folds, as cards that are dealt to so many players
    dealt = [(others - fold + folds - 1) // folds for fold in range(folds)]
    validations = dealt if folds > 1 else [_share(rows, validation)]
    if min(validations) < 1 or others - max(validations) < 1:
        raise ValueError(
            f"{rows} rows are too few for validation {validation}, test {test} and {folds} folds: a part would be empty"
        )
    return SplitSizes(tests, tuple((others - size, size) for size in validations) * repeats)


def _share(rows: int, share: float) -> int:
    """A share of rows, rounded half up, at least one."""
    return max(1, int(rows * share + 0.5))


def _refuse_small_classes(classes: np.ndarray, task: Task, needed: int, reason: str) -> None:
    if task != "classification":
        return
    for index, count in enumerate(np.bincount(classes)):
        if 0 < count < needed:
            raise ValueError(f"class {index} has {count} rows, but {reason} need at least {needed} of each class")


def _sample(rows: np.ndarray, classes: np.ndarray, size: int, kept: int, keys: np.ndarray) -> np.ndarray:
    """Draws `size` of `rows`, each class by its share; `kept` rows of each class stay behind."""
    if size == 0:
        return np.empty(0, np.int64)
    _, members, counts = np.unique(classes[rows], return_inverse=True, return_counts=True)
    quotas = _quotas(counts, size, kept)
    order = np.lexsort((keys[rows], members))
    starts = np.cumsum(counts) - counts
    drawn = [order[start : start + quota] for start, quota in zip(starts, quotas, strict=True)]
    return np.sort(rows[np.concatenate(drawn)])


def _quotas(counts: np.ndarray, size: int, kept: int) -> np.ndarray:
    """How many rows of each class make `size`: proportional, at least 1, leaving `kept` behind.

    Proportional by largest remainder (Hamilton's method); a class too small for its floor or cap hands the difference
    to the class that is then furthest from its share.
    """
    share = counts * (size / counts.sum())
    most = counts - kept
    if size > most.sum() or size < len(counts):
        raise ValueError(f"{size} rows cannot hold some of each of {len(counts)} classes and leave {kept} of each")
    quotas: np.ndarray = np.clip(np.floor(share).astype(np.int64), 1, most)
    while quotas.sum() < size:
        quotas[np.argmax(np.where(quotas < most, share - quotas, -np.inf))] += 1
    while quotas.sum() > size:
        quotas[np.argmax(np.where(quotas > 1, quotas - share, -np.inf))] -= 1
    return quotas


def _keys(rows: int, seed: int, stream: int) -> np.ndarray:
    """A random uint64 per row, `(rows,)`: sorting by them shuffles.

    splitmix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"), started from a state
    that was mixed of seed and stream.
    """
    start = _mixed(np.array([seed % 2**64], np.uint64) + _mixed(np.array([stream], np.uint64)))
    return _mixed(start + np.arange(rows, dtype=np.uint64))


def _mixed(state: np.ndarray) -> np.ndarray:
    z = (state + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = z ^ (z >> np.uint64(31))
    return mixed
