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
NEW = "a new series"


def signature(facts: dict[str, Any], type_of: Callable[[dict[str, Any]], str]) -> ModelSignature:
    """Time, series where there are several, and target; of each series its next values.

    Args:
        facts: the preprocessing of `trainers.windows`.
        type_of: a column's description to MLflow's type of it.
    """
    named = [ColSpec("string", facts["series"]["column"])] if facts["series"]["column"] else []
    takes = [ColSpec(type_of(facts["time"]), facts["time"]["name"]), *named, ColSpec("double", facts["target"])]
    gives = [*named, ColSpec("long", "step"), ColSpec("double", "prediction")]
    return ModelSignature(inputs=Schema(takes), outputs=Schema(gives))


def example(facts: dict[str, Any], x: np.ndarray) -> pd.DataFrame:
    """Noise in place of a series' past.

    Args:
        facts: the preprocessing of `trainers.windows`.
        x: the example of the network, of which the first window is used.
    """
    values, time = x[0, :-1].astype(np.float64), facts["time"]
    steps = np.arange(len(values))
    frame = pd.DataFrame({time["name"]: _times(time, steps), facts["target"]: values})
    if facts["series"]["column"]:
        frame[facts["series"]["column"]] = NEW
    return frame


def _times(time: dict[str, Any], steps: np.ndarray) -> Any:
    """One after the other, in the type of the signature."""
    if time["kind"] == "date":
        dates = pd.Series(pd.to_datetime(steps, unit="D").as_unit("us"))
        return dates if not time["format"] else dates.dt.strftime(_written(time["format"]))
    if time["format"] in {"", "whole"}:
        return steps.astype(np.int64 if time["format"] == "whole" else np.float64)
    return pd.Series([str(step) for step in steps], dtype="str")


def _written(form: str) -> str:
    return "%Y-%m-%d" if form == "ISO8601" else form
