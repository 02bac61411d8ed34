"""How labelled series become a network's input: each column's mean and deviation over the training series' steps.

Owns what is fitted and what is invented; `trainers.data.steps` has the arithmetic, which exported models take along.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trainers.contract import Dataset
from trainers.data import steps
from trainers.data.cells import MISSING
from trainers.data.info import SERIES, TIME, VALUE, Column, of_role


@dataclass(frozen=True)
class Options:
    """What a config says of series: the most steps that are read of one."""

    max_steps: int


def fit(dataset: Dataset, rows: np.ndarray, options: Options) -> dict[str, Any]:
    """Fits the training series.

    Args:
        dataset: of the kind `labelled-series`.
        rows: the series to learn from.
        options: of the config.

    Returns:
        `steps` that are read; by column of values `columns` (with `optional`, as a value may be missing, and `required`,
        whether the whole column may not), `mean`, `scale`, and the least and greatest value `low` and `high`; `flagged`, the
        columns that lack values; `time` and `series`, the other columns, and `series_format`, how its names are written;
        `missing`, the words that stand for no value in text.
    """
    there = steps.lengths(dataset.x)[rows]
    of_steps = np.concatenate([dataset.x[row, :length] for row, length in zip(rows, there, strict=True)])
    (time,), (series,) = of_role(dataset.columns, TIME), of_role(dataset.columns, SERIES)
    fitted = [_statistics(column[~np.isnan(column)]) for column in of_steps.T]
    return {
        "steps": min(options.max_steps, int(there.max())),
        "columns": [
            _described(each, optional=True, required=each.missing == 0)
            for each in (dataset.columns[place] for place in of_role(dataset.columns, VALUE))
        ],
        "flagged": np.flatnonzero(np.isnan(of_steps).any(axis=0)).tolist(),
        "time": _described(dataset.columns[time], optional=False),
        "series": dataset.columns[series].name,
        "series_format": dataset.columns[series].format,
        "missing": sorted(MISSING),
        **{name: [each[name] for each in fitted] for name in ("mean", "scale", "low", "high")},
    }


def synthetic(preprocessing: dict[str, Any], rows: int) -> np.ndarray:
    """Invents series `(rows, steps, values)` of the fitted means and deviations; nobody's own."""
    random = np.random.default_rng(0)
    normal = random.standard_normal((rows, preprocessing["steps"], len(preprocessing["columns"])))
    scale, mean = np.array(preprocessing["scale"]), np.array(preprocessing["mean"])
    inside: np.ndarray = np.clip(normal * scale + mean, preprocessing["low"], preprocessing["high"])
    are_whole = [each["kind"] == "boolean" or each["format"] == "whole" for each in preprocessing["columns"]]
    return np.where(are_whole, np.round(inside), inside)


def _described(column: Column, **said: bool) -> dict[str, Any]:
    return {"name": column.name, "kind": column.kind, "format": column.format, **said}


def _statistics(values: np.ndarray) -> dict[str, float]:
    """Of the values of a column; one that is the same everywhere is only centred."""
    if not len(values):
        return {"mean": 0.0, "scale": 1.0, "low": 0.0, "high": 0.0}
    low, high = float(values.min()), float(values.max())
    if low == high:  # the deviation of equal values may be rounding noise
        return {"mean": low, "scale": 1.0, "low": low, "high": high}
    return {"mean": float(values.mean()), "scale": float(values.std()) or 1.0, "low": low, "high": high}
