"""A trained forecaster as MLflow runs it: the past of series in, their next values out.

Copied into every such model's folder and executed where the model is loaded, so it imports nothing of this project. Beside it
lie a network (`torch.export`), JSON with the deviations of the series, and the code that reads a table's cells; nothing here
is pickled.
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


class ExportedSequence(PythonModel):  # type: ignore[misc]  # mlflow ships no types
    """Windows and network in one."""

    def load_context(self, context: Any) -> None:
        """Reads the model's files; called once, before any prediction."""
        self.facts = json.loads(Path(context.artifacts["preprocessing"]).read_text(encoding="utf-8"))
        self.network = torch.export.load(context.artifacts["network"]).module()
        self.of_tables = runpy.run_path(context.artifacts["tables"])

    def predict(self, model_input: pd.DataFrame) -> pd.DataFrame:
        """Forecasts.

        Args:
            model_input: a DataFrame with the columns of time, series (if training had several) and target: the past of each
                series, in any order, with as many rows as the window has or more. Where there are fewer, the first value is
                repeated. A series may be a new one.

        Returns:
            For each series, in the order of their names, `step` from 1 to the horizon and `prediction`; with the column of
            the series where there is one.
        """
        facts, column = self.facts, self.facts["series"]["column"]
        times = self.of_tables["_numbers"](facts["time"], model_input[facts["time"]["name"]], [])
        values = model_input[facts["target"]].to_numpy(np.float64)
        names = self.of_tables["_texts"](model_input[column], []).to_numpy() if column else np.full(len(values), "")
        asked = sorted(set(names))
        past = np.stack([self._past(values[names == name], times[names == name]) for name in asked])
        known = {name: index for index, name in enumerate(facts["series"]["names"], start=1)}
        index = np.array([known.get(name, 0) for name in asked]) if column else np.ones(1, np.int64)
        scale = np.array([facts["scale"], *facts["series"]["scales"]])[index]
        last = past[:, -1]
        x = np.column_stack([(past - last[:, None]) / scale[:, None], index]).astype(np.float32)
        with torch.inference_mode():
            forecast = self.network(torch.from_numpy(x)).double().numpy() * scale[:, None] + last[:, None]
        steps = np.tile(np.arange(1, facts["horizon"] + 1), len(asked))
        made = pd.DataFrame({"step": steps, "prediction": forecast.ravel()})
        if column:
            made.insert(0, column, np.repeat(np.array(asked, dtype=object), facts["horizon"]))
        return made

    def _past(self, values: np.ndarray, times: np.ndarray) -> np.ndarray:
        """The last values `(window,)` of a series."""
        ordered = values[np.argsort(times, kind="stable")][-self.facts["window"] :]
        missing = self.facts["window"] - len(ordered)
        return np.concatenate([np.full(missing, ordered[0]), ordered])


set_model(ExportedSequence())
