"""The numbers behind a trial's figures: ROC, precision-recall, confusion, calibration; or residuals.

Owns their JSON: plain lists of bounded length, without NaN or infinity. The page that draws them needs nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trainers.metrics import Ranking, classification, confusion

POINTS = 200  # most points of a curve
POINTS_IN_ALL = 2000  # most points of a family of curves; from ten classes on they share
CALIBRATION_BINS = 10
RESIDUAL_BINS = 20
DIGITS = 6


def of_classification(y: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    """Curves of class probabilities; with two classes those of class 1, else of each class against the rest.

    Args:
        y: `(rows,)` class indices.
        probabilities: `(rows, classes)`.
        class_names: one per class.

    Returns:
        `roc` with `auc` (the metric), `classes` (each `class`, `auc`, `fpr`, `tpr`, `threshold`) and the `macro` mean
        curve; `precision_recall` with `average_precision` and `classes` (`class`, `average_precision`, `recall`,
        `precision`, `threshold`); `confusion_matrix` rows by true class; `calibration`. A class of which validation
        has no rows, or nothing else, has no curve.
    """
    probabilities = probabilities.astype(np.float64)
    scores = classification(y, probabilities)
    questions = [1] if len(class_names) == 2 else list(range(len(class_names)))
    points = max(20, min(POINTS, POINTS_IN_ALL // len(questions)))
    roc, precision_recall = [], []
    for index in questions:
        truth = (y == index).astype(np.float64)[:, None]
        if 0 < truth.sum() < len(truth):
            ranked = Ranking(truth, probabilities[:, [index]])
            roc.append({"class": class_names[index], **_roc(ranked, points)})
            precision_recall.append({"class": class_names[index], **_precision_recall(ranked, points)})
    return {
        "task": "classification",
        "class_names": list(class_names),
        "roc": {"auc": scores["roc_auc"], "classes": roc, "macro": _macro(roc)},
        "precision_recall": {"average_precision": scores["average_precision"], "classes": precision_recall},
        "confusion_matrix": confusion(y, probabilities).tolist(),
        "calibration": _calibration(y, probabilities),
    }


def of_regression(y: np.ndarray, predictions: np.ndarray) -> dict[str, Any]:
    """Predicted against actual, and how residuals (predicted minus actual) spread; both arguments `(rows,)`.

    Returns:
        `predictions` with up to 200 pairs of `actual` and `predicted`, evenly over the actual values; `residuals` with
        20 `counts` between 21 `edges`.
    """
    predictions = predictions.astype(np.float64)
    order = np.argsort(y, kind="stable")
    shown = order[np.unique(np.linspace(0, len(y) - 1, min(POINTS, len(y))).astype(int))]
    counts, edges = np.histogram(predictions - y, bins=RESIDUAL_BINS)
    return {
        "task": "regression",
        "predictions": {"actual": _rounded(y[shown]), "predicted": _rounded(predictions[shown])},
        "residuals": {"edges": _rounded(edges), "counts": counts.tolist()},
    }


def thinned(x: np.ndarray, y: np.ndarray, points: int) -> np.ndarray:
    """Indices of at most `points` points of a curve, both ends among them, evenly along its way.

    The way is measured in steps across plus steps up, so steep and flat stretches keep their shape alike.
    """
    if len(x) <= points:
        return np.arange(len(x))
    way = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    return np.unique(np.searchsorted(way, np.linspace(0, way[-1], points)).clip(max=len(x) - 1))


def _roc(ranked: Ranking, points: int) -> dict[str, Any]:
    last = ranked.last[:, 0]
    fpr = np.concatenate([[0.0], ranked.misses[last, 0] / ranked.misses[-1, 0]])
    tpr = np.concatenate([[0.0], ranked.hits[last, 0] / ranked.hits[-1, 0]])
    # nothing is positive at the first point; its threshold, infinite elsewhere, is the greatest probability there is
    threshold = np.concatenate([[1.0], ranked.scores[last, 0]])
    kept = thinned(fpr, tpr, points)
    return {
        "auc": float(ranked.roc_auc()[0]),
        "fpr": _rounded(fpr[kept]),
        "tpr": _rounded(tpr[kept]),
        "threshold": _rounded(threshold[kept]),
    }


def _precision_recall(ranked: Ranking, points: int) -> dict[str, Any]:
    last = ranked.last[:, 0]
    hits, misses = ranked.hits[last, 0], ranked.misses[last, 0]
    recall = np.concatenate([[0.0], hits / hits[-1]])
    # scikit-learn's convention: precision is 1 where nothing is predicted positive
    precision = np.concatenate([[1.0], hits / (hits + misses)])
    threshold = np.concatenate([[1.0], ranked.scores[last, 0]])
    kept = thinned(recall, precision, points)
    return {
        "average_precision": float(ranked.average_precision()[0]),
        "recall": _rounded(recall[kept]),
        "precision": _rounded(precision[kept]),
        "threshold": _rounded(threshold[kept]),
    }


def _macro(roc: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean of the classes' curves at 101 false positive rates."""
    if not roc:
        return {"fpr": [], "tpr": []}
    fpr = np.linspace(0, 1, 101)
    tpr = np.mean([np.interp(fpr, each["fpr"], each["tpr"]) for each in roc], axis=0)
    return {"fpr": _rounded(np.concatenate([[0.0], fpr])), "tpr": _rounded(np.concatenate([[0.0], tpr]))}


def _calibration(y: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """How often predictions of a probability come true, in ten bins of equal width; empty bins are left out.

    With two classes it is the probability of class 1, with more that of the most probable class. `error` is the
    expected calibration error (Naeini et al. 2015): the bins' gaps, weighted by rows.
    """
    if probabilities.shape[1] == 2:
        claimed, came_true = probabilities[:, 1], y == 1
    else:
        claimed, came_true = probabilities.max(axis=1), y == probabilities.argmax(axis=1)
    bins = np.minimum((claimed * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    rows = np.bincount(bins, minlength=CALIBRATION_BINS)
    used = rows > 0
    predicted = np.bincount(bins, claimed, CALIBRATION_BINS)[used] / rows[used]
    observed = np.bincount(bins, came_true, CALIBRATION_BINS)[used] / rows[used]
    return {
        "predicted": _rounded(predicted),
        "observed": _rounded(observed),
        "rows": rows[used].tolist(),
        "error": float(np.sum(np.abs(predicted - observed) * rows[used]) / len(y)),
    }


def _rounded(values: np.ndarray) -> list[float]:
    rounded: list[float] = np.round(values, DIGITS).tolist()
    return rounded
