"""Labelled series for tests: made ones of unequal length with gaps; and real digits, read line by line as steps of 8 pixels."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

from tests.unit.trainers.stored import store
from trainers.contract import Dataset, Part
from trainers.data import files, parts

KINDS = ("falls", "rises", "turns")
SAID = {"time": "second", "series": "run", "target": "course"}


def table(runs: int = 90) -> pd.DataFrame:
    """`run`, `second`, `speed` (some missing), `braked`, `driver`, `course`; the classes have the same mean."""
    random = np.random.default_rng(0)
    rows = []
    for run in range(runs):
        steps, kind = int(random.integers(6, 25)), KINDS[run % 3]
        ahead = np.linspace(-1, 1, steps)
        course = {"falls": -ahead, "rises": ahead, "turns": 2 * np.abs(ahead) - 1}[kind]
        speed = 30 + 8 * course + random.normal(size=steps)
        speed[random.random(steps) < 0.1] = np.nan
        rows.append(
            pd.DataFrame(
                {
                    "run": f"run {run}",
                    "second": np.arange(steps),
                    "speed": speed.round(3),
                    "braked": np.where(random.random(steps) < 0.3, "yes", "no"),
                    "driver": f"driver {run % 7}",
                    "course": kind,
                }
            )
        )
    return pd.concat(rows).sample(frac=1, random_state=0).reset_index(drop=True)


def digit_table(digits: int) -> pd.DataFrame:
    """`digit`, `line`, `p0` … `p7`, `shows`: scikit-learn's scans, a row a line of pixels."""
    bunch = load_digits()
    lines = bunch.images[:digits].reshape(-1, 8).astype(int)
    frame = pd.DataFrame(lines, columns=[f"p{i}" for i in range(8)])
    frame.insert(0, "digit", np.repeat(np.arange(digits), 8))
    frame.insert(1, "line", np.tile(np.arange(8), digits))
    return frame.assign(shows=np.repeat(bunch.target[:digits], 8))


@cache
def dataset() -> Dataset:
    with tempfile.TemporaryDirectory() as scratch:
        return files.load(store(Path(scratch, "set"), {"data.csv": table().to_csv(index=False)}, **SAID), "runs")


@cache
def digits() -> Dataset:
    with tempfile.TemporaryDirectory() as scratch:
        given = {"data.csv": digit_table(600).to_csv(index=False)}
        said = {"time": "line", "series": "digit", "target": "shows"}
        return files.load(store(Path(scratch, "set"), given, **said), "digits")


def split(given: Dataset) -> tuple[Part, Part]:
    train_rows, validation_rows = parts.of(given, validation=0.2, test=0.2, folds=1, repeats=1, seed=0).folds[0]
    return Part(given, train_rows), Part(given, validation_rows)
