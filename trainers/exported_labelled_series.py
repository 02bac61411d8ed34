"""A trained classifier of series as MLflow runs it: rows of steps in, one row of class probabilities a series out.

Copied into every such model's folder and executed where the model is loaded, so it imports nothing of this project. Beside it
lie a network (`torch.export`), the JSON of its preprocessing, and the very code that lays series out and reads a table's rows;
nothing here is pickled.
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

VALUES_AT_ONCE = 2**20


class ExportedLabelledSeries(PythonModel):  # type: ignore[misc]  # mlflow ships no types
    """Layout, preprocessing and network in one."""

    def load_context(self, context: Any) -> None:
        """Reads the model's files; called once, before any prediction."""
        self.facts = json.loads(Path(context.artifacts["preprocessing"]).read_text(encoding="utf-8"))
        self.network = torch.export.load(context.artifacts["network"]).module()
        self.of_tables = runpy.run_path(context.artifacts["tables"])
        self.of_rows = runpy.run_path(context.artifacts["rows"])
        self.of_steps = runpy.run_path(context.artifacts["steps"])

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Predicts series.

        Args:
            model_input: a DataFrame with the columns of time, series and values, a row a step, in any order. A missing value
                is None or NaN; a column that had some in training may be left out.
            params: `{"output": "class"}` asks for the class that a series is taken for.

        Returns:
            A row for each series, in the order of their names: the column of the series, and a column of probabilities per
            class, named after it, or where asked for one column `prediction` of class names. A class with the name of the
            series' column is called `p(CLASS)`.

        Raises:
            MlflowException: there is no row or a column is missing, or a step has no series or no time that can be read.
        """
        facts = self.facts
        required = [each["name"] for each in facts["columns"] if each["required"]]
        self.of_rows["refuse_lacking"](model_input, [facts["series"], facts["time"]["name"], *required])
        names = self.of_rows["names"](self.of_tables, facts["series"], model_input)
        times = self.of_rows["numbers"](self.of_tables, facts["time"], model_input)
        frame = model_input.reindex(columns=[each["name"] for each in facts["columns"]])
        read = [
            self.of_tables["_numbers"](each, frame.iloc[:, i], facts["missing"])
            for i, each in enumerate(facts["columns"])
        ]
        codes, asked = pd.factorize(names, sort=True)
        x = self.of_steps["laid_out"](codes, times, np.column_stack(read))
        probabilities = self._probabilities(x)
        of_whom = pd.DataFrame({facts["series"]: np.asarray(asked, dtype=object)})
        if (params or {}).get("output") == "class":
            return of_whom.assign(prediction=self.of_tables["decided"](facts, probabilities))
        columns = [f"p({name})" if name == facts["series"] else name for name in facts["class_names"]]
        return pd.concat([of_whom, pd.DataFrame(probabilities, columns=columns)], axis=1)

    def _probabilities(self, x: np.ndarray) -> np.ndarray:
        at_once = max(1, VALUES_AT_ONCE // (self.facts["steps"] * x.shape[2]))
        pieces = []
        with torch.inference_mode():
            for start in range(0, len(x), at_once):
                given = self.of_steps["network_input"](self.facts, x[start : start + at_once])
                pieces.append(self.network(torch.from_numpy(given)).double().numpy())
        return np.concatenate(pieces)


set_model(ExportedLabelledSeries())
