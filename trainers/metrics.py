"""How good predictions are, by scikit-learn's names and definitions, computed in numpy.

For the few hundred rows of a validation part scikit-learn's checks of its arguments cost more than a training epoch.
With two classes precision, recall, f1, roc_auc and average_precision are those of class 1; with more they are the mean
over classes, each against the rest.

Where validation lacks a class, that class is left out of the mean (scikit-learn raises or warns): roc_auc averages the
classes that have rows inside and outside and is 0.5 without any, average_precision averages the classes that have
rows, precision, recall and f1 the classes that are present or predicted.
"""

from __future__ import annotations

import numpy as np


def classification(y: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Every metric of classification but the loss.

    Args:
        y: `(rows,)` class indices.
        probabilities: `(rows, classes)`, each row summing to 1.
    """
    probabilities = probabilities.astype(np.float64)
    truth = np.eye(probabilities.shape[1])[y]
    of_interest = slice(1, 2) if probabilities.shape[1] == 2 else slice(None)
    ranked = Ranking(truth[:, of_interest], probabilities[:, of_interest])
    return {
        **_decisions(confusion(y, probabilities)),
        "roc_auc": float(np.mean(auc)) if (auc := ranked.roc_auc()).size else 0.5,
        "average_precision": float(np.mean(ap)) if (ap := ranked.average_precision()).size else 0.0,
        "log_loss": _log_loss(truth, probabilities),
        "brier": _brier(truth, probabilities),
    }


def regression(y: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """Every metric of regression but the loss; both arguments `(rows,)` in the target's unit.

    r2 of constant targets is 1 where they are met and else 0, as in scikit-learn; of fewer than two rows it is 0.
    """
    errors = predictions.astype(np.float64) - y
    squares, spread = float(errors @ errors), float(np.sum((y - y.mean()) ** 2))
    if len(y) < 2:
        r2 = 0.0
    elif spread == 0:
        r2 = 1.0 if squares == 0 else 0.0
    else:
        r2 = 1 - squares / spread
    return {"rmse": float(np.sqrt(squares / len(y))), "mae": float(np.abs(errors).mean()), "r2": r2}


def confusion(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Rows counted by true class (first axis) and most probable class (second), `(classes, classes)` int64."""
    classes = probabilities.shape[1]
    pairs = y * classes + probabilities.argmax(axis=1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


class Ranking:
    """Rows ranked by score for several yes-or-no questions at once.

    Attributes:
        hits: `(rows, questions)` positives among the highest-scored rows, down to each.
        misses: the same for negatives.
        scores: `(rows, questions)` descending.
        last: `(rows, questions)` whether the next row has another score: only there is a threshold between rows.
    """

    def __init__(self, truth: np.ndarray, scores: np.ndarray) -> None:
        """Ranks rows.

        Args:
            truth: `(rows, questions)` of 0 and 1.
            scores: `(rows, questions)`, higher for more surely 1.
        """
        order = np.argsort(-scores, axis=0, kind="stable")
        self.scores = np.take_along_axis(scores, order, axis=0)
        self.hits = np.cumsum(np.take_along_axis(truth, order, axis=0), axis=0)
        self.misses = np.arange(1.0, len(truth) + 1)[:, None] - self.hits
        self.last = np.ones(truth.shape, bool)
        self.last[:-1] = self.scores[1:] != self.scores[:-1]

    def roc_auc(self) -> np.ndarray:
        """Area under each question's ROC curve; questions with one answer only are left out."""
        positives, negatives = self.hits[-1], self.misses[-1]
        # trapezoids between thresholds: a row inside a tie counts as if it stood at the tie's last row
        areas = self._steps(self.misses) * (self.hits + self._before(self.hits)) / 2
        two_sided = (positives > 0) & (negatives > 0)
        auc: np.ndarray = (np.sum(areas, axis=0, where=self.last) / np.maximum(positives * negatives, 1))[two_sided]
        return auc

    def average_precision(self) -> np.ndarray:
        """Sum of precision times gain in recall of each question; questions without positives are left out."""
        positives = self.hits[-1]
        precision = self.hits / (self.hits + self.misses)
        gained = np.sum(self._steps(self.hits) * precision, axis=0, where=self.last)
        precision_gained: np.ndarray = (gained / np.maximum(positives, 1))[positives > 0]
        return precision_gained

    def _before(self, counts: np.ndarray) -> np.ndarray:
        """The count at the threshold before each row's own, `(rows, questions)`; right where `last` is."""
        at_thresholds = np.where(self.last, counts, 0.0)
        before = np.zeros_like(counts)
        # counts never fall, so the greatest so far is that of the last threshold
        np.maximum.accumulate(at_thresholds[:-1], axis=0, out=before[1:])
        return before

    def _steps(self, counts: np.ndarray) -> np.ndarray:
        steps: np.ndarray = counts - self._before(counts)
        return steps


def _decisions(table: np.ndarray) -> dict[str, float]:
    """The metrics of a confusion table; 0 where a quotient has no denominator."""
    right, truly, predicted = np.diag(table).astype(float), table.sum(axis=1), table.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(predicted > 0, right / predicted, 0.0)
        recall = np.where(truly > 0, right / truly, 0.0)
        f1 = np.where(truly + predicted > 0, 2 * right / (truly + predicted), 0.0)
    averaged = np.array([False, True]) if len(table) == 2 else truly + predicted > 0
    return {
        "accuracy": float(right.sum() / table.sum()),
        "balanced_accuracy": float(recall[truly > 0].mean()),
        "precision": float(precision[averaged].mean()),
        "recall": float(recall[averaged].mean()),
        "f1": float(f1[averaged].mean()),
    }


def _log_loss(truth: np.ndarray, probabilities: np.ndarray) -> float:
    tiny = np.finfo(np.float64).eps
    return float(-np.sum(truth * np.log(np.clip(probabilities, tiny, 1 - tiny)), axis=1).mean())


def _brier(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared error of probabilities, summed over classes; halved for two, so it is that of class 1 alone."""
    total = float(np.sum((truth - probabilities) ** 2, axis=1).mean())
    return total / 2 if probabilities.shape[1] == 2 else total
