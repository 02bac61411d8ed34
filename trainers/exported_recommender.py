"""A trained recommender as MLflow runs it: users in, items out; or users and items in, ratings out.

Copied into every such model's folder and executed where the model is loaded, so it imports nothing of this project. Beside it
lie a network (`torch.export`), JSON with the names of users and items and what each user had in training, and, for
features, the code that preprocesses a table; nothing here is pickled.
"""

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

ITEMS_GIVEN = 10  # to a user for whom `k` says nothing else
SCORES_AT_ONCE = 2**24


class ExportedRecommender(PythonModel):  # type: ignore[misc]  # mlflow ships no types
    """Names, features and network in one."""

    def load_context(self, context: Any) -> None:
        """Reads the model's files; called once, before any prediction."""
        self.facts = json.loads(Path(context.artifacts["preprocessing"]).read_text(encoding="utf-8"))
        self.network = torch.export.load(context.artifacts["network"]).module()
        self.of_tables = runpy.run_path(context.artifacts["tables"])
        self.places = {role: pd.Index(self.facts[role]["names"], dtype="str") for role in ("user", "item")}

    def predict(self, model_input: pd.DataFrame) -> pd.DataFrame:
        """Recommends items, or predicts ratings.

        Args:
            model_input: a DataFrame with the column of users, those of their features where they have any, and for
                ratings the same of items. A user who is new is known by the features, and one of whom nothing is known
                is given the popular items. `k` is how many items to give, 10 if left out.

        Returns:
            Of events, `rank` (from 1), `item` and `score` for each item given to the row whose index is its index, the
            best first, without what the user had in training; of ratings, `prediction` for each row.

        Raises:
            MlflowException: there is no row, the column of users or items is missing, or `k` is no number of items.
        """
        self._refuse_lacking(model_input)
        if self.facts["task"] == "regression":
            x = np.hstack([self._known("user", model_input, 0), self._known("item", model_input, 0)])
            with torch.inference_mode():
                ratings = self.network(torch.from_numpy(x)).double().numpy()
            return pd.DataFrame({"prediction": ratings}, index=model_input.index)
        return self._recommended(model_input, self._known("user", model_input, -1))

    def _refuse_lacking(self, frame: pd.DataFrame) -> None:
        roles = ("user", "item") if self.facts["task"] == "regression" else ("user",)
        absent = [self.facts[role]["column"] for role in roles if self.facts[role]["column"] not in frame]
        if absent:
            raise _refusal(f"the rows lack {', '.join(map(repr, absent))}: give the columns that training had")
        if not len(frame):
            raise _refusal(f"there is no row: give one for each {' and '.join(roles)}")

    def _known(self, role: str, frame: pd.DataFrame, stranger: int) -> np.ndarray:
        """Index and features, float32 `(rows, 1 + inputs)`; `stranger` is the index where nothing is known."""
        facts = self.facts[role]
        names = self.of_tables["_texts"](frame[facts["column"]], [])
        index = self.places[role].get_indexer(names) + 1
        if facts["features"] is None:
            return np.where(index > 0, index, stranger).astype(np.float32)[:, None]
        wanted = facts["features"]["feature_names"]
        given = self.of_tables["preprocessed"](facts["features"], frame)
        nothing = frame.reindex(columns=wanted).isna().all(axis=1).to_numpy()
        index = np.where((index == 0) & nothing, stranger, index)
        return np.hstack([index[:, None].astype(np.float32), given])

    def _recommended(self, frame: pd.DataFrame, x: np.ndarray) -> pd.DataFrame:
        wanted = _numbers_of_items(frame)
        rows = max(1, SCORES_AT_ONCE // len(self.places["item"]))
        parts = [
            self._best(x[start : start + rows], wanted[start : start + rows], start) for start in range(0, len(x), rows)
        ]
        row, rank, place, score = (np.concatenate(each) for each in zip(*parts, strict=True))
        names = self.places["item"].to_numpy()[place]
        return pd.DataFrame({"rank": rank + 1, "item": names, "score": score}, index=frame.index[row])

    def _best(self, x: np.ndarray, wanted: np.ndarray, start: int) -> tuple[np.ndarray, ...]:
        """Row (counted on from `start`), rank, place and score of each item given."""
        with torch.inference_mode():
            scores = self.network(torch.from_numpy(x)).double()
            for user, index in enumerate(x[:, 0].astype(int).tolist()):
                if index > 0:
                    scores[user, self.facts["seen"][index - 1]] = -torch.inf
            best, places = torch.topk(scores, min(int(wanted.max(initial=1)), scores.shape[1]))
        given = (np.arange(best.shape[1]) < wanted[:, None]) & np.isfinite(best.numpy())
        rows, ranks = np.nonzero(given)
        return rows + start, ranks, places.numpy()[given], best.numpy()[given]


def _numbers_of_items(frame: pd.DataFrame) -> np.ndarray:
    """How many items each row asks for."""
    if "k" not in frame:
        return np.full(len(frame), ITEMS_GIVEN)
    asked = pd.to_numeric(frame["k"], errors="coerce")
    given = frame["k"].notna().to_numpy()
    wrong = np.flatnonzero(given & ~(asked.ge(0) & asked.mod(1).eq(0)).to_numpy(bool))
    if len(wrong):
        raise _refusal(
            f"k, row {wrong[0]} (the first is 0): '{frame['k'].iloc[wrong[0]]}' is no number of items: give one, or none"
        )
    return np.asarray(asked.fillna(ITEMS_GIVEN).to_numpy(np.int64))


def _refusal(text: str) -> MlflowException:
    """Of rows that cannot be used, as a server passes it on; the text tells what to do."""
    return MlflowException.invalid_parameter_value(text)


set_model(ExportedRecommender())
