"""How raw rows become the network's input: fitted on the training part alone, kept as plain JSON.

Owns the JSON that travels in an exported model; `trainers.exported_model` reads it without this package. Python writes
the shortest decimal that reads back as the same float, so nothing is lost on the way.

Of a table the network is given, in this order: a value of each number and boolean and five of each date, standardised;
1 or 0 for each column that had missing values in training, as to whether the value is missing; and the index of each
category in the vocabulary of the training part, from 1, where 0 is any value that is not in it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trainers import series_preprocessing, subwords, text_preprocessing, token_ids
from trainers.contract import Dataset, Part
from trainers.data import steps
from trainers.data.cells import MISSING
from trainers.data.info import Column

Options = text_preprocessing.Options | text_preprocessing.Subwords | series_preprocessing.Options
"""What a config says of how rows are read, where it does."""

YEAR_DAYS, WEEK_DAYS = 365.2425, 7.0
FARTHEST = 1e6  # deviations; beyond, as a column that hardly varied in training may be, the network would overflow
IMAGES_AT_ONCE = 1024
LOUDEST = 32_768  # of a sample of sound
HISS = 1_000.0  # deviation of invented samples
OF_CLIPS = {"mean": [0.0], "scale": [float(LOUDEST)], "low": [-float(LOUDEST)], "high": [float(LOUDEST)]}
MONDAY = 3.0  # 1970 began on a Thursday


def fit(train: Part, options: Options | None = None) -> dict[str, Any]:
    """Fits a training part's preprocessing.

    Values of tables are standardised by column, images by channel over all pixels, regression targets as one column.
    What is constant in the training part is only centred: its scale is 1.

    Args:
        train: the training part.
        options: for texts, what a config says of tokens; for labelled series, of steps.

    Returns:
        `kind`, `task`, `shape` of a raw row, `feature_names`, `class_names`, and lists with one float per standardised
        value or channel: `mean`, `scale`, and the least and greatest training values `low` and `high`; `target_mean`
        and `target_scale` are 0 and 1 but for regression. `columns` of a table, as `_fit_column` has them, and
        `missing`, the words that stand for no value in text; `text` of texts, the rules of its options; `media`, where
        files became rows, of `Dataset`.

    Raises:
        ValueError: where the training part has a value that is infinite, or an image one that is missing.
    """
    dataset = train.dataset
    if dataset.kind == "text":
        assert isinstance(options, text_preprocessing.Options | text_preprocessing.Subwords)
        return {**_about(train), "text": options.fit(dataset.x[train.rows])}
    if dataset.kind == "labelled-series":
        assert isinstance(options, series_preprocessing.Options)
        return {**_about(train), **series_preprocessing.fit(dataset, train.rows, options)}
    columns: list[dict[str, Any]] = []
    if dataset.kind == "audio":
        of_values = OF_CLIPS
    elif dataset.kind == "image" and dataset.x.dtype == np.uint8:
        of_values = _byte_statistics(dataset.x, train.rows)
    else:
        x = dataset.x[train.rows]
        columns = [_fit_column(column, x[:, i]) for i, column in enumerate(_columns(dataset))]
        values = _values(columns, x.astype(np.float64)) if dataset.kind == "tabular" else _pixels(x)
        _refuse_non_finite(dataset, columns, values)
        of_values = _statistics(values)
    return {**_about(train), "columns": columns, "missing": sorted(MISSING), **of_values}


def _about(train: Part) -> dict[str, Any]:
    """What is said of rows of every kind, and the scale of targets."""
    dataset = train.dataset
    regression = dataset.task == "regression"
    of_targets = _statistics(dataset.y[train.rows].astype(np.float64)[:, None]) if regression else {}
    return {
        "kind": dataset.kind,
        "task": dataset.task,
        "shape": list(dataset.x.shape[1:]),
        "feature_names": list(dataset.feature_names),
        "class_names": list(dataset.class_names),
        **({} if dataset.media is None else {"media": dict(dataset.media)}),
        "target_mean": of_targets["mean"][0] if regression else 0.0,
        "target_scale": of_targets["scale"][0] if regression else 1.0,
    }


def apply(preprocessing: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """Makes the network's input.

    Args:
        preprocessing: of `fit`.
        x: raw rows as `Dataset` has them, `(rows, features)`, `(rows, height, width)` or
            `(rows, height, width, channels)`, or `(rows,)` of str.

    Returns:
        float32, `(rows, inputs)`, `(rows, channels, height, width)`, `(rows, steps, inputs)` of labelled series, or
        `(rows, samples)` from -1 to 1; int32 `(rows, length)` of texts.
    """
    if preprocessing["kind"] == "text":
        rules = preprocessing["text"]
        return subwords.ids(rules, x) if subwords.TOKENIZER in rules else token_ids.ids(rules, x)
    if preprocessing["kind"] == "labelled-series":
        return steps.network_input(preprocessing, x)
    if preprocessing["kind"] == "audio":
        return x.astype(np.float32) / np.float32(LOUDEST)
    mean, scale = np.array(preprocessing["mean"]), np.array(preprocessing["scale"])
    if preprocessing["kind"] == "tabular":
        columns = preprocessing["columns"]
        with np.errstate(over="ignore"):  # what overflows is clipped
            standardised = np.clip((_values(columns, x) - mean) / scale, -FARTHEST, FARTHEST)
        absent = [np.isnan(x[:, i]) for i, column in enumerate(columns) if column["indicator"]]
        indices = [_indices(column, x[:, i]) for i, column in enumerate(columns) if column["kind"] == "category"]
        return np.column_stack([standardised, *absent, *indices]).astype(np.float32)
    channels = x if x.ndim == 4 else x[..., None]
    made = np.empty((len(x), channels.shape[3], *channels.shape[1:3]), np.float32)
    for start in range(0, len(x), IMAGES_AT_ONCE):  # in float64, which all of them at once might have no room for
        chunk = slice(start, start + IMAGES_AT_ONCE)
        made[chunk] = np.moveaxis((channels[chunk] - mean) / scale, -1, 1)
    return made


def vocabulary_sizes(preprocessing: dict[str, Any]) -> list[int]:
    """For each category column, in order, how many different indices it has: its last inputs."""
    return [len(column["vocabulary"]) + 2 for column in preprocessing["columns"] if column["kind"] == "category"]


def synthetic(preprocessing: dict[str, Any], rows: int, dtype: np.dtype[Any], seed: int) -> np.ndarray:
    """Invents raw rows of the fitted means and deviations, within the fitted range; nobody's own data.

    Categories are drawn from the vocabulary, each column by itself.

    Returns:
        `(rows, *shape)` of `dtype`.
    """
    if preprocessing["kind"] == "text":
        return text_preprocessing.synthetic(rows)
    if preprocessing["kind"] == "labelled-series":
        return series_preprocessing.synthetic(preprocessing, rows)
    random = np.random.default_rng(seed)
    normal = random.standard_normal((rows, *preprocessing["shape"]))
    scale, mean = np.array(preprocessing["scale"]), np.array(preprocessing["mean"])
    if preprocessing["kind"] == "tabular":
        inside = _synthetic_rows(preprocessing, normal, random)
    elif preprocessing["kind"] == "audio":
        inside = normal * HISS
    else:
        channels = normal if normal.ndim == 4 else normal[..., None]
        inside = np.clip(channels * scale + mean, preprocessing["low"], preprocessing["high"])
    example: np.ndarray = inside.reshape(rows, *preprocessing["shape"]).astype(dtype)
    return example


def _columns(dataset: Dataset) -> tuple[Column, ...]:
    return dataset.columns or tuple(Column(name, "number") for name in dataset.feature_names)


def _fit_column(column: Column, cells: np.ndarray) -> dict[str, Any]:
    """What is fitted of one column.

    Returns:
        `name`, `kind` and `format`; `optional`, whether a value may be missing; `fill`, what then stands for it;
        `indicator`, whether the network is told so; of a category its `vocabulary` and `codes`, the names and raw
        values that training had, and `missing`, whether a missing value was among them.
    """
    absent = np.isnan(cells)
    present = cells[~absent]
    category = column.kind == "category"
    codes = np.unique(present[present >= 0]).astype(int).tolist() if category else []
    fill = 0.0 if category or not len(present) else float(np.median(present))
    return {
        "name": column.name,
        "kind": column.kind,
        "format": column.format,
        "optional": column.missing > 0,
        "fill": float(round(fill)) if column.kind == "boolean" else fill,
        "indicator": bool(absent.any()) and not category,
        "vocabulary": [column.categories[code] for code in codes],
        "codes": codes,
        "missing": bool(absent.any()) and category,
    }


def _values(columns: list[dict[str, Any]], x: np.ndarray) -> np.ndarray:
    """The values of a table that are standardised, `(rows, values)`, none of them missing."""
    values = []
    for i, column in enumerate(columns):
        if column["kind"] != "category":
            filled = np.where(np.isnan(x[:, i]), column["fill"], x[:, i])
            values += _date_parts(filled) if column["kind"] == "date" else [filled]
    return np.stack(values, axis=1) if values else np.empty((len(x), 0))


def _value_count(column: dict[str, Any]) -> int:
    return {"category": 0, "date": 5}.get(column["kind"], 1)


def _date_parts(days: np.ndarray) -> list[np.ndarray]:
    """Days, and the places in the year and in the week as points of a circle."""
    year, week = 2 * math.pi * days / YEAR_DAYS, 2 * math.pi * np.floor(days + MONDAY) / WEEK_DAYS
    return [days, np.sin(year), np.cos(year), np.sin(week), np.cos(week)]


def _indices(column: dict[str, Any], cells: np.ndarray) -> np.ndarray:
    """Places in the vocabulary from 1, one more for a missing value if training had such; 0 for all others."""
    codes = np.array([*column["codes"], np.inf])
    places = np.searchsorted(codes, np.where(np.isnan(cells), -1, cells))
    known = np.where(codes[places] == cells, places + 1, 0)
    return np.where(np.isnan(cells) & column["missing"], len(codes), known)


def _synthetic_rows(preprocessing: dict[str, Any], normal: np.ndarray, random: np.random.Generator) -> np.ndarray:
    inside, place = normal.copy(), 0
    for i, column in enumerate(preprocessing["columns"]):
        if column["kind"] == "category":
            inside[:, i] = random.choice(column["codes"], len(normal)) if column["codes"] else np.nan
            continue
        mean, scale, low, high = (preprocessing[key][place] for key in ("mean", "scale", "low", "high"))
        invented = np.clip(normal[:, i] * scale + mean, low, high)
        inside[:, i] = invented if column["kind"] == "number" and column["format"] != "whole" else np.round(invented)
        place += _value_count(column)
    return inside


def _pixels(x: np.ndarray) -> np.ndarray:
    """Images as float64 `(all pixels, channels)`."""
    return x.astype(np.float64).reshape(-1, x.shape[3] if x.ndim == 4 else 1)


def _byte_statistics(x: np.ndarray, rows: np.ndarray) -> dict[str, list[float]]:
    """`_statistics` of images of bytes by channel, out of how often each of the 256 values occurs in these rows."""
    counts = np.zeros((x.shape[3] if x.ndim == 4 else 1, 256), np.int64)
    for start in range(0, len(rows), IMAGES_AT_ONCE):
        channels = x[rows[start : start + IMAGES_AT_ONCE]].reshape(-1, len(counts))
        counts += [np.bincount(channels[:, i], minlength=256) for i in range(len(counts))]
    bytes_, pixels = np.arange(256.0), counts[0].sum()
    mean = counts @ bytes_ / pixels
    deviation = np.sqrt(np.sum(counts * (bytes_ - mean[:, None]) ** 2, axis=1) / pixels)
    low, high = np.argmax(counts > 0, axis=1), 255 - np.argmax(counts[:, ::-1] > 0, axis=1)
    scale = np.where(low == high, 1.0, deviation)
    return {"mean": mean.tolist(), "scale": scale.tolist(), "low": [*map(float, low)], "high": [*map(float, high)]}


def _statistics(values: np.ndarray) -> dict[str, list[float]]:
    """Mean, scale, least and greatest of each column of `(rows, columns)`."""
    mean, deviation, low, high = values.mean(axis=0), values.std(axis=0), values.min(axis=0), values.max(axis=0)
    # the deviation of a constant column is rounding noise, which would blow the column up
    constant = low == high
    scale = np.where(constant | (deviation == 0), 1.0, deviation)
    found = {"mean": np.where(constant, low, mean), "scale": scale, "low": low, "high": high}
    return {name: column.tolist() for name, column in found.items()}


def _refuse_non_finite(dataset: Dataset, columns: list[dict[str, Any]], values: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(values).all(axis=0))
    if bad.size:
        names = np.repeat([column["name"] for column in columns], [_value_count(column) for column in columns])
        name = str(names[bad[0]]) if columns else f"channel {bad[0]}"
        raise ValueError(f"{name!r} of {dataset.name} has values that are missing or infinite")
