import warnings

import numpy as np
import pytest
from sklearn import metrics as reference

from trainers import catalog, metrics


def draw(classes: int, rows: int, seed: int, decimals: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Labels and informative probabilities; few decimals make many ties."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, rows - classes)])
    logits = rng.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[y]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if decimals is not None:
        p = np.round(p, decimals)
        p[:, -1] = 1 - p[:, :-1].sum(axis=1)
        p = np.clip(p, 0, 1)
        p /= p.sum(axis=1, keepdims=True)
    return y, p


def expected(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    classes = p.shape[1]
    binary = classes == 2
    scores, predicted = (p[:, 1] if binary else p), p.argmax(axis=1)
    average = {"average": "binary" if binary else "macro", "zero_division": 0}
    return {
        "accuracy": reference.accuracy_score(y, predicted),
        "balanced_accuracy": reference.balanced_accuracy_score(y, predicted),
        "precision": reference.precision_score(y, predicted, **average),
        "recall": reference.recall_score(y, predicted, **average),
        "f1": reference.f1_score(y, predicted, **average),
        "roc_auc": reference.roc_auc_score(y, scores, multi_class="ovr", average="macro"),
        "average_precision": reference.average_precision_score(y, scores),
        "log_loss": reference.log_loss(y, y_proba=p, labels=range(classes)),
        "brier": reference.brier_score_loss(y, scores, labels=None if binary else range(classes)),
    }


@pytest.mark.parametrize("decimals", [None, 1])
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("seed", range(5))
def test_metrics_are_scikit_learns(classes: int, decimals: int | None, seed: int) -> None:
    y, p = draw(classes, 120, seed, decimals)

    assert metrics.classification(y, p) == pytest.approx(expected(y, p), abs=1e-9)


def test_there_is_a_number_for_every_metric_of_the_catalog() -> None:
    y, p = draw(3, 30, 0, None)

    assert {*metrics.classification(y, p), "loss"} == set(catalog.METRICS["classification"])
    assert {*metrics.regression(p[:, 0], p[:, 1]), "loss"} == set(catalog.METRICS["regression"])


def test_a_perfect_and_a_useless_model_have_the_extreme_scores() -> None:
    y = np.array([0, 1, 0, 1])
    perfect, useless = metrics.classification(y, np.eye(2)[y]), metrics.classification(y, np.full((4, 2), 0.5))

    assert {perfect[name] for name in ("accuracy", "f1", "roc_auc", "average_precision")} == {1.0}
    assert perfect["brier"] == 0.0
    assert perfect["log_loss"] == pytest.approx(0.0, abs=1e-9)
    assert (useless["roc_auc"], useless["average_precision"], useless["brier"]) == (0.5, 0.5, 0.25)


def test_a_class_without_rows_is_left_out_of_the_mean() -> None:
    y, p = draw(3, 60, 1, None)
    present = y < 2
    y, p = y[present], p[present]
    found = metrics.classification(y, p)

    each = [reference.roc_auc_score(y == index, p[:, index]) for index in (0, 1)]
    assert found["roc_auc"] == pytest.approx(np.mean(each), abs=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns where it leaves the class out
        assert found["balanced_accuracy"] == pytest.approx(
            reference.balanced_accuracy_score(y, p.argmax(axis=1)), abs=1e-9
        )
    each = [reference.average_precision_score(y == index, p[:, index]) for index in (0, 1)]
    assert found["average_precision"] == pytest.approx(np.mean(each), abs=1e-9)
    macro = {"average": "macro", "zero_division": 0}
    assert found["f1"] == pytest.approx(reference.f1_score(y, p.argmax(axis=1), **macro), abs=1e-9)


def test_one_class_alone_ranks_nothing() -> None:
    found = metrics.classification(np.zeros(5, int), np.full((5, 2), 0.5))

    assert (found["roc_auc"], found["average_precision"]) == (0.5, 0.0)


def test_an_impossible_prediction_has_a_finite_loss() -> None:
    found = metrics.classification(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]))

    assert 17 < found["log_loss"] < 19


@pytest.mark.parametrize("seed", range(3))
def test_regression_metrics_are_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, predicted = rng.normal(100, 30, 50), rng.normal(100, 30, 50)

    assert metrics.regression(y, predicted) == pytest.approx(
        {
            "rmse": reference.root_mean_squared_error(y, predicted),
            "mae": reference.mean_absolute_error(y, predicted),
            "r2": reference.r2_score(y, predicted),
        },
        abs=1e-9,
    )


@pytest.mark.parametrize(("predicted", "r2"), [([3.0, 3.0], 1.0), ([3.0, 4.0], 0.0)])
def test_r2_of_constant_targets_is_scikit_learns(predicted: list[float], r2: float) -> None:
    y = np.array([3.0, 3.0])

    assert metrics.regression(y, np.array(predicted))["r2"] == r2 == reference.r2_score(y, predicted)
