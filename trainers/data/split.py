"""Which rows train, validate and test: leak-free, seeded, stratified; needs numpy only.

Owns what a split is, and how one is made where any row may be on any side. `trainers.data.parts` chooses between this and
splits by groups or by time.

The test part depends on the seed and its own share alone, so changing folds or repeats never moves a row into or
out of it. Rows are shuffled by splitmix64 and not by numpy's generators, whose streams may change between versions:
the machine that scores the test part must find the very rows that another left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainers.contract import Task

KEPT_BY_TEST = 2  # rows of each class that the test part leaves, for training and validation
KEPT_BY_VALIDATION = 1  # rows of each class that a validation part leaves for training


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


def splits(
    y: np.ndarray,
    task: Task,
    *,
    validation: float,
    test: float,
    folds: int,
    repeats: int,
    seed: int,
    part_rows: Mapping[str, np.ndarray] | None = None,
) -> Splits:
    """Splits a data set's rows; for classification each part has the classes in the same shares, to a row.

    Args:
        y: `(rows,)` class indices, or targets.
        task: classification is stratified, regression shuffled.
        validation: share of all rows that validate, 0 to 1 exclusive; used with one fold only.
        test: share of all rows kept for the end, 0 inclusive to 1 exclusive.
        folds: 1 holds out `validation`; more is cross-validation on the rows that do not test.
        repeats: how often that is done, each time shuffled anew.
        seed: same seed, same rows.
        part_rows: where the data set brings parts of its own, the rows of `train` and of `validation` or `test`. These
            are taken as they are, and what is not given is split off `train`, whose rows are then all rows.

    Raises:
        ValueError: where a part would be empty, or a class has too few rows to be in every part.
    """
    given = {name: np.sort(rows) for name, rows in (part_rows or {}).items()}
    everything = given.get("train", np.arange(len(y)))
    classes = y.astype(np.int64) if task == "classification" else np.zeros(len(y), np.int64)
    expected = sizes(
        len(y),
        validation=validation,
        test=test,
        folds=folds,
        repeats=repeats,
        class_counts=np.bincount(classes[everything]).tolist() if task == "classification" else (),
        parts={name: len(rows) for name, rows in given.items()} or None,
    )
    if "test" in given:
        test_rows = given["test"]
    else:
        test_rows = _sample(everything, classes, expected.test, KEPT_BY_TEST, random_keys(len(y), seed, stream=0))
    others = np.setdiff1d(everything, test_rows)
    if "validation" in given:
        return Splits(test_rows, ((others, given["validation"]),))
    pairs = []
    for repeat in range(repeats):
        keys = random_keys(len(y), seed, stream=repeat + 1)
        if folds == 1:
            parts = [_sample(others, classes, expected.folds[0][1], KEPT_BY_VALIDATION, keys)]
        else:
            # dealt like cards, class after class: a class's rows differ by at most one between folds
            dealt = others[np.lexsort((keys[others], classes[others]))]
            parts = [np.sort(dealt[fold::folds]) for fold in range(folds)]
        pairs += [(np.setdiff1d(others, part), part) for part in parts]
    return Splits(test_rows, tuple(pairs))


def sizes(
    rows: int,
    *,
    validation: float,
    test: float,
    folds: int,
    repeats: int,
    class_counts: Sequence[int] = (),
    parts: Mapping[str, int] | None = None,
) -> SplitSizes:
    """The row counts that `splits` gives, without any row; refuses what `splits` refuses.

    Args:
        rows: of the whole data set.
        validation: as for `splits`, and so are `test`, `folds` and `repeats`.
        class_counts: rows per class, as `DatasetInfo` has them; empty for regression.
        parts: rows of the parts that the data set brings; None where it brings none.

    Raises:
        ValueError: where a part would be empty, or a class has too few rows to be in every part.
    """
    given = parts or {}
    refuse_impossible(validation, test, folds, repeats, given)
    pool = given.get("train", rows)
    drawn = _share(pool, test) if test > 0 and "test" not in given else 0
    others = pool - drawn
    if "validation" in given:
        validations, others = [given["validation"]], others + given["validation"]
    elif folds > 1:
        # as cards that are dealt to so many players
        validations = [(others - fold + folds - 1) // folds for fold in range(folds)]
    else:
        validations = [_share(pool, validation)]
    if min(validations) < 1 or others - max(validations) < 1:
        raise ValueError(
            f"{rows} rows are too few for validation {validation}, test {test} and {folds} folds: a part would be empty"
        )
    if class_counts:
        held = 0 if "validation" in given else validations[0]
        _refuse_small_classes(np.array(class_counts, np.int64), drawn, held, folds)
    return SplitSizes(given.get("test", drawn), tuple((others - size, size) for size in validations) * repeats)


def refuse_impossible(validation: float, test: float, folds: int, repeats: int, given: Mapping[str, int]) -> None:
    """Refuses numbers that no data set can be split by.

    Raises:
        ValueError: saying which, and what may be.
    """
    if folds < 1 or repeats < 1:
        raise ValueError(f"folds and repeats must be at least 1, not {folds} and {repeats}")
    if not 0 <= test < 1 or (folds == 1 and not 0 < validation < 1):
        raise ValueError(f"shares must be between 0 and 1: validation is {validation}, test is {test}")
    if "validation" in given and (folds > 1 or repeats > 1):
        raise ValueError("the data set brings its own validation part: set folds and repeats to 1, or leave them out")


def _refuse_small_classes(counts: np.ndarray, tests: int, held: int, folds: int) -> None:
    """Refuses what cannot be stratified: `tests` rows drawn for the test part, then `held` in each validation part."""
    where = ""
    if tests > 0:
        _refuse_fewer(counts, KEPT_BY_TEST + 1, "", "a test part and two more", "set test to 0")
        # two of each class stay behind, not one per fold: the number of folds must not move the test part
        used, counts, where = counts > 0, counts.copy(), " outside the test part"
        counts[used] -= _quotas(counts[used], tests, KEPT_BY_TEST)
    if folds > 1:
        _refuse_fewer(counts, folds, where, f"{folds} folds", "use fewer folds")
    elif held > 0:
        _refuse_fewer(counts, KEPT_BY_VALIDATION + 1, where, "a training and a validation part", "make test smaller")
        _quotas(counts[counts > 0], held, KEPT_BY_VALIDATION)


def _refuse_fewer(counts: np.ndarray, needed: int, where: str, purpose: str, cure: str) -> None:
    for index, count in enumerate(counts.tolist()):
        if 0 < count < needed:
            raise ValueError(
                f"class {index} has {count} rows{where}, but {purpose} need at least {needed} of each class: "
                f"{cure}, or give it more rows"
            )


def _share(rows: int, share: float) -> int:
    """A share of rows, rounded half up, at least one."""
    return max(1, int(rows * share + 0.5))


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
        raise ValueError(
            f"{size} rows cannot hold some of each of {len(counts)} classes and leave {kept} of each: change the shares"
        )
    quotas: np.ndarray = np.clip(np.floor(share).astype(np.int64), 1, most)
    while quotas.sum() < size:
        quotas[np.argmax(np.where(quotas < most, share - quotas, -np.inf))] += 1
    while quotas.sum() > size:
        quotas[np.argmax(np.where(quotas > 1, quotas - share, -np.inf))] -= 1
    return quotas


def random_keys(rows: int, seed: int, stream: int) -> np.ndarray:
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
