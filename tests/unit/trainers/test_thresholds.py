"""The threshold of a binary classifier: chosen as stated, kept in the model, and followed by its predictions."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn import metrics

from tests import strangers
from tests.unit.trainers.resuming import mixed
from trainers import catalog, export, tabular_mlp, thresholds
from trainers.configs import TabularMlpConfig
from trainers.contract import Part, TrainResult
from trainers.data.load import load
from trainers.hyperparameters import ConfigError
from tuner import predict

BY_HAND_Y = np.array([0, 0, 0, 1, 0, 1, 1])
BY_HAND_P = np.array([0.05, 0.1, 0.2, 0.25, 0.3, 0.35, 0.45])
AIMS = ("accuracy", "balanced_accuracy", "f1")
JUDGES = {
    "accuracy": metrics.accuracy_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "f1": metrics.f1_score,
}


def chosen(y: np.ndarray, p: np.ndarray, objective: str = "roc_auc", **config: Any) -> dict[str, Any] | None:
    return thresholds.choose(y, np.column_stack([1 - p, p]), TabularMlpConfig(**config), objective)


@pytest.mark.parametrize(
    ("config", "threshold", "sensitivity", "specificity"),
    [
        # at 0.5 nothing is taken for class 1; between 0.2 and 0.25 all three positives are, and one negative
        ({"threshold": "balanced_accuracy"}, 0.225, 1.0, 0.75),
        ({"threshold": "f1"}, 0.225, 1.0, 0.75),
        # one wrong of seven either way: 0.325 is nearer to 0.5
        ({"threshold": "accuracy"}, 0.325, 2 / 3, 1.0),
        ({"threshold": "sensitivity", "min_specificity": 1.0}, 0.325, 2 / 3, 1.0),
        ({"threshold": "sensitivity", "min_specificity": 0.75}, 0.225, 1.0, 0.75),
        ({"threshold": "sensitivity", "min_specificity": 0.76}, 0.325, 2 / 3, 1.0),
    ],
)
def test_a_case_that_can_be_worked_out_by_hand(
    config: dict[str, Any], threshold: float, sensitivity: float, specificity: float
) -> None:
    decision = chosen(BY_HAND_Y, BY_HAND_P, **config)

    assert decision is not None
    assert decision["threshold"] == pytest.approx(threshold)
    assert (decision["sensitivity"], decision["specificity"]) == pytest.approx((sensitivity, specificity))


@pytest.mark.parametrize(
    ("objective", "aim"),
    [
        ("roc_auc", "balanced_accuracy"),
        ("balanced_accuracy", "balanced_accuracy"),
        ("accuracy", "accuracy"),
        ("f1", "f1"),
        ("average_precision", "f1"),
        ("log_loss", None),
        ("brier", None),
        ("loss", None),
        ("precision", None),
        ("recall", None),
    ],
)
def test_auto_follows_the_objective(objective: str, aim: str | None) -> None:
    decision = chosen(BY_HAND_Y, BY_HAND_P, objective)

    assert (None if decision is None else decision["aim"]) == aim
    assert chosen(BY_HAND_Y, BY_HAND_P, objective, threshold="none") is None


probabilities = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))


@settings(deadline=None)
@example(rows=[(True, math.nextafter(0.3, 1)), (False, 0.3)], aim="accuracy")  # no number lies between
@example(rows=[(True, 1.0), (False, 1.0), (False, 1.0)], aim="accuracy")  # the best is to take none
@given(rows=st.lists(st.tuples(st.booleans(), probabilities), min_size=2, max_size=30), aim=st.sampled_from(AIMS))
def test_no_other_threshold_is_better_and_what_is_told_of_it_is_so(rows: list[tuple[bool, float]], aim: str) -> None:
    y, p = np.array([int(truth) for truth, _ in rows]), np.array([score for _, score in rows])
    decision = chosen(y, p, threshold=aim)
    if len(set(y)) < 2:
        assert decision is None
        return

    assert decision is not None
    taken = p >= decision["threshold"]
    for name, judge in JUDGES.items():
        assert decision[name] == pytest.approx(judge(y, taken, **({"zero_division": 0.0} if name == "f1" else {})))
    assert decision["sensitivity"] == pytest.approx(taken[y == 1].mean())
    assert decision["specificity"] == pytest.approx(1 - taken[y == 0].mean())
    options = {"zero_division": 0.0} if aim == "f1" else {}
    assert decision[aim] >= max(JUDGES[aim](y, p >= each, **options) for each in (*p, 0.5, 1.1)) - 1e-9


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.booleans(), probabilities), min_size=2, max_size=30),
    bound=st.sampled_from([0.0, 0.5, 0.8, 0.95, 1.0]),
)
def test_no_other_threshold_is_as_specific_and_more_sensitive(rows: list[tuple[bool, float]], bound: float) -> None:
    y, p = np.array([int(truth) for truth, _ in rows]), np.array([score for _, score in rows])
    decision = chosen(y, p, threshold="sensitivity", min_specificity=bound)
    if decision is None:
        assert len(set(y)) < 2
        return

    assert decision["specificity"] >= bound - 1e-9
    for each in (*p, 1.1):
        taken = p >= each
        if 1 - taken[y == 0].mean() >= bound:
            assert decision["sensitivity"] >= taken[y == 1].mean() - 1e-9


def test_where_the_usual_half_does_as_well_it_stays() -> None:
    decision = chosen(np.array([0, 0, 1, 1]), np.array([0.1, 0.3, 0.6, 0.9]))

    assert decision is not None
    assert decision["threshold"] == 0.5


def test_three_classes_have_none_and_regression_refuses_one() -> None:
    three = np.full((6, 3), 1 / 3)
    assert thresholds.choose(np.arange(6) % 3, three, TabularMlpConfig(threshold="f1"), "f1") is None

    trainer = catalog.TRAINERS["tabular-mlp"]
    assert catalog.build_config(trainer, {"threshold": "none"}, "regression")
    with pytest.raises(ConfigError, match="threshold: regression has no classes to tell apart; leave it out"):
        catalog.build_config(trainer, {"threshold": "f1"}, "regression")


# ---- trained, kept, followed -----------------------------------------------------------------------------------------


def trained(objective: str = "roc_auc", **config: Any) -> tuple[TrainResult, Part]:
    """On rows of which one in eight is of class 1: hardly any has a probability over 0.5."""
    dataset = mixed()
    rows = np.concatenate([np.flatnonzero(dataset.y == 0), np.flatnonzero(dataset.y == 1)[:25]])
    rows = np.random.default_rng(0).permutation(rows)
    part = Part(dataset, rows[:70])
    result = tabular_mlp.train(
        Part(dataset, rows[70:]),
        part,
        TabularMlpConfig(epochs=3, width=16, **config),
        lambda _step, _metrics: None,
        device="cpu",
        seed=0,
        objective=(objective, "maximize"),
    )
    return result, part


def test_a_model_tuned_for_its_ranking_still_finds_the_rare_class() -> None:
    result, part = trained()
    plain, _ = trained(threshold="none")

    assert result.facts["val/threshold"] == result.preprocessing["threshold"] == result.curves["decision"]["threshold"]
    assert result.facts["val/threshold"] < 0.5
    assert result.curves["decision"]["balanced_accuracy"] > result.metrics["val/balanced_accuracy"] + 0.1
    assert result.metrics == plain.metrics, "metrics stay those of the likeliest class"
    assert "threshold" not in plain.preprocessing
    assert "val/threshold" not in plain.facts
    assert part.dataset.y[part.rows].mean() < 0.3


PREDICT = """
import json, sys, mlflow.pyfunc, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
rows = pd.read_json(sys.argv[2], dtype=False)
asked = model.predict(rows, params={"output": "class"})
print(json.dumps([list(asked.columns), asked["prediction"].tolist(), model.predict(rows)["yes"].tolist()]))
"""


def raw(part: Part) -> pd.DataFrame:
    x = part.dataset.x[part.rows]
    towns = np.array(part.dataset.columns[1].categories)[x[:, 1].astype(int)]
    return pd.DataFrame({"number": x[:, 0], "town": towns, "lift": x[:, 2] == 1})


def test_the_exported_model_names_classes_by_its_threshold_in_a_fresh_process(tmp_path: Path) -> None:
    result, part = trained()
    export.save_model(result, tmp_path / "model", part.dataset)
    raw(part).to_json(tmp_path / "rows.json")

    columns, named, probability = json.loads(
        strangers.run(PREDICT, tmp_path / "model", tmp_path / "rows.json", folder=tmp_path).splitlines()[-1]
    )

    threshold, y = result.facts["val/threshold"], part.dataset.y[part.rows]
    assert columns == ["prediction"]
    assert named == ["yes" if each >= threshold else "no" for each in probability]
    assert metrics.balanced_accuracy_score(y, np.array(named) == "yes") == pytest.approx(
        result.curves["decision"]["balanced_accuracy"]
    )


def test_tuner_predict_follows_it_and_probabilities_stay(tmp_path: Path) -> None:
    result, part = trained()
    export.save_model(result, tmp_path / "model", part.dataset)
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    raw(part).to_csv(tmp_path / "rows.csv", index=False)

    out = predict.predict(model, predict.read(tmp_path / "rows.csv"))

    assert list(out.columns) == ["number", "town", "lift", "no", "yes", "prediction"]
    assert out["prediction"].tolist() == np.where(out["yes"] >= result.facts["val/threshold"], "yes", "no").tolist()
    assert (out["prediction"] != out[["no", "yes"]].idxmax(axis=1)).any()


def test_models_of_three_classes_name_the_likeliest(tmp_path: Path) -> None:
    dataset = load("iris")
    rows = np.random.default_rng(0).permutation(150)
    result = tabular_mlp.train(
        Part(dataset, rows[:100]),
        Part(dataset, rows[100:]),
        TabularMlpConfig(epochs=2, threshold="f1"),
        lambda _step, _metrics: None,
        device="cpu",
        seed=0,
        objective=("f1", "maximize"),
    )
    export.save_model(result, tmp_path / "model", dataset)
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    x = pd.DataFrame(dataset.x, columns=list(dataset.feature_names))

    assert (
        model.predict(x, params={"output": "class"})["prediction"].tolist() == model.predict(x).idxmax(axis=1).tolist()
    )
