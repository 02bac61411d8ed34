"""A trained forecaster as MLflow runs it: the past of series in, their next values out.

Copied into every such model's folder and executed where the model is loaded, so it imports nothing of this project. Beside it
lie a network (`torch.export`), JSON with the deviations of the series, and the code that reads a table's rows and cells; nothing
here is pickled.
"""

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

FARTHEST = 1e6  # deviations of a further column


class ExportedSequence(PythonModel):  # type: ignore[misc]  # mlflow ships no types
    """Windows and network in one."""

    def load_context(self, context: Any) -> None:
        """Reads the model's files; called once, before any prediction."""
        self.facts = json.loads(Path(context.artifacts["preprocessing"]).read_text(encoding="utf-8"))
        self.network = torch.export.load(context.artifacts["network"]).module()
        self.of_tables = runpy.run_path(context.artifacts["tables"])
        self.of_rows = runpy.run_path(context.artifacts["rows"])

    def predict(self, model_input: pd.DataFrame) -> pd.DataFrame:
        """Forecasts.

        Args:
            model_input: a DataFrame with the columns of time, series (if training had several), target, and further ones that
                training had: the past of each series, in any order, with as many rows as the window has or more. Where there
                are fewer, the first value is repeated. A series may be a new one. A further column's value may be missing:
                it is then the last one before it.

        Returns:
            For each series, in the order of their names, `step` from 1 to the horizon and `prediction`; with the column of
            the series where there is one.

        Raises:
            MlflowException: there is no row or a column is missing, or a row has no series, or no time or target that can be
                read.
        """
        facts, column = self.facts, self.facts["series"]["column"]
        required = [each["name"] for each in facts["values"] if each["required"]]
        named = [facts["time"]["name"], facts["target"]["name"], *([column] if column else []), *required]
        self.of_rows["refuse_lacking"](model_input, named)
        times = self.of_rows["numbers"](self.of_tables, facts["time"], model_input)
        values = self.of_rows["numbers"](self.of_tables, facts["target"], model_input)
        names = self.of_rows["names"](self.of_tables, column, model_input) if column else np.full(len(values), "")
        asked = sorted(set(names))
        places = [self._window(np.flatnonzero(names == name), times) for name in asked]
        past = np.stack([values[window] for window in places])
        known = {name: index for index, name in enumerate(facts["series"]["names"], start=1)}
        index = np.array([known.get(name, 0) for name in asked]) if column else np.ones(1, np.int64)
        scale = np.array([facts["scale"], *facts["series"]["scales"]])[index]
        last = past[:, -1]
        beside = [self._further(each, model_input, names, times) for each in facts["values"]]
        further = [np.stack([of_rows[window] for window in places]) for of_rows in beside]
        x = np.column_stack([(past - last[:, None]) / scale[:, None], *further, index]).astype(np.float32)
        with torch.inference_mode():
            forecast = self.network(torch.from_numpy(x)).double().numpy() * scale[:, None] + last[:, None]
        steps = np.tile(np.arange(1, facts["horizon"] + 1), len(asked))
        made = pd.DataFrame({"step": steps, "prediction": forecast.ravel()})
        if column:
            made.insert(0, column, np.repeat(np.array(asked, dtype=object), facts["horizon"]))
        return made

    def _window(self, rows: np.ndarray, times: np.ndarray) -> np.ndarray:
        """The last rows `(window,)` of those of a series, in time; the first again where there are fewer."""
        ordered = rows[np.argsort(times[rows], kind="stable")][-self.facts["window"] :]
        missing = self.facts["window"] - len(ordered)
        return np.concatenate([np.full(missing, ordered[0]), ordered])

    def _further(self, column: dict[str, Any], frame: pd.DataFrame, names: np.ndarray, times: np.ndarray) -> np.ndarray:
        """A further column in deviations `(rows,)`, a missing value as the last one before it in its series, or 0."""
        cells = frame[column["name"]] if column["name"] in frame else pd.Series(np.nan, index=frame.index)
        given = self.of_tables["_numbers"](column, cells, self.facts["missing"])
        known = np.clip((given - column["mean"]) / column["scale"], -FARTHEST, FARTHEST)
        order = np.argsort(times, kind="stable")
        filled = np.empty(len(known))
        filled[order] = pd.Series(known[order]).groupby(names[order]).ffill().fillna(0.0).to_numpy()
        return filled


set_model(ExportedSequence())
