from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainers import curves, passages
from tuner.tracking import figures

CLASSIFICATION = {"roc.png", "precision_recall.png", "confusion_matrix.png", "calibration.png"}
REGRESSION = {"predicted_vs_actual.png", "residuals.png"}


def classes(count: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(count), 300)
    return curves.of_classification(rng.integers(0, count, 300), probabilities, [f"class {i}" for i in range(count)])


def regression() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return curves.of_regression(rng.normal(size=200), rng.normal(size=200))


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (classes(2), CLASSIFICATION),
        (classes(30), CLASSIFICATION),
        (regression(), REGRESSION),
        (passages.draw(np.arange(1, 50), np.arange(1, 50) ** 1.5), {"bits_per_token.png"}),
    ],
    ids=["two classes", "many classes", "regression", "language"],
)
def test_every_figure_that_the_numbers_allow_is_drawn(numbers: dict[str, Any], expected: set[str]) -> None:
    drawn = figures.draw(numbers)

    assert set(drawn) == expected
    for png in drawn.values():
        image = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
        assert image.shape == (400, 500)
        assert (image < 128).mean() > 0.005  # something is on it


def test_a_class_without_rows_is_left_out_and_the_rest_drawn() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), 50)

    drawn = figures.draw(curves.of_classification(np.zeros(50, dtype=int), probabilities, ["a", "b", "c"]))

    assert set(drawn) == CLASSIFICATION


def test_numbers_of_nothing_draw_nothing() -> None:
    assert figures.draw({"task": "text"}) == {}


@pytest.mark.parametrize("module", ["tuner.tracking.server", "tuner.tracking.links", "tuner.maintenance.publish"])
def test_importing_tracking_costs_neither_mlflow_nor_matplotlib(module: str) -> None:
    heavy = "{'mlflow', 'matplotlib', 'torch'}"
    code = f"import sys, {module}; sys.exit(bool({heavy} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
