"""What MLflow is told of an exported classifier of series: its code, what it takes and gives, and an example of nobody's.

Owns the words; `trainers.export` writes the folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from trainers import export_sequence
from trainers.data import steps

CODE = Path(__file__).with_name("exported_labelled_series.py")
BESIDE = {**export_sequence.BESIDE, "steps": str(Path(steps.__file__))}


def signature(facts: dict[str, Any], type_of: Callable[[dict[str, Any]], str]) -> ModelSignature:
    """Time, series and values of each step; of each series its classes' probabilities.

    Args:
        facts: the preprocessing of `trainers.series_preprocessing`.
        type_of: a column's description to MLflow's type of it.
    """
    asked = ColSpec(type_of(export_sequence.names(facts["series_format"])), facts["series"])
    series = ColSpec("string", facts["series"])
    values = [ColSpec(type_of(each), each["name"], required=each["required"]) for each in facts["columns"]]
    names = [f"p({name})" if name == facts["series"] else name for name in facts["class_names"]]
    return ModelSignature(
        inputs=Schema([ColSpec(type_of(facts["time"]), facts["time"]["name"]), asked, *values]),
        outputs=Schema([series, *(ColSpec("double", name) for name in names)]),
        params=ParamSchema([ParamSpec("output", DataType.string, "probabilities")]),
    )


def example(facts: dict[str, Any], x: np.ndarray, raw: Callable[[dict[str, Any], np.ndarray], Any]) -> pd.DataFrame:
    """Invented series as a table of their steps.

    Args:
        facts: the preprocessing of `trainers.series_preprocessing`.
        x: `(series, steps, values)`.
        raw: a column's description and its values to its cells.
    """
    series, length, _ = x.shape
    cells = x.reshape(series * length, -1)
    frame = pd.DataFrame(
        {facts["time"]["name"]: export_sequence.times(facts["time"], np.tile(np.arange(length), series))}
    )
    frame[facts["series"]] = np.repeat(export_sequence.invented(series, facts["series_format"]), length)
    return frame.assign(**{each["name"]: raw(each, cells[:, i]) for i, each in enumerate(facts["columns"])})
