"""A trained language model as MLflow runs it: texts in, how likely they are out, or how they go on.

Copied into every such model's folder and executed where the model is loaded, so it imports nothing of this project. Beside it
lie a network (`torch.export`), JSON with the tokenizer, and the code that reads texts with it; nothing here is pickled.
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

TOKENS_AT_ONCE = 2048
MOST_TOKENS = 1000  # of a continuation


class ExportedLanguage(PythonModel):  # type: ignore[misc]  # mlflow ships no types
    """Tokenizer and network in one."""

    def load_context(self, context: Any) -> None:
        """Reads the model's files; called once, before any prediction."""
        self.facts = json.loads(Path(context.artifacts["preprocessing"]).read_text(encoding="utf-8"))
        self.network = torch.export.load(context.artifacts["network"]).module()
        self.of_texts = runpy.run_path(context.artifacts["token_ids"])

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Judges texts, or goes on with them.

        Args:
            model_input: a DataFrame with the column of texts, of which a missing one is an empty one.
            params: `{"output": "continuation", "tokens": 20}` asks for how a text goes on, with the likeliest token each time.

        Returns:
            One row per row: `tokens` of the text, its end among them; the mean of their natural logarithms of likelihood,
            `log_likelihood`; and `perplexity`, the exponential of the negative of that. Or `continuation`, where asked for.
        """
        column = model_input[self.facts["feature_names"][0]]
        texts = column.where(column.notna(), "").astype("str").tolist()
        asked = params or {}
        if asked.get("output") == "continuation":
            wanted = min(int(asked.get("tokens", 20)), MOST_TOKENS)
            return pd.DataFrame({"continuation": [self._continued(text, wanted) for text in texts]}, index=column.index)
        x, of = self.of_texts["blocks"](self.facts["text"], texts)
        tokens = np.bincount(of, (x[:, 1:] != 0).sum(axis=1), len(texts))
        summed = np.bincount(of, self._surprise(x), len(texts))
        likelihood = -summed / tokens
        with np.errstate(over="ignore"):
            perplexity = np.exp(-likelihood)
        made = {"tokens": tokens.astype(np.int64), "log_likelihood": likelihood, "perplexity": perplexity}
        return pd.DataFrame(made, index=column.index)

    def _surprise(self, x: np.ndarray) -> np.ndarray:
        """Of each block, the sum of its tokens' negative log-likelihoods."""
        rows = max(1, TOKENS_AT_ONCE // max(1, x.shape[1]))
        with torch.inference_mode():
            there = [piece for piece in torch.split(torch.from_numpy(x), rows) if len(piece)]  # none of no texts
            pieces = [self.network(piece)[:, 0].numpy() for piece in there]
        return np.concatenate([np.empty(0), *pieces])

    def _continued(self, text: str, tokens: int) -> str:
        """What comes after a text, up to the end that the model gives it; of a long one, the last tokens are seen."""
        rules, filled = self.facts["text"], self.of_texts["filled"]
        seen = self.of_texts["opening"](rules, text)
        before = len(seen)
        with torch.inference_mode():
            while len(seen) < before + tokens:
                x = filled([seen[-rules["max_length"] :]])
                coming = int(self.network(torch.from_numpy(x))[0, 1])
                if coming in rules["ends"]:
                    break
                seen.append(coming)
        return str(self.of_texts["written"](rules, seen[before:]))


set_model(ExportedLanguage())
