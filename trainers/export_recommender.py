"""What MLflow is told of an exported recommender: its code, what it takes and gives, and an example of nobody's.

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

from trainers.data.info import ITEM, USER
from trainers.data.interactions import NUMBER_ASKED_FOR

CODE = Path(__file__).with_name("exported_recommender.py")
BESIDE: dict[str, str] = {}  # of code, but for what reads tables
GIVES = {
    "regression": Schema([ColSpec("double", "prediction")]),
    "recommendation": Schema([ColSpec("long", "rank"), ColSpec("string", "item"), ColSpec("double", "score")]),
}


def roles(facts: dict[str, Any]) -> tuple[str, ...]:
    """Whom a row of input tells of."""
    return (USER,) if facts["task"] == "recommendation" else (USER, ITEM)


def signature(facts: dict[str, Any], type_of: Callable[[dict[str, Any]], str]) -> ModelSignature:
    """The user, for ratings the item, their features where they have any, and how many items to give.

    Args:
        facts: the preprocessing of `trainers.pairs`.
        type_of: a feature's description to MLflow's type of it.
    """
    takes = []
    for role in roles(facts):
        takes.append(ColSpec("string", facts[role]["column"]))
        features = (facts[role]["features"] or {"columns": []})["columns"]
        takes += [ColSpec(type_of(each), each["name"], required=False) for each in features]
    if facts["task"] == "recommendation":
        takes.append(ColSpec("long", NUMBER_ASKED_FOR, required=False))
    return ModelSignature(inputs=Schema(takes), outputs=GIVES[facts["task"]])


def example(facts: dict[str, Any], x: np.ndarray, _raw: Callable[[dict[str, Any], np.ndarray], Any]) -> pd.DataFrame:
    """Users, and items, whom nobody knows: `a new user 1`; of their features nothing is said.

    Args:
        facts: the preprocessing of `trainers.pairs`.
        x: the example of the network, of which the number of rows is used.
    """
    return pd.DataFrame(
        {facts[role]["column"]: [f"a new {role} {i}" for i in range(1, len(x) + 1)] for role in roles(facts)}
    )
