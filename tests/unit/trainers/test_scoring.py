"""A final model's score: intervals that cover, the same each time; the trivial answer; the last epoch of all rows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, r2_score

from trainers import catalog, held_out, loop, scoring
from trainers.contract import LAST_EPOCH, Part
from trainers.data import load, split
from trainers.scoring import Interval


def mean_error(y: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    return {"error": float(np.abs(predictions - y).mean())}


def test_the_interval_covers_what_is_true_about_as_often_as_it_says() -> None:
    """The error's mean over rows of a known distribution: exponential with mean 1."""
    random = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        errors = random.exponential(1.0, 100)
        found = scoring.bootstrap(mean_error, np.zeros(100), errors, seed=seed)["error"]
        covered += found.low <= 1.0 <= found.high
    assert 0.88 <= covered / 200 <= 0.98


def test_the_interval_is_as_wide_as_theory_says() -> None:
    """Of a mean of n rows: 2 x 1.96 deviations over the root of n."""
    errors = np.random.default_rng(1).normal(50.0, 2.0, 400)
    found = scoring.bootstrap(mean_error, np.zeros(400), errors, seed=0)["error"]

    assert found.value == pytest.approx(errors.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * errors.std() / math.sqrt(400), rel=0.1)


def test_the_same_seed_gives_the_same_interval() -> None:
    errors = np.random.default_rng(2).normal(0.0, 1.0, 50)
    first, again, other = (scoring.bootstrap(mean_error, np.zeros(50), errors, seed=seed) for seed in (7, 7, 8))

    assert first == again
    assert first != other


def test_rows_of_a_unit_are_drawn_together() -> None:
    units = np.array([7, 3, 7, 5, 3, 7])

    def halves(y: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
        taken = [(y == unit).sum() / (units == unit).sum() for unit in (3, 5, 7)]
        assert all(each == int(each) for each in taken)
        assert sum(taken) == 3
        assert np.array_equal(y, units[predictions])
        return {"of_5": float(taken[1])}

    first, again = (scoring.bootstrap(halves, units, np.arange(6), seed=0, units=units) for _ in range(2))

    assert first == again
    assert first["of_5"].low < 1 < first["of_5"].high


def test_one_unit_alone_is_not_taken_for_certainty() -> None:
    errors = np.random.default_rng(4).normal(0.0, 1.0, 50)
    found = scoring.bootstrap(mean_error, np.zeros(50), errors, seed=0, units=np.zeros(50, np.int64))

    assert found == scoring.bootstrap(mean_error, np.zeros(50), errors, seed=0)
    assert found["error"].low < found["error"].high


def test_windows_that_overlap_leave_more_doubt_than_their_number_says() -> None:
    """Errors of windows of 12 steps, whose mean is 1; were they independent, the interval would cover that mean 95 times."""
    random, horizon, covered = np.random.default_rng(0), 12, {"rows": 0, "blocks": 0}
    for seed in range(60):
        errors = np.lib.stride_tricks.sliding_window_view(random.exponential(1.0, 311), horizon).mean(axis=1)
        blocks = held_out.blocks(np.zeros(len(errors), np.int64), horizon)
        for name, units in (("rows", None), ("blocks", blocks)):
            found = scoring.bootstrap(mean_error, np.zeros(len(errors)), errors, seed=seed, units=units)["error"]
            covered[name] += found.low <= 1.0 <= found.high

    assert covered["rows"] / 60 < 0.55
    assert covered["blocks"] / 60 > 0.75


def test_a_block_is_of_one_series_and_no_shorter_than_it_must_be() -> None:
    assert held_out.blocks(np.array([0] * 7 + [4] * 2 + [9] * 3), 3).tolist() == [0] * 3 + [1] * 4 + [2] * 2 + [3] * 3


def test_rows_that_are_all_right_leave_no_doubt() -> None:
    y = np.array([0, 1, 2] * 10)
    found = scoring.bootstrap(scoring.MEASURES["classification"], y, np.eye(3)[y], seed=0)

    assert found["accuracy"] == Interval(1.0, 1.0, 1.0)


def test_a_class_that_a_resample_lacks_breaks_nothing() -> None:
    y = np.array([0] * 29 + [1])
    probabilities = np.tile([0.9, 0.1], (30, 1))
    found = scoring.bootstrap(scoring.MEASURES["classification"], y, probabilities, seed=0)

    assert all(math.isfinite(end) for each in found.values() for end in (each.value, each.low, each.high))


def test_the_trivial_answer_is_that_of_scikit_learns_dummies() -> None:
    random = np.random.default_rng(3)
    learnt, seen = random.choice(3, 90, p=[0.2, 0.5, 0.3]), random.choice(3, 40)
    shares = scoring.trivial_answer(learnt, 40, "classification", classes=3)
    dummy = DummyClassifier(strategy="prior").fit(np.zeros((90, 1)), learnt)
    measured = scoring.MEASURES["classification"](seen, shares)
    assert measured["accuracy"] == pytest.approx(accuracy_score(seen, dummy.predict(np.zeros((40, 1)))))
    assert measured["log_loss"] == pytest.approx(log_loss(seen, dummy.predict_proba(np.zeros((40, 1)))))
    assert measured["roc_auc"] == 0.5

    learnt, seen = random.normal(3.0, 1.0, 90), random.normal(3.0, 1.0, 40)
    mean = scoring.trivial_answer(learnt, 40, "regression", classes=0)
    predicted = DummyRegressor().fit(np.zeros((90, 1)), learnt).predict(np.zeros((40, 1)))
    measured = scoring.MEASURES["regression"](seen, mean)
    assert measured["mae"] == pytest.approx(mean_absolute_error(seen, predicted))
    assert measured["r2"] == pytest.approx(r2_score(seen, predicted))


@pytest.mark.parametrize("folds", [1, 3])
def test_every_row_but_those_of_the_test_part_is_learnt(folds: int) -> None:
    data = load.load("iris")
    parts = split.splits(data.y, data.task, validation=0.2, test=0.2, folds=folds, repeats=2, seed=0)
    learnt = scoring.learnt_rows(parts)

    assert not set(learnt) & set(parts.test_rows)
    assert len(learnt) + len(parts.test_rows) == len(data.y)


def train(trainer: str, rows: np.ndarray, objective: Any, epochs: int, dataset: str) -> Any:
    data, entry = load.load(dataset), catalog.get(trainer)
    config = catalog.build_config(entry, {"epochs": epochs}, data.task)
    part = Part(data, rows)
    return catalog.load(entry)(part, part, config, lambda *_: None, device="cpu", seed=1, objective=objective)


@pytest.mark.parametrize(
    ("trainer", "dataset"), [("tabular-mlp", "iris"), ("image-mlp", "digits"), ("image-cnn", "digits")]
)
def test_without_a_judge_the_last_epoch_counts(trainer: str, dataset: str) -> None:
    """However good an earlier one was: by the worst loss of the run it would be the first."""
    torch.set_num_threads(1)
    rows = np.arange(100)
    last = train(trainer, rows, LAST_EPOCH, 4, dataset)
    judged = train(trainer, rows, ("loss", "maximize"), 4, dataset)

    assert (last.best_step, judged.best_step) == (4, 1)
    assert last.metrics["val/loss"] < judged.metrics["val/loss"]


def test_a_model_is_scored_on_the_rows_it_is_given() -> None:
    torch.set_num_threads(1)
    data = load.load("digits")
    learnt, test = Part(data, np.arange(1000)), Part(data, np.arange(1000, 1797))
    result = train("image-mlp", learnt.rows, LAST_EPOCH, 5, "digits")

    scores = scoring.score(result, learnt, test, seed=0)

    right = scoring.predict(result, test).argmax(axis=1) == data.y[test.rows]
    assert scores.test["accuracy"].value == pytest.approx(right.mean())
    assert scores.test["accuracy"].value > 0.8
    assert scores.baseline["accuracy"] == pytest.approx(
        (data.y[test.rows] == np.bincount(data.y[learnt.rows]).argmax()).mean()
    )
    assert scores.test["accuracy"].low > scores.baseline["accuracy"]


def test_large_images_go_through_the_network_few_at_a_time_and_come_out_the_same() -> None:
    torch.set_num_threads(1)
    data = load.load("digits")
    result = train("image-mlp", np.arange(100), LAST_EPOCH, 1, "digits")
    whole = scoring.predict(result, Part(data, np.arange(10)))
    large = np.kron(data.x[:10], np.ones((100, 100)))  # 800 pixels wide: one at a time
    seen: list[int] = []

    class Shrunk(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(len(x))
            answer: torch.Tensor = result.network(x[..., ::100, ::100])
            return answer

    part = Part(replace(data, x=large), np.arange(10))
    found = scoring.predict(replace(result, network=Shrunk()), part)

    assert max(seen) * 800 * 800 <= loop.VALIDATION_VALUES
    assert found == pytest.approx(whole, abs=1e-6)
