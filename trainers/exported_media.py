"""A trained model of images or sound as MLflow runs it: files in, class probabilities or texts out. Copied into every such model.

MLflow executes this file where the model is loaded, so it imports nothing of this project. Beside it lie a network
(`torch.export`), the JSON of `trainers.preprocessing`, the very code that decoded the training files, and of a structured task
the trainer's own file that makes texts of the network's output; nothing is pickled.
"""

import importlib.util
import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

AT_ONCE = 64  # files; of large images all of them at once might have no room


class ExportedMedia(PythonModel):  # type: ignore[misc]  # mlflow ships no types
    """Decoding, preprocessing and network in one."""

    def load_context(self, context: Any) -> None:
        """Reads the model's files; called once, before any prediction."""
        self.preprocessing = json.loads(Path(context.artifacts["preprocessing"]).read_text(encoding="utf-8"))
        self.network = torch.export.load(context.artifacts["network"]).module()
        spec = importlib.util.spec_from_file_location("decoder_of_a_model", context.artifacts["decoder"])
        assert spec is not None
        assert spec.loader is not None
        self.decoder = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.decoder)
        answers = context.artifacts.get("answers")
        self.answers = None if answers is None else runpy.run_path(answers)["answers"]

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Predicts files.

        Args:
            model_input: a DataFrame whose one column, `image` or `audio`, has the bytes of a file in each row, in any of
                the formats of the decoder.
            params: `{"output": "class"}` asks for the class that a file is taken for.

        Returns:
            One row per row: a column of probabilities per class, named after it, or where asked for one column `prediction`
            of class names; of a structured task one column `prediction` of texts.

        Raises:
            ValueError: a file cannot be decoded; the text tells its row.
        """
        files = list(model_input[self.preprocessing["media"]["column"]])
        starts = range(0, len(files), AT_ONCE)
        predicted = [self._predicted(files[start : start + AT_ONCE], start) for start in starts]
        if self.answers is not None:
            texts = [text for outputs in predicted for text in self.answers(outputs, self.preprocessing)]
            return pd.DataFrame({"prediction": pd.Series(texts, index=model_input.index, dtype="str")})
        columns = self.preprocessing["class_names"]
        stacked = np.concatenate([np.empty((0, len(columns))), *predicted])
        if (params or {}).get("output") == "class":
            return pd.DataFrame({"prediction": self._decided(stacked)}, index=model_input.index)
        return pd.DataFrame(stacked, columns=columns, index=model_input.index)

    def _decided(self, probabilities: np.ndarray) -> np.ndarray:
        """The likeliest classes; of two the second from the threshold on that was chosen in training."""
        threshold = self.preprocessing.get("threshold")
        indices = probabilities.argmax(axis=1) if threshold is None else (probabilities[:, 1] >= threshold).astype(int)
        return np.asarray(np.array(self.preprocessing["class_names"], dtype=object)[indices])

    def _predicted(self, files: list[bytes], first: int) -> np.ndarray:
        rows = np.stack([self._row(file, first + i) for i, file in enumerate(files)])
        with torch.inference_mode():
            predicted: np.ndarray = self.network(torch.from_numpy(self._preprocessed(rows))).double().numpy()
        return predicted

    def _row(self, file: bytes, place: int) -> np.ndarray:
        arguments = {name: value for name, value in self.preprocessing["media"].items() if name != "column"}
        try:
            row: np.ndarray = self.decoder.decode(file, **arguments)
        except ValueError as error:
            raise ValueError(f"row {place}: {error}") from error
        return row

    def _preprocessed(self, rows: np.ndarray) -> np.ndarray:
        """The same arithmetic as `trainers.preprocessing.apply`."""
        if self.preprocessing["kind"] == "audio":
            return rows.astype(np.float32) / np.float32(self.preprocessing["scale"][0])
        mean, scale = np.array(self.preprocessing["mean"]), np.array(self.preprocessing["scale"])
        channels = rows if rows.ndim == 4 else rows[..., None]
        return np.ascontiguousarray(np.moveaxis((channels - mean) / scale, -1, 1), dtype=np.float32)


set_model(ExportedMedia())
