"""Interactions of known structure: clubs of users, each with items of its own, in the order in which they were taken."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.unit.trainers.stored import store
from trainers.contract import Dataset, Part
from trainers.data import files, parts

CLUBS = "abcd"
TAKEN = 9  # items of each user


def table(users: int = 80, items: int = 60) -> pd.DataFrame:
    """`who` took `what` at `when`; a user's club is known, and so is how the user rates: by own mood and the item's worth."""
    random = np.random.default_rng(0)
    rows = []
    for user in range(users):
        mine = np.arange(user % len(CLUBS), items, len(CLUBS))
        for when, item in enumerate(random.permutation(mine)[:TAKEN]):
            stars = 3 + (user % 5 - 2) * 0.4 + (item % 7 - 3) * 0.2 + random.normal() * 0.05
            rows.append((f"u{user:03}", f"i{item:02}", when, CLUBS[user % len(CLUBS)], item % 7, round(stars, 3)))
    return pd.DataFrame(rows, columns=["who", "what", "when", "club", "worth", "stars"])


@cache
def dataset(*, ratings: bool = False, features: bool = True) -> Dataset:
    said: dict[str, Any] = {"user": "who", "item": "what", "time": "when"}
    if features:
        said |= {"user_features": ["club"], "item_features": ["worth"]}
    if ratings:
        said["rating"] = "stars"
    with tempfile.TemporaryDirectory() as scratch:
        return files.load(store(Path(scratch, "set"), {"data.csv": table().to_csv(index=False)}, **said), "clubs")


def split(given: Dataset) -> tuple[Part, Part]:
    train_rows, validation_rows = parts.of(given, validation=0.2, test=0.2, folds=1, repeats=1, seed=0).folds[0]
    return Part(given, train_rows), Part(given, validation_rows)
