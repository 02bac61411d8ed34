"""`image-cnn` beside k-nearest neighbours and SVC: scikit-learn's digits, written out as PNG files and read from a zip.

Run as `python -m benchmarks.families.image`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from benchmarks.families import problem, run
from benchmarks.families.problem import Candidate, Family, Problem, Scores, Usual
from tests.zipped import digits, packed
from trainers import scoring

METRICS = ("accuracy", "log_loss")


def problems(seed: int, folder: Path) -> Iterator[Problem]:
    yield problem.uploaded("digits", seed, METRICS, folder, {"data.zip": packed(digits())})


def neighbours(given: Problem) -> list[Candidate]:
    default = {"n_neighbors": 5, "weights": "uniform", "p": 2}
    return problem.grid(default, given.seed, n_neighbors=[1, 3, 5, 7, 9, 15], weights=["uniform", "distance"], p=[1, 2])


def machines(given: Problem) -> list[Candidate]:
    default = {"C": 1.0, "gamma": "scale"}
    return problem.grid(default, given.seed, C=[1.0, 3.0, 10.0, 30.0, 100.0], gamma=["scale", 0.005, 0.01, 0.03, 0.1])


def by_neighbours(given: Problem, candidate: Candidate, learnt: np.ndarray, held: np.ndarray) -> Scores:
    """Nearest neighbours of pixels; what they give as probabilities is judged, too."""
    pixels, y = _pixels(given), given.dataset.y
    model = KNeighborsClassifier(**candidate).fit(pixels[learnt], y[learnt])
    return scoring.MEASURES["classification"](y[held], model.predict_proba(pixels[held]))


def by_machine(given: Problem, candidate: Candidate, learnt: np.ndarray, held: np.ndarray) -> Scores:
    """A support vector machine on pixels; it gives no probabilities."""
    return classified(_pixels(given), given, candidate, learnt, held)


def classified(
    features: np.ndarray, given: Problem, candidate: Candidate, learnt: np.ndarray, held: np.ndarray
) -> Scores:
    """The accuracy of SVC on features `(rows, f)`."""
    y = given.dataset.y
    model: Any = SVC(**candidate).fit(features[learnt], y[learnt])
    return {"accuracy": float(model.score(features[held], y[held]))}


def _pixels(given: Problem) -> np.ndarray:
    """From 0 to 1, `(rows, pixels)`."""
    pixels: np.ndarray = given.dataset.x.reshape(len(given.dataset.y), -1) / 255
    return pixels


FAMILY = Family(
    name="image",
    trainer="image-cnn",
    seconds=12,
    problems=problems,
    usual=(
        Usual(name="k-nearest neighbours, tuned", candidates=neighbours, answer=by_neighbours),
        Usual(name="SVC, tuned", candidates=machines, answer=by_machine),
    ),
)

if __name__ == "__main__":
    run.main(FAMILY.name)
