"""Which rows train, validate and test where rows of one group stay together, as those of one patient.

scikit-learn's StratifiedGroupKFold deals the groups, so that each part has the classes in shares as like as whole groups
allow. It draws nothing itself: chance is in the order in which it is given the groups, which is the same on any machine.
"""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from trainers.contract import Task
from trainers.data.split import Splits, random_keys, refuse_impossible

FINEST = 20  # equal pieces out of which a held-out part is made, to come near its share
MOST_SETS = 1000  # more groups are dealt into so many sets, since dealing takes time by their number


def splits(
    y: np.ndarray,
    task: Task,
    groups: np.ndarray,
    *,
    validation: float,
    test: float,
    folds: int,
    repeats: int,
    seed: int,
) -> Splits:
    """Splits rows by groups; as with `trainers.data.split.splits`, the test part depends on its share and the seed alone.

    Args:
        y: `(rows,)` class indices, or targets.
        task: classification is stratified as far as whole groups allow, regression by numbers of rows alone.
        groups: `(rows,)` int64; no number is on both sides of any split.
        validation: share of all rows that validate, as nearly as whole groups allow; used with one fold only.
        test: share of all rows kept for the end, the same way.
        folds: 1 holds out `validation`; more is cross-validation on the groups that do not test.
        repeats: how often that is done, each time dealt anew.
        seed: same seed, same rows.

    Raises:
        ValueError: where there are too few groups.
    """
    refuse_impossible(validation, test, folds, repeats, {})
    _refuse_few(groups, test, folds)
    classes = y.astype(np.int64) if task == "classification" else np.zeros(len(y), np.int64)
    rows = np.arange(len(y))
    kept_back = max(2, folds)  # groups without which there could be no split of the rest
    test_rows = _held_out(rows, classes, groups, test, kept_back, seed, stream=0) if test > 0 else rows[:0]
    others = np.setdiff1d(rows, test_rows)
    pairs = []
    for stream in range(1, repeats + 1):
        if folds == 1:
            share = validation * len(rows) / len(others)
            parts = [_held_out(others, classes, groups, share, 1, seed, stream)]
        else:
            parts = _dealt(others, classes, groups, folds, seed, stream)
        pairs += [(np.setdiff1d(others, part), part) for part in parts]
    return Splits(test_rows, tuple(pairs))


def _refuse_few(groups: np.ndarray, test: float, folds: int) -> None:
    there, needed = len(np.unique(groups)), max(2, folds) + (test > 0)
    if there < needed:
        purpose = f"{folds} folds" if folds > 1 else "a training and a validation part"
        cure = "use fewer folds, set test to 0, or split by another column"
        raise ValueError(
            f"{there} groups are too few for {purpose}{' beside a test part' if test > 0 else ''}, which need {needed}: {cure}"
        )


def _held_out(
    rows: np.ndarray, classes: np.ndarray, groups: np.ndarray, share: float, kept_back: int, seed: int, stream: int
) -> np.ndarray:
    """About a share of `rows`, in whole groups; at least `kept_back` groups stay behind."""
    numbers = groups[rows]
    finest = min(FINEST, len(np.unique(numbers)), int(np.bincount(classes[rows]).max()))
    if finest < 2:
        raise ValueError(f"{len(rows)} rows are too few to hold some out: give more, or set test to 0")
    fraction = Fraction(share).limit_denominator(finest)
    if not 0 < fraction < 1:
        fraction = Fraction(1 if fraction <= 0 else finest - 1, finest)
    pieces = _dealt(rows, classes, groups, fraction.denominator, seed, stream)
    # a piece that is one huge group comes last: the others are nearer to what was asked for
    pieces.sort(key=lambda piece: abs(len(piece) - len(rows) / fraction.denominator))
    while True:
        held = np.sort(np.concatenate(pieces[: fraction.numerator]))
        if len(np.unique(np.delete(numbers, np.searchsorted(rows, held)))) >= kept_back:
            return held
        if fraction.numerator == 1:
            raise ValueError("too few groups are left beside what is held out: lower the shares, or use fewer folds")
        fraction = Fraction(fraction.numerator - 1, len(pieces))


def _dealt(
    rows: np.ndarray, classes: np.ndarray, groups: np.ndarray, parts: int, seed: int, stream: int
) -> list[np.ndarray]:
    """Deals `rows` into so many parts, each of whole groups."""
    there, members = np.unique(groups[rows], return_inverse=True)
    places = np.argsort(np.argsort(random_keys(len(there), seed, stream), kind="stable"), kind="stable")
    sets = places[members] % max(MOST_SETS, parts)
    dealer = StratifiedGroupKFold(parts)
    with warnings.catch_warnings():
        # of a class with fewer rows than parts; `trainers.data.parts` refuses what cannot be learned from
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        return [rows[held] for _, held in dealer.split(members[:, None], classes[rows], sets)]
