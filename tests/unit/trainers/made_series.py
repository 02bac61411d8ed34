"""Series of known structure: a season of 12 on a trend, each with a level and a size of its own, and little noise."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from tests.unit.trainers.stored import store
from trainers.contract import Dataset, Part
from trainers.data import files, keys, parts

SEASON = 12


def table(months: int = 96) -> pd.DataFrame:
    """`month`, `shop`, `sold`."""
    random = np.random.default_rng(0)
    month = pd.date_range("2015-01-01", periods=months, freq="MS")
    rows = []
    for size, shop in ((1, "north"), (5, "south"), (20, "west")):
        course = size * (10 + 0.05 * np.arange(months) + 3 * np.sin(2 * np.pi * np.arange(months) / SEASON))
        sold = course + size * 0.2 * random.normal(size=months)
        rows.append(pd.DataFrame({"month": month.strftime("%Y-%m-%d"), "shop": shop, "sold": sold.round(4)}))
    return pd.concat(rows).sample(frac=1, random_state=0).reset_index(drop=True)


@cache
def dataset() -> Dataset:
    with tempfile.TemporaryDirectory() as scratch:
        files_of = {"data.csv": table().to_csv(index=False)}
        folder = store(Path(scratch, "set"), files_of, time="month", series="shop", target="sold")
        return keys.attach(files.load(folder, "shops"), folder, time="month")


def split(given: Dataset) -> tuple[Part, Part]:
    train_rows, validation_rows = parts.of(given, validation=0.2, test=0.2, folds=1, repeats=1, seed=0).folds[0]
    return Part(given, train_rows), Part(given, validation_rows)
