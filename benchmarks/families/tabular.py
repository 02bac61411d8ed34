"""`tabular-mlp` beside scikit-learn's gradient boosting, at its defaults and tuned: scikit-learn's tables.

Run as `python -m benchmarks.families.tabular`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from benchmarks.families import problem, run
from benchmarks.families.problem import Candidate, Family, Problem, Scores, Usual
from trainers import scoring
from trainers.data import load

SETS = ("breast_cancer", "wine", "iris", "diabetes")
FOLDS = 3  # as 30 rows of validation would rather find who is lucky
METRICS = {"classification": ("log_loss", "accuracy", "roc_auc"), "regression": ("rmse", "mae", "r2")}


def problems(seed: int, _folder: Path) -> Iterator[Problem]:
    for name in SETS:
        dataset = load.load(name)
        yield problem.split(name, seed, METRICS[dataset.task], dataset, folds=FOLDS)


def defaults(_problem: Problem) -> list[Candidate]:
    return [{}]


def choices(given: Problem) -> list[Candidate]:
    return problem.grid(
        {},
        given.seed,
        learning_rate=[0.02, 0.05, 0.1, 0.3],
        max_iter=[50, 100, 300],
        max_leaf_nodes=[4, 8, 15, 31],
        min_samples_leaf=[5, 20, 40],
        l2_regularization=[0.0, 1.0, 10.0],
        max_features=[0.3, 1.0],
    )


def boosting(given: Problem, candidate: Candidate, learnt: np.ndarray, held: np.ndarray) -> Scores:
    """Gradient boosting fitted to some rows, judged on others."""
    dataset, measure = given.dataset, scoring.MEASURES[given.dataset.task]
    x, y = dataset.x[learnt], dataset.y[learnt]
    if dataset.task == "regression":
        regressor = HistGradientBoostingRegressor(random_state=0, **candidate).fit(x, y)
        return measure(dataset.y[held], regressor.predict(dataset.x[held]))
    classifier = HistGradientBoostingClassifier(random_state=0, **candidate).fit(x, y)
    return measure(dataset.y[held], classifier.predict_proba(dataset.x[held]))


FAMILY = Family(
    name="tabular",
    trainer="tabular-mlp",
    seconds=6,
    problems=problems,
    usual=(
        Usual(name="HistGradientBoosting at its defaults", candidates=defaults, answer=boosting),
        Usual(name="HistGradientBoosting, tuned", candidates=choices, answer=boosting),
    ),
)

if __name__ == "__main__":
    run.main(FAMILY.name)
