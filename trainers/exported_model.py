"""A trained model as MLflow runs it: raw rows in, class probabilities or targets out. Copied into every model folder.

MLflow executes this file where the model is loaded, so it imports nothing of this project. Beside it lie a network
(`torch.export`) and the JSON of `trainers.preprocessing`; nothing here is pickled.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class ExportedModel(PythonModel):  # type: ignore[misc]  # mlflow ships no types
    """Preprocessing and network in one."""

    def load_context(self, context: Any) -> None:
        """Reads the model's files; called once, before any prediction."""
        self.preprocessing = json.loads(Path(context.artifacts["preprocessing"]).read_text(encoding="utf-8"))
        self.network = torch.export.load(context.artifacts["network"]).module()

    def predict(self, model_input: pd.DataFrame) -> pd.DataFrame:
        """Predicts raw rows.

        Args:
            model_input: a DataFrame with the feature columns in any order; for an image model an array
                `(rows, height, width)` or `(rows, height, width, channels)` (mlflow warns of a hint that says so).

        Returns:
            One row per row: for classification a column of probabilities per class, named after it; for regression
            one column `prediction` in the target's unit.
        """
        x = torch.from_numpy(self._preprocessed(model_input))
        with torch.inference_mode():
            predicted = self.network(x).double().numpy()
        index = model_input.index if isinstance(model_input, pd.DataFrame) else None
        if self.preprocessing["task"] == "regression":
            return pd.DataFrame({"prediction": predicted}, index=index)
        return pd.DataFrame(predicted, columns=self.preprocessing["class_names"], index=index)

    def _preprocessed(self, model_input: pd.DataFrame | np.ndarray) -> np.ndarray:
        """The same arithmetic as `trainers.preprocessing.apply`: float32, columns or `(rows, channels, h, w)`."""
        mean, scale = np.array(self.preprocessing["mean"]), np.array(self.preprocessing["scale"])
        if self.preprocessing["kind"] == "tabular":
            columns = model_input[self.preprocessing["feature_names"]].to_numpy(np.float64)
            rows: np.ndarray = ((columns - mean) / scale).astype(np.float32)
            return rows
        channels = model_input if model_input.ndim == 4 else model_input[..., None]
        return np.ascontiguousarray(np.moveaxis((channels - mean) / scale, -1, 1), dtype=np.float32)


set_model(ExportedModel())
