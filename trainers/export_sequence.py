"""What MLflow is told of an exported forecaster: its code, what it takes and gives, and an example of nobody's.

Owns the words; `trainers.export` writes the folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

CODE = Path(__file__).with_name("exported_sequence.py")
BESIDE = {"rows": str(Path(__file__).with_name("exported_rows.py"))}  # of code, but for what reads tables
NEW = "a new series"


def signature(facts: dict[str, Any], type_of: Callable[[dict[str, Any]], str]) -> ModelSignature:
    """Time, series where there are several, target, and further columns; of each series its next values.

    Args:
        facts: the preprocessing of `trainers.windows`.
        type_of: a column's description to MLflow's type of it.
    """
    column = facts["series"]["column"]
    asked = [ColSpec(type_of(names(facts["series"]["format"])), column)] if column else []
    named = [ColSpec("string", column)] if column else []
    said = [ColSpec(type_of(facts[role]), facts[role]["name"]) for role in ("time", "target")]
    further = [ColSpec(type_of(each), each["name"], required=each["required"]) for each in facts["values"]]
    takes = [said[0], *asked, said[1], *further]
    gives = [*named, ColSpec("long", "step"), ColSpec("double", "prediction")]
    return ModelSignature(inputs=Schema(takes), outputs=Schema(gives))


def example(facts: dict[str, Any], x: np.ndarray, raw: Callable[[dict[str, Any], np.ndarray], Any]) -> pd.DataFrame:
    """Noise in place of a series' past.

    Args:
        facts: the preprocessing of `trainers.windows`.
        x: the example of the network, of which the first window is used.
        raw: a column's description and its values to its cells.
    """
    window = facts["window"]
    noise = x[0, :-1].astype(np.float64).reshape(-1, window)
    frame = pd.DataFrame({facts["time"]["name"]: times(facts["time"], np.arange(window))})
    for column, values in zip([facts["target"], *facts["values"]], noise, strict=True):
        is_whole = column["kind"] == "boolean" or column["format"] == "whole"
        frame[column["name"]] = raw(column, np.round(values).clip(0, 1) if is_whole else values)
    if facts["series"]["column"]:
        frame[facts["series"]["column"]] = invented(1, facts["series"]["format"])[0]
    return frame


def names(form: str) -> dict[str, Any]:
    """A column of names of series, as `trainers.export` takes columns; its format is that of its names."""
    return {"kind": "category", "format": form, "optional": False}


def invented(count: int, form: str) -> list[Any]:
    """Names of series that nobody has, in the type of the signature: whole numbers are below 0."""
    return [-1 - number if form == "whole" else f"{NEW}, {number}" for number in range(count)]


def times(time: dict[str, Any], steps: np.ndarray) -> Any:
    """One step after the other, in the type of the signature.

    Args:
        time: the column's description.
        steps: whole numbers.
    """
    if time["kind"] == "date":
        dates = pd.Series(pd.to_datetime(steps, unit="D").as_unit("us"))
        return dates if not time["format"] else dates.dt.strftime(_written(time["format"]))
    if time["format"] in {"", "whole"}:
        return steps.astype(np.int64 if time["format"] == "whole" else np.float64)
    return pd.Series([str(step) for step in steps], dtype="str")


def _written(form: str) -> str:
    return "%Y-%m-%d" if form == "ISO8601" else form
