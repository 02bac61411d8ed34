"""A trained model as MLflow runs it: raw rows in, class probabilities, targets or texts out. Copied into every model folder.

MLflow executes this file where the model is loaded, so it imports nothing of this project. Beside it lie a network
(`torch.export`), the JSON of `trainers.preprocessing` and, for texts, `trainers/token_ids.py` or `trainers/subwords.py`; of a
structured task the trainer's own file that makes texts of the network's output; nothing here is pickled.
"""

import json
import math
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from pandas.api import types

DAY_US = 86_400_000_000
TEXTS_AT_ONCE = 64


class ExportedModel(PythonModel):  # type: ignore[misc]  # mlflow ships no types
    """Preprocessing and network in one."""

    def load_context(self, context: Any) -> None:
        """Reads the model's files; called once, before any prediction."""
        self.preprocessing = json.loads(Path(context.artifacts["preprocessing"]).read_text(encoding="utf-8"))
        self.network = torch.export.load(context.artifacts["network"]).module()
        code = context.artifacts.get("token_ids")
        self.ids = None if code is None else runpy.run_path(code)["ids"]
        answers = context.artifacts.get("answers")
        self.answers = None if answers is None else runpy.run_path(answers)["answers"]

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Predicts raw rows.

        Args:
            model_input: a DataFrame with the feature columns in any order, as the training file had them: a missing
                value is None or NaN, a column that had some may be left out, and a category may be a new one; for an
                image model an array `(rows, height, width)` or `(rows, height, width, channels)` (mlflow warns of a
                hint that says so); for a text model the column of texts, of which a missing one is an empty one.
            params: of a classifier, `{"output": "class"}` asks for the class that a row is taken for.

        Returns:
            One row per row: for classification a column of probabilities per class, named after it, or where asked for
            one column `prediction` of class names; for regression one column `prediction` in the target's unit, and for a
            structured task one of texts.
        """
        if self.ids is None:
            x = torch.from_numpy(preprocessed(self.preprocessing, model_input))
        else:
            texts = model_input[self.preprocessing["feature_names"][0]]
            x = torch.from_numpy(self.ids(self.preprocessing["text"], texts.where(texts.notna(), "").astype("str")))
        with torch.inference_mode():
            # a large network makes much of a text
            pieces = [x] if self.ids is None else torch.split(x, TEXTS_AT_ONCE)
            predicted = torch.cat([self.network(piece) for piece in pieces]).double().numpy()
        index = model_input.index if isinstance(model_input, pd.DataFrame) else None
        if self.answers is not None:
            return pd.DataFrame({"prediction": self.answers(predicted, self.preprocessing)}, index=index)
        if self.preprocessing["task"] == "regression":
            return pd.DataFrame({"prediction": predicted}, index=index)
        if (params or {}).get("output") == "class":
            return pd.DataFrame({"prediction": decided(self.preprocessing, predicted)}, index=index)
        return pd.DataFrame(predicted, columns=self.preprocessing["class_names"], index=index)


def decided(preprocessing: dict[str, Any], probabilities: np.ndarray) -> np.ndarray:
    """Names of classes `(rows,)`: of two the second from the threshold on that was chosen in training, else the likeliest."""
    threshold = preprocessing.get("threshold")
    indices = probabilities.argmax(axis=1) if threshold is None else (probabilities[:, 1] >= threshold).astype(int)
    return np.asarray(np.array(preprocessing["class_names"], dtype=object)[indices])


def preprocessed(preprocessing: dict[str, Any], model_input: pd.DataFrame | np.ndarray) -> np.ndarray:
    """The same arithmetic as `trainers.preprocessing.apply`: float32 `(rows, inputs)` or `(rows, channels, h, w)`."""
    mean, scale = np.array(preprocessing["mean"]), np.array(preprocessing["scale"])
    if not isinstance(model_input, pd.DataFrame):
        channels = model_input if model_input.ndim == 4 else model_input[..., None]
        return np.ascontiguousarray(np.moveaxis((channels - mean) / scale, -1, 1), dtype=np.float32)
    frame = model_input.reindex(columns=preprocessing["feature_names"])
    values: list[np.ndarray] = []
    absent: list[np.ndarray] = []
    indices: list[np.ndarray] = []
    for i, column in enumerate(preprocessing["columns"]):
        cells = frame.iloc[:, i]
        if column["kind"] == "category":
            indices.append(_indices(column, _texts(cells, preprocessing["missing"])))
            continue
        given = _numbers(column, cells, preprocessing["missing"])
        filled = np.where(np.isnan(given), column["fill"], given)
        values += _date_parts(filled) if column["kind"] == "date" else [filled]
        if column["indicator"]:
            absent.append(np.isnan(given))
    stacked = np.stack(values, axis=1) if values else np.empty((len(frame), 0))
    with np.errstate(over="ignore"):
        standardised = np.clip((stacked - mean) / scale, -1e6, 1e6)
    return np.column_stack([standardised, *absent, *indices]).astype(np.float32)


def _numbers(column: dict[str, Any], cells: pd.Series, missing: list[str]) -> np.ndarray:
    """A column's values as float64, NaN where there is none: numbers, 0 and 1, or days since 1970 in UTC."""
    kind, form = column["kind"], column["format"]
    if types.is_bool_dtype(cells) or (kind == "number" and types.is_numeric_dtype(cells)):
        return np.asarray(cells.to_numpy(np.float64, na_value=np.nan))
    if kind == "date":
        times = cells if types.is_datetime64_any_dtype(cells) else _times(_texts(cells, missing), form or "ISO8601")
        return _days(pd.to_datetime(times, utc=True))
    texts = _texts(cells, missing)
    if kind == "boolean":
        yes, no = (form or "true/false").split("/")
        words = texts.str.lower()
        return np.select([(words == yes).to_numpy(bool), (words == no).to_numpy(bool)], [1.0, 0.0], np.nan)
    if "1" in form:
        kept = texts.str.replace(r"[^0-9.,+-]", "", regex=True)
        thousands, point = (",", ".") if form == "1,234.50" else (".", ",")
        texts = kept.str.replace(thousands, "", regex=False).str.replace(point, ".", regex=False)
    return np.asarray(pd.to_numeric(texts, errors="coerce").to_numpy(np.float64, na_value=np.nan))


def _times(texts: pd.Series, form: str) -> pd.Series:
    return pd.to_datetime(texts, format=form, errors="coerce", utc=True)


def _days(times: pd.Series) -> np.ndarray:
    since = times.dt.tz_localize(None).to_numpy("datetime64[us]")
    return np.where(np.isnat(since), np.nan, since.astype(np.int64) / DAY_US)


def _date_parts(days: np.ndarray) -> list[np.ndarray]:
    year, week = 2 * math.pi * days / 365.2425, 2 * math.pi * np.floor(days + 3.0) / 7.0
    return [days, np.sin(year), np.cos(year), np.sin(week), np.cos(week)]


def _indices(column: dict[str, Any], texts: pd.Series) -> np.ndarray:
    """Places in the vocabulary from 1, one more for a missing value if training had such; 0 for all others."""
    vocabulary = column["vocabulary"]
    known = pd.Index(vocabulary, dtype="str").get_indexer(texts) + 1
    return np.where(texts.isna() & column["missing"], len(vocabulary) + 1, known)


def _texts(cells: pd.Series, missing: list[str]) -> pd.Series:
    """Cells as text without blanks at their ends, and None where there is no value or a word that says so."""
    if not isinstance(cells.dtype, pd.StringDtype):
        cells = pd.Series([_written(value) for value in cells.tolist()], index=cells.index, dtype="str")
    stripped = cells.astype("str").str.strip()
    return stripped.mask(stripped.str.lower().isin(missing))


def _written(value: Any) -> str | None:
    if value is None or value is pd.NaT or value is pd.NA or value != value:  # noqa: PLR0124 - NaN
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if hasattr(value, "isoformat"):
        return str(pd.to_datetime(value, utc=True).tz_localize(None).isoformat())
    return str(value)


set_model(ExportedModel())
