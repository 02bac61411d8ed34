"""Which rows train, validate and test where nothing is learned from the future: by time, with rolling-origin folds.

Nothing is drawn. Rows of one moment stay together, so that every row of a part is later than every row before it. A row that
lasts, as a series does, belongs where it begins, and to no part if a later part begins before it has ended.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from trainers.data.split import Splits, refuse_impossible

SHORTER = "cut series into shorter ones, as those that end when a later part has begun are left out"


def splits(
    times: np.ndarray, *, validation: float, test: float, folds: int, repeats: int, ends: np.ndarray | None = None
) -> Splits:
    """Splits rows by time: the last are the test part, and each validation part comes after what is trained on.

    With k folds the rows before the test part are cut into k + 1 pieces of nearly as many rows; fold i trains on the
    first i and validates on the next (rolling origin: Tashman 2000, "Out-of-sample tests of forecasting accuracy").

    Args:
        times: `(rows,)` finite numbers, later is greater.
        validation: share of all rows that validate, as nearly as whole moments allow; used with one fold only.
        test: share of all rows kept for the end, the same way.
        folds: 1 holds out `validation`; more is rolling origin.
        repeats: how often all of that is given: time has one order, so they are the same rows.
        ends: `(rows,)` when each row that lasts ends, and `times` is then when it begins.

    Raises:
        ValueError: where there are too few different times, or too few rows end before the next part begins.
    """
    refuse_impossible(validation, test, folds, repeats, {})
    order = np.argsort(times, kind="stable")
    _, starts = np.unique(times[order], return_index=True)
    searched = 1 - test
    if folds == 1:
        shares = [searched - validation, searched]
    else:
        shares = [searched * (piece + 1) / (folds + 1) for piece in range(folds + 1)]
    possible = np.append(starts, len(times))
    cuts = [int(possible[np.argmin(np.abs(possible - share * len(times)))]) for share in shares]
    if len({0, *cuts, len(times)}) < len(cuts) + 1 + (test > 0) or cuts != sorted(cuts):
        needed = f"{folds} folds" if folds > 1 else "a training and a validation part"
        raise ValueError(
            f"{len(starts)} different times are too few, or one has too many rows, for {needed}"
            f"{' beside a test part' if test > 0 else ''}: use fewer folds, other shares, or a finer time"
        )
    test_rows = np.sort(order[cuts[-1] :])
    pairs = [(np.sort(order[:begin]), np.sort(order[begin:end])) for begin, end in pairwise(cuts)]
    if ends is not None:
        pairs = [
            (_ended(train, ends, _begin(held, times)), _ended(held, ends, _begin(test_rows, times)))
            for train, held in pairs
        ]
    return Splits(test_rows, tuple(pairs) * repeats)


def _begin(rows: np.ndarray, times: np.ndarray) -> float:
    return float(times[rows].min()) if len(rows) else np.inf


def _ended(rows: np.ndarray, ends: np.ndarray, next_begins: float) -> np.ndarray:
    """Those of a part's rows that have ended before the next part begins."""
    kept: np.ndarray = rows[ends[rows] < next_begins]
    if not len(kept):
        detail = f"each of the {len(rows)} series of a part has steps from when on the next part begins"
        raise ValueError(f"{detail}: {SHORTER}; or use fewer folds or other shares, or leave time out")
    return kept
