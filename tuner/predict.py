"""Predictions for the rows of a CSV file by a model out of MLflow.

Owns how a file's text becomes what the model's signature asks for, and how predictions stand beside the rows, which stay as
they were written. Imports MLflow and pandas, which takes seconds: only `tuner predict` imports this.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import environment_variables

MISSING = ("", "na", "n/a", "nan", "null", "none")
PREDICTION = "prediction"


class PredictError(Exception):
    """The file does not fit the model; the text tells what to do."""


def load(model_uri: str, tracking_uri: str, token: str) -> Any:
    """A model out of MLflow, as pyfunc."""
    environment_variables.MLFLOW_TRACKING_TOKEN.set(token)
    environment_variables.MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)
    mlflow.set_tracking_uri(tracking_uri)
    return mlflow.pyfunc.load_model(model_uri)


def read(file: Path) -> pd.DataFrame:
    """A CSV file with a header, every cell as text.

    Raises:
        PredictError: it is none, or has no rows.
    """
    try:
        rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:  # pandas' own errors are ValueErrors
        raise PredictError(f"{file} is not a CSV file with a header: {error}") from None
    if rows.empty:
        raise PredictError(f"{file} has no rows below its header")
    return rows


def predict(model: Any, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with a column of probabilities for each class and the likeliest class, `prediction`; or the target alone.

    Where a column of the file has the name of a class, the classes' columns are called `p(CLASS)`.

    Raises:
        PredictError: the rows do not fit the model.
    """
    takes = model.metadata.get_input_schema()
    given = _tensor(takes.inputs[0], rows) if takes.is_tensor_spec() else _columns(takes.inputs, rows)
    predicted = model.predict(given).reset_index(drop=True)
    if list(predicted.columns) != [PREDICTION]:
        likeliest = predicted.idxmax(axis=1)
        if set(predicted.columns) & {*rows.columns, PREDICTION}:
            predicted = predicted.rename(columns=lambda name: f"p({name})")
        predicted[PREDICTION] = likeliest
    kept = rows.drop(columns=PREDICTION, errors="ignore")
    return pd.concat([kept, predicted], axis=1)


def _tensor(spec: Any, rows: pd.DataFrame) -> np.ndarray:
    """Pixels, a column each, as images."""
    shape = spec.shape[1:]
    count = math.prod(shape)
    if rows.shape[1] != count:
        form = " x ".join(map(str, shape))
        raise PredictError(f"the file has {rows.shape[1]} columns, and the model takes {count} pixels a row, {form}")
    pixels = np.column_stack([_number(rows[name]) for name in rows.columns])
    if np.isnan(pixels).any():
        raise PredictError("a pixel is missing: give every pixel a number")
    return pixels.reshape(-1, *shape).astype(spec.type)


def _columns(specs: list[Any], rows: pd.DataFrame) -> pd.DataFrame:
    """The columns that the model takes, in its types; one that had missing values in training may be left out."""
    absent = [spec.name for spec in specs if spec.required and spec.name not in rows.columns]
    if absent:
        raise PredictError(f"the file lacks columns that the model takes: {', '.join(map(repr, absent))}")
    return pd.DataFrame(
        {spec.name: _READ.get(spec.type.name, _text)(rows[spec.name]) for spec in specs if spec.name in rows.columns}
    )


def _known(cells: pd.Series) -> pd.Series:
    return cells.mask(cells.str.strip().str.lower().isin(MISSING))


def _number(cells: pd.Series) -> pd.Series:
    try:
        return pd.to_numeric(_known(cells)).astype(np.float64)
    except ValueError as error:
        raise PredictError(f"column {cells.name!r} takes numbers: {error}") from None


def _whole(cells: pd.Series) -> pd.Series:
    numbers = _number(cells)
    if numbers.isna().any() or (numbers % 1 != 0).any():
        raise PredictError(f"column {cells.name!r} takes whole numbers, none missing")
    return numbers.astype(np.int64)


def _boolean(cells: pd.Series) -> pd.Series:
    words = cells.str.strip().str.lower()
    if not words.isin(("true", "false")).all():
        raise PredictError(f"column {cells.name!r} takes true and false, none missing")
    return words == "true"


def _time(cells: pd.Series) -> pd.Series:
    try:
        return pd.to_datetime(_known(cells))
    except ValueError as error:
        raise PredictError(f"column {cells.name!r} takes dates: {error}") from None


def _text(cells: pd.Series) -> pd.Series:
    return cells.mask(cells == "")


_READ: dict[str, Callable[[pd.Series], pd.Series]] = {
    "double": _number,
    "float": _number,
    "long": _whole,
    "integer": _whole,
    "boolean": _boolean,
    "datetime": _time,
}
