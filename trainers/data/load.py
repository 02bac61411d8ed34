"""Loads the built-in data sets into memory, raw; imports scikit-learn, which ships their rows."""

from __future__ import annotations

import numpy as np
from sklearn import datasets

from trainers.contract import Dataset
from trainers.data.builtin import BUILTIN
from trainers.data.digest import digest

LOADERS = {
    "digits": datasets.load_digits,
    "breast_cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
    "iris": datasets.load_iris,
    # scikit-learn's own scaling looked at all rows, test rows included
    "diabetes": lambda: datasets.load_diabetes(scaled=False),
}


def load(name: str) -> Dataset:
    """Loads a built-in data set.

    Raises:
        KeyError: for a name that is not built in.
    """
    info = BUILTIN[name]
    bunch = LOADERS[name]()
    x = np.ascontiguousarray(bunch.images if info.kind == "image" else bunch.data, dtype=np.float64)
    y = np.ascontiguousarray(bunch.target, dtype=np.int64 if info.task == "classification" else np.float64)
    return Dataset(
        name=name,
        kind=info.kind,
        task=info.task,
        x=x,
        y=y,
        feature_names=info.feature_names,
        class_names=info.class_names,
        digest=digest(x, y),
        columns=info.columns,
    )
