"""Series of unequal length as one array, and that array as a network takes it: steps side by side, gaps filled and flagged.

Owns the arithmetic for labelled series, in training and in exported models, into which this file is copied: it imports numpy
alone. A value that is missing is the last one before it in its series, or where there is none the mean of training; columns that
lacked values in training also tell the network where. Of a long series the last steps are read.
"""

from __future__ import annotations

from typing import Any

import numpy as np

LONGEST = 4096  # steps of a series that are kept: its last ones
FARTHEST = 1e6  # deviations
VALUES_AT_ONCE = 2**18  # 2 MiB, several times over


def laid_out(series: np.ndarray, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The rows of a table, each a step, as one row a series.

    Args:
        series: `(rows,)` which one, from 0; every number up to the greatest occurs.
        times: `(rows,)`; steps of one time stay in the order of the rows.
        values: `(rows, columns)`, NaN where one is missing.

    Returns:
        `(series, steps, columns)`, NaN behind the end of the shorter ones.
    """
    order = np.lexsort((times, series))
    counts = np.bincount(series)
    steps = min(int(counts.max()), LONGEST)
    begins = np.cumsum(counts) - counts + np.maximum(counts - steps, 0)
    places = np.arange(len(series)) - np.repeat(begins, counts)
    kept = places >= 0
    laid = np.full((len(counts), steps, values.shape[1]), np.nan)
    laid[series[order][kept], places[kept]] = values[order][kept]
    return laid


def lengths(x: np.ndarray) -> np.ndarray:
    """Steps `(series,)` up to the last one that has a value; 1 at least."""
    there = ~np.isnan(x).all(axis=2)
    last: np.ndarray = np.where(there.any(axis=1), x.shape[1] - np.argmax(there[:, ::-1], axis=1), 1)
    return last


def network_input(preprocessing: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """What a network is given of each step: values in deviations, 1 for each that was missing, and 1 where there is a step.

    Args:
        preprocessing: of `trainers.series_preprocessing`, with `steps`, and by column `mean`, `scale` and which are `flagged`.
        x: of `laid_out`.

    Returns:
        float32 `(series, steps, columns + flagged + 1)`.
    """
    shape = (len(x), preprocessing["steps"], x.shape[2] + len(preprocessing["flagged"]) + 1)
    made = np.empty(shape, np.float32)
    at_once = max(1, VALUES_AT_ONCE // max(1, x.shape[1] * x.shape[2]))
    for start in range(0, len(x), at_once):
        made[start : start + at_once] = _told(preprocessing, x[start : start + at_once])
    return made


def _told(preprocessing: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """The same of a few series: each is laid out several times on the way."""
    steps, absent, there = preprocessing["steps"], np.isnan(x), lengths(x)
    with np.errstate(over="ignore"):  # what overflows is clipped
        known = np.clip((x - np.array(preprocessing["mean"])) / np.array(preprocessing["scale"]), -FARTHEST, FARTHEST)
    last = np.maximum.accumulate(np.where(absent, -1, np.arange(x.shape[1])[:, None]), axis=1)
    filled = np.where(last >= 0, np.take_along_axis(known, np.maximum(last, 0), axis=1), 0.0)
    told = np.concatenate([filled, absent[:, :, preprocessing["flagged"]]], axis=2)
    places = np.arange(steps) + np.maximum(there - steps, 0)[:, None]
    is_step = (places < there[:, None])[:, :, None]
    read = np.take_along_axis(told, np.minimum(places, x.shape[1] - 1)[:, :, None], axis=1)
    return np.concatenate([np.where(is_step, read, 0.0), is_step], axis=2)
