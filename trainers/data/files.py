"""A stand-in until the reading side is merged: one numeric CSV with a target of class labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from trainers.contract import Dataset
from trainers.data.digest import digest


def load(folder: Path, name: str) -> Dataset:
    target = json.loads((folder / "source.json").read_text())["target"]
    table = pd.read_csv(folder / "data.csv")
    labels = sorted(table[target].unique())
    y = np.searchsorted(labels, table[target]).astype(np.int64)
    x = table.drop(columns=[target]).to_numpy(np.float64)
    return Dataset(
        name=name,
        kind="tabular",
        task="classification",
        x=x,
        y=y,
        feature_names=tuple(column for column in table.columns if column != target),
        class_names=tuple(map(str, labels)),
        digest=digest(x, y),
    )
