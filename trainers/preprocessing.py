"""How raw rows become the network's input: fitted on the training part alone, kept as plain JSON.

Owns the JSON that travels in an exported model; `trainers.exported_model` reads it without this package. Python writes
the shortest decimal that reads back as the same float, so nothing is lost on the way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trainers.contract import Dataset, Part


def fit(train: Part) -> dict[str, Any]:
    """Fits a training part's preprocessing.

    Tabular rows are standardised by column, images by channel over all pixels, regression targets as one column.
    What is constant in the training part is only centred: its scale is 1.

    Returns:
        `kind`, `task`, `shape` of a raw row, `feature_names`, `class_names`, and lists with one float per column or
        channel: `mean`, `scale`, and the least and greatest training values `low` and `high`; `target_mean` and
        `target_scale` are 0 and 1 for classification.

    Raises:
        ValueError: where the training part has a value that is missing or infinite.
    """
    dataset = train.dataset
    values = _columns(dataset, dataset.x[train.rows])
    _refuse_non_finite(dataset, values)
    mean, scale = _mean_and_scale(values)
    y = dataset.y[train.rows].astype(np.float64)[:, None]
    target_mean, target_scale = _mean_and_scale(y)
    regression = dataset.task == "regression"
    return {
        "kind": dataset.kind,
        "task": dataset.task,
        "shape": list(dataset.x.shape[1:]),
        "feature_names": list(dataset.feature_names),
        "class_names": list(dataset.class_names),
        "mean": mean.tolist(),
        "scale": scale.tolist(),
        "low": values.min(axis=0).tolist(),
        "high": values.max(axis=0).tolist(),
        "target_mean": float(target_mean[0]) if regression else 0.0,
        "target_scale": float(target_scale[0]) if regression else 1.0,
    }


def apply(preprocessing: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """Makes the network's input.

    Args:
        preprocessing: of `fit`.
        x: raw rows, `(rows, features)`, `(rows, height, width)` or `(rows, height, width, channels)`.

    Returns:
        float32, `(rows, features)` or `(rows, channels, height, width)`.
    """
    mean, scale = np.array(preprocessing["mean"]), np.array(preprocessing["scale"])
    if preprocessing["kind"] == "tabular":
        rows: np.ndarray = ((x - mean) / scale).astype(np.float32)
        return rows
    channels = x if x.ndim == 4 else x[..., None]
    return np.ascontiguousarray(np.moveaxis((channels - mean) / scale, -1, 1), dtype=np.float32)


def synthetic(preprocessing: dict[str, Any], rows: int, dtype: np.dtype[Any], seed: int) -> np.ndarray:
    """Invents raw rows of the fitted means and deviations, within the fitted range; nobody's own data.

    Returns:
        `(rows, *shape)` of `dtype`.
    """
    normal = np.random.default_rng(seed).standard_normal((rows, *preprocessing["shape"]))
    if preprocessing["kind"] == "image" and len(preprocessing["shape"]) == 2:
        normal = normal[..., None]
    invented = normal * np.array(preprocessing["scale"]) + np.array(preprocessing["mean"])
    inside = np.clip(invented, preprocessing["low"], preprocessing["high"])
    example: np.ndarray = inside.reshape(rows, *preprocessing["shape"]).astype(dtype)
    return example


def _columns(dataset: Dataset, x: np.ndarray) -> np.ndarray:
    """Raw rows as float64 `(values, columns)`; for images `(all pixels, channels)`."""
    if dataset.kind == "tabular":
        return x.astype(np.float64)
    return x.astype(np.float64).reshape(-1, x.shape[3] if x.ndim == 4 else 1)


def _mean_and_scale(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    # the deviation of a constant column is rounding noise, which would blow the column up
    constant = values.min(axis=0) == values.max(axis=0)
    return np.where(constant, values[0], mean), np.where(constant | (deviation == 0), 1.0, deviation)


def _refuse_non_finite(dataset: Dataset, values: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(values).all(axis=0))
    if bad.size:
        name = dataset.feature_names[bad[0]] if dataset.feature_names else f"channel {bad[0]}"
        raise ValueError(f"{name!r} of {dataset.name} has values that are missing or infinite")
