"""Predictions for the rows of a file by a model out of MLflow.

Owns how a file's cells become what the model's signature asks for, and how predictions stand beside the rows, which stay as
they were written. The file is read as data sets are. Imports MLflow and pandas, which takes seconds: only `tuner predict`
imports this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet
from mlflow import environment_variables
from mlflow.exceptions import MlflowException
from mlflow.types import DataType

from trainers.data import cells, columns, tables
from trainers.data.faults import Fault, FaultsError, short, some, told
from trainers.data.source import Source, delimiter_faults
from trainers.data.tables import Table

PREDICTION = "prediction"
RECOMMENDED = ["rank", "item", "score"]  # what a recommender gives, in several rows for each
JUDGED = ["tokens", "log_likelihood", "perplexity"]  # what a language model gives of a text


class PredictError(Exception):
    """The file does not fit the model; the text tells what to do."""


@dataclass(frozen=True)
class Rows:
    """The rows of a file.

    Attributes:
        written: as they go out again.
        table: the same as data sets are read.
    """

    written: pd.DataFrame
    table: Table


def load(model_uri: str, tracking_uri: str, token: str) -> Any:
    """A model out of MLflow, as pyfunc."""
    environment_variables.MLFLOW_TRACKING_TOKEN.set(token)
    environment_variables.MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)
    mlflow.set_tracking_uri(tracking_uri)
    return mlflow.pyfunc.load_model(model_uri)


def taken(model: Any) -> list[str] | None:
    """The names of the columns that a model takes; None: every one is a pixel."""
    takes = model.metadata.get_input_schema()
    return None if takes.is_tensor_spec() else takes.input_names()


def read(
    file: Path, wanted: Collection[str] | None = None, *, encoding: str | None = None, delimiter: str | None = None
) -> Rows:
    """CSV, TSV or Parquet with a header.

    Args:
        file: to read.
        wanted: the columns that matter: in a Parquet file, others may be of any type. None: every one.
        encoding: of a text file; None: found out, as of a data set.
        delimiter: the same.

    Raises:
        PredictError: it is none, or has no rows.
    """
    for fault in delimiter_faults(delimiter):
        raise PredictError(fault)
    try:
        if file.suffix.lower() == ".parquet":
            return _read_parquet(file, wanted)
        table = tables.read({"data": file}, Source(encoding=encoding, delimiter=delimiter))
    except FaultsError as error:
        raise _refusal(error.faults) from None
    written = pd.DataFrame({name: column.values for name, column in table.columns.items()})
    return Rows(written, table)


def _read_parquet(file: Path, wanted: Collection[str] | None) -> Rows:
    table = tables.read({"data": file}, Source(columns=_beside(file, wanted)))
    written = pyarrow.parquet.ParquetFile(file).read().to_pandas(ignore_metadata=True)
    return Rows(written.rename(columns=str.strip), table)


def _beside(file: Path, wanted: Collection[str] | None) -> dict[str, Any]:
    """The columns of a Parquet file that nobody wants, as to be ignored; none of what is no such file."""
    try:
        names = pyarrow.parquet.read_schema(file).names
    except (pyarrow.ArrowException, OSError):
        return {}  # told by who reads it
    return {name.strip(): "ignore" for name in names if wanted is not None and name.strip() not in wanted}


def predict(model: Any, rows: Rows) -> pd.DataFrame:
    """The rows with a column of probabilities for each class and the class that each is taken for; or the target alone.

    That class, `prediction`, is the likeliest one, or follows the threshold that was chosen in training.

    Where a column of the file has the name of a class, the classes' columns are called `p(CLASS)`. A recommender gives
    each row as often as items, with `rank`, `item` and `score`; a forecaster gives steps ahead, without the rows, and a
    classifier of series a row for each of these; a language model how likely each text is.

    Raises:
        PredictError: the rows do not fit the model.
    """
    takes = model.metadata.get_input_schema()
    given = _tensor(takes.inputs[0], rows.table) if takes.is_tensor_spec() else _columns(takes.inputs, rows.table)
    try:
        return _beside_rows(model, given, rows)
    except MlflowException as error:  # the model's own, or of its signature
        raise PredictError(error.message) from None


def _beside_rows(model: Any, given: Any, rows: Rows) -> pd.DataFrame:
    predicted = model.predict(given)
    if _counts(model, "step"):  # forecasts, which are of no row
        return predicted
    if _is_of_series(model):
        decided = _decided(model, given, predicted)
        if PREDICTION in predicted.columns:
            predicted = predicted.rename(columns={PREDICTION: f"p({PREDICTION})"})
        return predicted.assign(**{PREDICTION: decided})
    if list(predicted.columns) == RECOMMENDED:
        return pd.concat([rows.written.loc[predicted.index], predicted], axis=1).reset_index(drop=True)
    predicted = predicted.reset_index(drop=True)
    if _counts(model, "tokens"):
        return pd.concat([rows.written.drop(columns=JUDGED, errors="ignore"), predicted], axis=1)
    if list(predicted.columns) != [PREDICTION]:
        decided = _decided(model, given, predicted)
        if set(predicted.columns) & {*rows.written.columns, PREDICTION}:
            predicted = predicted.rename(columns=lambda name: f"p({name})")
        predicted[PREDICTION] = decided
    kept = rows.written.drop(columns=PREDICTION, errors="ignore")
    return pd.concat([kept, predicted], axis=1)


def _counts(model: Any, what: str) -> bool:
    """Whether the model says that it counts steps ahead, or tokens; a class may be called so, and has probabilities."""
    gives = model.metadata.get_output_schema()
    if gives is None or gives.is_tensor_spec():
        return False
    return any(column.name == what and column.type == DataType.long for column in gives.inputs)


def _is_of_series(model: Any) -> bool:
    """Whether the model says that it gives names of series beside probabilities."""
    gives = model.metadata.get_output_schema()
    if gives is None or gives.is_tensor_spec() or model.metadata.get_params_schema() is None:
        return False
    return bool(gives.inputs[0].type == DataType.string)


def _decided(model: Any, given: Any, probabilities: pd.DataFrame) -> pd.Series:
    """The class of each row, by the model itself, or of one that cannot be asked the likeliest."""
    if model.metadata.get_params_schema() is None:
        return probabilities.idxmax(axis=1)
    return model.predict(given, params={"output": "class"})[PREDICTION].reset_index(drop=True)


def _tensor(spec: Any, table: Table) -> np.ndarray:
    """Pixels, a column each, as images."""
    shape = spec.shape[1:]
    count = math.prod(shape)
    if len(table.columns) != count:
        form = " x ".join(map(str, shape))
        raise PredictError(
            f"the file has {len(table.columns)} columns, and the model takes {count} pixels a row, {form}"
        )
    pixels = np.column_stack([_number(table, name) for name in table.columns])
    if np.isnan(pixels).any():
        raise PredictError("a pixel is missing: give every pixel a number")
    return pixels.reshape(-1, *shape).astype(spec.type)


def _columns(specs: list[Any], table: Table) -> pd.DataFrame:
    """The columns that the model takes, in its types; one that had missing values in training may be left out."""
    absent = [spec.name for spec in specs if spec.required and spec.name not in table.columns]
    if absent:
        raise PredictError(f"the file lacks columns that the model takes: {some([repr(name) for name in absent])}")
    there = [spec for spec in specs if spec.name in table.columns]
    return pd.DataFrame({spec.name: _READ.get(spec.type.name, _text)(table, spec.name) for spec in there})


def _number(table: Table, name: str) -> np.ndarray:
    given = table.columns[name]
    if given.given != "text":
        return np.asarray(given.values, np.float64)
    texts = columns.as_text(given)
    numbers = cells.numbers(texts, "")
    _refuse(table, name, texts, np.isnan(numbers) & texts.notna().to_numpy(), "numbers")
    return numbers


def _whole(table: Table, name: str) -> np.ndarray:
    numbers = _number(table, name)
    with np.errstate(invalid="ignore"):
        wrong = ~(numbers % 1 == 0)
    _refuse(table, name, columns.as_text(table.columns[name]), wrong, "whole numbers")
    return numbers.astype(np.int64)


def _boolean(table: Table, name: str) -> pd.Series:
    texts = columns.as_text(table.columns[name])
    truths = cells.booleans(texts, "true/false")
    _refuse(table, name, texts, np.isnan(truths) & texts.notna().to_numpy(), "true and false")
    return pd.Series(truths).map({1.0: True, 0.0: False})


def _time(table: Table, name: str) -> pd.Series:
    texts = columns.as_text(table.columns[name])
    days = cells.dates(texts, "ISO8601")
    _refuse(table, name, texts, np.isnan(days) & texts.notna().to_numpy(), "dates as 2024-12-31")
    return pd.to_datetime(pd.Series(np.round(days * cells.DAY_US)), unit="us")


def _text(table: Table, name: str) -> pd.Series:
    given = table.columns[name]
    if given.given == "text":  # the model knows which words mean missing
        return given.values.mask(given.values == "")
    return columns.as_text(given)


def _refuse(table: Table, name: str, texts: pd.Series, wrong: np.ndarray, what: str) -> None:
    """Tells the first rows that are `wrong` `(rows,)`."""
    if wrong.any():
        written = ("no value" if text != text else repr(short(text)) for text in texts[wrong])  # noqa: PLR0124 - NaN
        raise _refusal(table.row_faults(wrong, name, (f"{each}, and the model takes {what} here" for each in written)))


def _refusal(faults: Sequence[Fault]) -> PredictError:
    return PredictError("\n".join(told(fault) for fault in faults))


_READ: dict[str, Callable[[Table, str], Any]] = {
    "double": _number,
    "float": _number,
    "long": _whole,
    "integer": _whole,
    "boolean": _boolean,
    "datetime": _time,
}
