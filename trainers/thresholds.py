"""From which probability on a row is taken for class 1, where there are two classes: chosen on validation, by a stated aim.

Metrics such as `val/accuracy` are those of the likeliest class, as scikit-learn's `predict` has it, whatever is chosen here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import roc_curve

from trainers.configs import TrainingConfig

BY_OBJECTIVE = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "roc_auc": "balanced_accuracy",
    "f1": "f1",
    "average_precision": "f1",
}
"""What `auto` aims at. Other objectives judge probabilities as they are, or have an answer at an end: they keep 0.5."""


def choose(y: np.ndarray, probabilities: np.ndarray, config: TrainingConfig, objective: str) -> dict[str, Any] | None:
    """Chooses the threshold that a config aims at; of equally good ones that which is nearest to 0.5.

    A threshold lies in the middle between two probabilities that occur, so that rounding turns no decision; where 0.5 decides
    alike, it is 0.5.

    Args:
        y: `(rows,)` class indices of validation.
        probabilities: `(rows, classes)`.
        config: with `threshold` and `min_specificity`.
        objective: the metric that epochs are compared by, which `auto` follows.

    Returns:
        `threshold`, `aim`, and what validation says of it: `accuracy`, `balanced_accuracy`, `f1`, `sensitivity`, `specificity`.
        None where there is nothing to choose: for other than two classes, for none, and for validation of one class.
    """
    aim = BY_OBJECTIVE.get(objective, "none") if config.threshold == "auto" else config.threshold
    positives = int(np.sum(y == 1))
    negatives = len(y) - positives
    if aim == "none" or probabilities.shape[1] != 2 or not positives or not negatives:
        return None
    scores = probabilities[:, 1].astype(np.float64)
    fpr, tpr, thresholds = roc_curve(y, scores, drop_intermediate=False)
    hits, misses = tpr * positives, fpr * negatives
    measured = {
        "accuracy": (hits + negatives - misses) / len(y),
        "balanced_accuracy": (tpr + 1 - fpr) / 2,
        "f1": 2 * hits / (hits + misses + positives),
        "sensitivity": tpr,
        "specificity": 1 - fpr,
    }
    between = _between(thresholds)
    best = _best(aim, measured, between, config.min_specificity)
    told = {name: float(values[best]) for name, values in measured.items()}
    return {"threshold": float(between[best]), "aim": aim, **told}


def _between(thresholds: np.ndarray) -> np.ndarray:
    """A threshold for each point of a curve: halfway down to the next probability that occurs, or 0.5 where that does.

    Args:
        thresholds: falling, the first above all probabilities, as scikit-learn gives them.
    """
    above, below = thresholds.copy(), np.append(thresholds[1:], 0.0)
    above[0] = 1.0
    halfway = (above + below) / 2
    halfway = np.where(halfway > below, halfway, above)  # between neighbours there is no number
    # the first point takes no row for class 1, also not one that is surely so
    halfway[0] = np.nextafter(halfway[0], 2.0)
    half_does = (below < 0.5) & (above >= 0.5)
    return np.where(half_does, 0.5, halfway)


def _best(aim: str, measured: dict[str, np.ndarray], between: np.ndarray, min_specificity: float) -> int:
    """The index of the best threshold: by the aim, then for sensitivity by specificity, then by nearness to 0.5."""
    value = measured[aim]
    if aim == "sensitivity":
        # the first point is always specific enough; counts as quotients may miss a bound by rounding
        value = np.where(
            measured["specificity"] >= min_specificity - 1e-12, value + 1e-6 * measured["specificity"], -1.0
        )
    return int(np.lexsort((np.abs(between - 0.5), -np.round(value, 12)))[0])
