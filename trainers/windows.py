"""Series as windows: what a network sees of the past, and the values after it that it is to forecast.

Of further columns the network sees the same steps of the past, in deviations over training; where a value is missing, it is the
last one before it in its series, or 0.

Owns the arithmetic, which `trainers.exported_sequence` repeats: of a window the last value is taken away, and what is left is
divided by the deviation of its series in training (of a new series: of all of training). So trends do not leave the range that
training had, and a network that says 0 says that the last value stays. A series that stays the same in training is divided
as a new one is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trainers.contract import Dataset, Part
from trainers.data.cells import MISSING
from trainers.data.info import SERIES, TARGET, TIME, VALUE, Column, of_role
from trainers.data.on_device import OnDevice

FARTHEST = 1e6  # deviations of a further column


@dataclass(frozen=True)
class Windows(OnDevice):
    """A split of series: x is `(windows, columns * window + 1)`, y `(windows, horizon)`.

    A row of x is the past of the target, that of each further column, and the series' index (0: a new one).

    Attributes:
        last: of validation's windows the last value `(windows,)`.
        scales: and the deviation.
        series: and which one it is of, ascending; those of a series are in the order of their times.
    """

    last: np.ndarray
    scales: np.ndarray
    series: np.ndarray

    def example(self, rows: int) -> np.ndarray:
        """Noise, as inputs of the network for a new series."""
        x = np.random.default_rng(0).standard_normal((rows, self.x_train.shape[1])).astype(np.float32)
        x[:, -1] = 0
        return x

    def raw(self, predictions: np.ndarray) -> np.ndarray:
        """Validation's forecasts `(windows, horizon)` in the target's unit."""
        raw: np.ndarray = predictions.astype(np.float64) * self.scales[:, None] + self.last[:, None]
        return raw


def prepare(train: Part, validation: Part, window: int, horizon: int, device: str) -> Windows:
    """Cuts a split into windows; what is forecast lies in one part, the window before it in any earlier row.

    Args:
        train: rows to learn from.
        validation: rows to forecast, from what is known before each of them.
        window: values of the past; where a series has fewer, its first is repeated.
        horizon: values to forecast.
        device: as torch names it.

    Raises:
        ValueError: where a part has no series with so many values.
    """
    dataset = train.dataset
    facts = _facts(train, window, horizon)
    scales = np.array([facts["scale"], *facts["series"]["scales"]])
    index_of = np.zeros(max(1, len(_names(dataset))), np.int64)
    index_of[_codes(dataset)[train.rows]] = 1
    index_of = np.where(index_of > 0, np.cumsum(index_of), 0)
    beside = _beside(dataset, facts["values"])
    made = []
    for part in (train, validation):
        past, future, codes = _cut(part, window, horizon)
        if not len(past):
            raise ValueError(
                f"{dataset.name}: no series has {horizon} values in a row, after one before, in each part: "
                "make the part larger or the horizon smaller"
            )
        index = index_of[codes]
        values, last, scale = dataset.y[past], dataset.y[past[:, -1]], scales[index]
        further = [each[past] for each in beside]
        x = np.column_stack([(values - last[:, None]) / scale[:, None], *further, index]).astype(np.float32)
        y = ((future - last[:, None]) / scale[:, None]).astype(np.float32)
        made.append((torch.from_numpy(x).to(device), torch.from_numpy(y).to(device), future, last, scale, codes))
    return Windows(
        task=dataset.task,
        x_train=made[0][0],
        y_train=made[0][1],
        x_validation=made[1][0],
        y_validation=made[1][1],
        y_raw=made[1][2],
        preprocessing=facts,
        dtype=np.dtype(np.float32),
        last=made[1][3],
        scales=made[1][4],
        series=made[1][5],
    )


def _facts(train: Part, window: int, horizon: int) -> dict[str, Any]:
    dataset = train.dataset
    columns = {column.role: column for column in dataset.columns}
    codes, y = _codes(dataset)[train.rows], dataset.y[train.rows]
    names = _names(dataset)
    known = np.unique(codes)
    scale = _deviation(y, 1.0)
    time = columns[TIME]
    return {
        "kind": dataset.kind,
        "task": dataset.task,
        "time": {"name": time.name, "kind": time.kind, "format": time.format, "optional": False},
        "target": _number(columns[TARGET]),
        "values": _fitted_values(train),
        "missing": sorted(MISSING),
        "series": {
            "column": columns[SERIES].name if SERIES in columns else None,
            "format": columns[SERIES].format if SERIES in columns else "",
            "names": [names[code] for code in known.tolist()] if names else [],
            "scales": [_deviation(y[codes == code], scale) for code in known],
        },
        "scale": scale,
        "window": window,
        "horizon": horizon,
        "class_names": [],
    }


def _number(column: Column) -> dict[str, Any]:
    """What is said of a column of numbers; whole ones may be others another time, and a value may be missing then."""
    said = {"name": column.name, "kind": column.kind, "format": column.format}
    return {**said, "optional": True, "required": column.missing == 0}


def _fitted_values(train: Part) -> list[dict[str, Any]]:
    """The further columns, with mean and deviation of training."""
    fitted = []
    for place in of_role(train.dataset.columns, VALUE):
        cells = train.dataset.x[train.rows, place]
        known = cells[~np.isnan(cells)]
        of_values = (float(known.mean()), _deviation(known, 1.0)) if len(known) else (0.0, 1.0)
        fitted.append({**_number(train.dataset.columns[place]), "mean": of_values[0], "scale": of_values[1]})
    return fitted


def _beside(dataset: Dataset, fitted: list[dict[str, Any]]) -> list[np.ndarray]:
    """The further columns in deviations, `(rows,)` each; a gap is filled by what was before it."""
    order, starts = _in_time(dataset)
    columns = []
    for place, column in zip(of_role(dataset.columns, VALUE), fitted, strict=True):
        given = dataset.x[order, place]
        known = np.clip((given - column["mean"]) / column["scale"], -FARTHEST, FARTHEST)
        before = np.maximum.accumulate(np.where(np.isnan(known), -1, np.arange(len(known))))
        filled = np.empty(len(known))
        filled[order] = np.where(before >= starts, known[np.maximum(before, 0)], 0.0)
        columns.append(filled)
    return columns


def _in_time(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Rows series by series in the order of their times, `(rows,)`; and the place there at which each one's series begins."""
    codes = _codes(dataset)
    order = np.lexsort((dataset.x[:, of_role(dataset.columns, TIME)[0]], codes))
    return order, np.searchsorted(codes[order], codes[order])


def _deviation(values: np.ndarray, of_constant: float) -> float:
    if values.min() == values.max():  # what numpy says of equal values may be rounding noise above 0
        return of_constant
    return float(values.std() or of_constant)


def _names(dataset: Dataset) -> tuple[str, ...]:
    places = of_role(dataset.columns, SERIES)
    return dataset.columns[places[0]].categories if places else ()


def _codes(dataset: Dataset) -> np.ndarray:
    """The series of each row."""
    places = of_role(dataset.columns, SERIES)
    return dataset.x[:, places[0]].astype(np.int64) if places else np.zeros(len(dataset.y), np.int64)


def _cut(part: Part, window: int, horizon: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows of windows `(windows, window)`, the values after them `(windows, horizon)`, and the series `(windows,)`."""
    dataset = part.dataset
    inside = np.zeros(len(dataset.y), bool)
    inside[part.rows] = True
    order, starts = _in_time(dataset)
    inside, codes = inside[order], _codes(dataset)[order]
    first = np.arange(len(order) - horizon + 1)
    ahead = first[:, None] + np.arange(horizon)
    forecast = first[(first > starts[first]) & inside[ahead].all(axis=1) & (codes[first] == codes[first + horizon - 1])]
    before = np.maximum(forecast[:, None] + np.arange(-window, 0), starts[forecast][:, None])
    return order[before], dataset.y[order[forecast[:, None] + np.arange(horizon)]], codes[forecast]
