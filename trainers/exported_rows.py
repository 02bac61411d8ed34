"""What models of series read of a table's rows, a step each, or refuse with the cure. Copied into every such model's folder.

It imports nothing of this project; `tables` is the code beside it that reads a table's cells. Refusals are MLflow's own exception
for what a caller gave, whose text a server passes on.
"""

from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

WRITTEN = {"whole": "12", "": "12.5", "text": "12.5", "1,234.50": "1,234.50", "1.234,50": "1.234,50"}


def refusal(text: str) -> MlflowException:
    """Of rows that cannot be used; the text tells what to do."""
    return MlflowException.invalid_parameter_value(text)


def refuse_lacking(frame: pd.DataFrame, names: list[str]) -> None:
    """Refuses a table without a row, or without one of these columns.

    Raises:
        MlflowException: naming what is missing.
    """
    absent = [name for name in names if name not in frame]
    if absent:
        raise refusal(f"the rows lack {', '.join(map(repr, absent))}: give the columns that training had")
    if not len(frame):
        raise refusal("there is no row: give the steps of one series at least")


def numbers(tables: dict[str, Any], column: dict[str, Any], frame: pd.DataFrame) -> np.ndarray:
    """A column's values `(rows,)`, of which each row must have one: numbers, or days since 1970.

    Raises:
        MlflowException: naming the first row that has none.
    """
    name = column["name"]
    values = np.asarray(tables["_numbers"](column, frame[name], []))
    wrong = np.flatnonzero(~np.isfinite(values))
    if not len(wrong):
        return values
    cell = frame[name].iloc[wrong[0]]
    found = "no value" if pd.isna(cell) or cell == "" else repr(str(cell))
    raise refusal(
        f"{name}, row {wrong[0]} (the first is 0): {found}, and the model takes {_kind(column)} here: mend it, or leave it out"
    )


def names(tables: dict[str, Any], column: str, frame: pd.DataFrame) -> np.ndarray:
    """The series of each row `(rows,)` as text.

    Raises:
        MlflowException: naming the first row that has none.
    """
    texts = tables["_texts"](frame[column], [])
    missing = np.flatnonzero(texts.isna() | (texts == ""))
    if len(missing):
        raise refusal(
            f"{column}, row {missing[0]} (the first is 0): no value: say which series the row is of, or leave it out"
        )
    return np.asarray(texts.to_numpy(dtype=object))


def _kind(column: dict[str, Any]) -> str:
    """What a column takes, as its training file wrote it."""
    form = column["format"]
    if column["kind"] != "date":
        return f"numbers as {WRITTEN[form]}"
    written = pd.Timestamp(2024, 12, 31, 17, 30)
    return f"dates as {written:%Y-%m-%d}" if form in {"", "ISO8601"} else f"dates as {written.strftime(form)}"
