import json

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from trainers import curves, metrics


def draw(classes: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, rows)
    logits = rng.normal(size=(rows, classes)) + np.eye(classes)[y]
    return y, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def names(classes: int) -> list[str]:
    return [f"class {index}" for index in range(classes)]


@pytest.mark.parametrize(("classes", "drawn"), [(2, ["class 1"]), (4, names(4))])
def test_roc_is_scikit_learns_within_the_thinning(classes: int, drawn: list[str]) -> None:
    y, p = draw(classes, 3000)
    roc = curves.of_classification(y, p, names(classes))["roc"]

    assert [each["class"] for each in roc["classes"]] == drawn
    for each in roc["classes"]:
        index = names(classes).index(each["class"])
        fpr, tpr, _ = reference.roc_curve(y == index, p[:, index])
        assert each["auc"] == pytest.approx(reference.roc_auc_score(y == index, p[:, index]), abs=1e-9)
        assert len(each["fpr"]) == len(each["tpr"]) == len(each["threshold"]) <= 200
        assert reference.auc(each["fpr"], each["tpr"]) == pytest.approx(each["auc"], abs=1e-3)
        # every point of the whole curve has a kept one near it, counted in steps across plus steps up
        steps = np.abs(fpr[:, None] - each["fpr"]) + np.abs(tpr[:, None] - each["tpr"])
        assert steps.min(axis=1).max() < 0.012
        assert (each["fpr"][0], each["tpr"][0], each["fpr"][-1], each["tpr"][-1]) == (0, 0, 1, 1)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_macro_area_is_the_metric_and_close_to_the_macro_curves(classes: int) -> None:
    y, p = draw(classes, 500)
    roc = curves.of_classification(y, p, names(classes))["roc"]

    assert roc["auc"] == metrics.classification(y, p)["roc_auc"]
    assert reference.auc(roc["macro"]["fpr"], roc["macro"]["tpr"]) == pytest.approx(roc["auc"], abs=0.01)


def test_a_threshold_gives_the_rates_beside_it() -> None:
    y, p = draw(2, 3000)
    roc = curves.of_classification(y, p, names(2))["roc"]["classes"][0]

    for fpr, tpr, threshold in list(zip(roc["fpr"], roc["tpr"], roc["threshold"], strict=True))[1::20]:
        positive = p[:, 1] >= threshold - 1e-6
        assert positive[y == 1].mean() == pytest.approx(tpr, abs=2e-3)
        assert positive[y == 0].mean() == pytest.approx(fpr, abs=2e-3)


def test_precision_recall_is_scikit_learns_within_the_thinning() -> None:
    y, p = draw(2, 3000)
    found = curves.of_classification(y, p, names(2))["precision_recall"]
    curve = found["classes"][0]
    precision, recall, _ = reference.precision_recall_curve(y, p[:, 1])

    assert found["average_precision"] == pytest.approx(reference.average_precision_score(y, p[:, 1]), abs=1e-9)
    assert len(curve["recall"]) <= 200
    assert (curve["recall"][0], curve["precision"][0], curve["recall"][-1]) == (0.0, 1.0, 1.0)
    # a thinned point is one of scikit-learn's
    pairs = np.round(np.column_stack([recall, precision]), 6)
    assert {(r, q) for r, q in zip(curve["recall"], curve["precision"], strict=True)} <= {tuple(row) for row in pairs}


def test_the_confusion_matrix_is_scikit_learns() -> None:
    y, p = draw(4, 300)
    found = curves.of_classification(y, p, names(4))

    assert found["confusion_matrix"] == reference.confusion_matrix(y, p.argmax(axis=1)).tolist()
    assert found["class_names"] == names(4)


def test_calibration_is_scikit_learns() -> None:
    y, p = draw(2, 1000)
    found = curves.of_classification(y, p, names(2))["calibration"]
    observed, predicted = calibration_curve(y, p[:, 1], n_bins=10)

    assert found["observed"] == pytest.approx(observed, abs=1e-6)
    assert found["predicted"] == pytest.approx(predicted, abs=1e-6)
    assert sum(found["rows"]) == 1000
    weighed = np.sum(np.abs(observed - predicted) * found["rows"]) / 1000
    assert found["error"] == pytest.approx(weighed, abs=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 10, 300])
def test_curves_are_strict_json_of_bounded_size(classes: int) -> None:
    y, p = draw(classes, 5000)
    written = json.dumps(curves.of_classification(y, p, names(classes)), allow_nan=False)

    assert len(written) < (200_000 if classes <= 10 else 1_000_000)


def test_a_class_without_rows_has_no_curve() -> None:
    y, p = draw(3, 100)
    y[y == 2] = 0
    found = curves.of_classification(y, p, names(3))

    assert [each["class"] for each in found["roc"]["classes"]] == ["class 0", "class 1"]
    assert json.dumps(found, allow_nan=False)


def test_one_class_alone_has_no_curves_but_is_json() -> None:
    found = curves.of_classification(np.zeros(5, int), np.full((5, 2), 0.5), names(2))

    assert (found["roc"]["classes"], found["roc"]["auc"]) == ([], 0.5)
    assert json.dumps(found, allow_nan=False)


def test_regression_shows_pairs_of_rows_and_counts_all_residuals() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(100, 20, 1000)
    predicted = y + rng.normal(0, 5, 1000)
    found = json.loads(json.dumps(curves.of_regression(y, predicted), allow_nan=False))

    pairs = {tuple(pair) for pair in np.round(np.column_stack([y, predicted]), 6).tolist()}
    shown = set(zip(found["predictions"]["actual"], found["predictions"]["predicted"], strict=True))
    assert len(shown) == 200
    assert shown <= pairs
    assert sum(found["residuals"]["counts"]) == 1000
    assert found["residuals"]["edges"][0] == pytest.approx((predicted - y).min(), abs=1e-6)
    assert len(found["residuals"]["edges"]) == 21
