"""A final fit in the training process: all rows but the test part's are learnt, and those are scored once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.claimed import attempt
from trainers import catalog, tabular_mlp
from trainers.contract import LAST_EPOCH, Part, TrialStopped
from trainers.data import load, split
from trainers.data.builtin import BUILTIN
from tuner.worker import training
from tuner.worker.messages import Done, Failed, Outcome, Run, Stopped
from tuner.worker.saving import Saving


def fit(folder: Path, tell: Any = lambda *_: None, **changes: Any) -> Outcome:
    torch.set_num_threads(1)
    ours = Run(attempt=attempt(is_final=True, params={"epochs": 4}, **changes), folder=str(folder))
    return training.run_trial(ours, "cpu", tell, Saving(ours, lambda: False, lambda _: None))


@pytest.fixture
def parts() -> split.Splits:
    data = load.load("iris")
    return split.splits(data.y, data.task, validation=0.2, test=0.2, folds=1, repeats=1, seed=0)


def test_the_trainer_is_given_every_row_but_those_of_the_test_part(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, parts: split.Splits
) -> None:
    given: dict[str, Any] = {}

    def train(train_part: Part, validation_part: Part, *rest: Any, **named: Any) -> Any:
        given.update(named, learnt=train_part.rows, judged=validation_part.rows, epochs=rest[0].epochs)
        return tabular_mlp.train(train_part, validation_part, *rest, **named)

    monkeypatch.setattr(catalog, "load", lambda _trainer: train)
    done = fit(tmp_path)

    assert isinstance(done, Done)
    assert done.best_step == 4
    assert set(given["learnt"]) == set(range(150)) - set(parts.test_rows)
    assert set(given["judged"]) <= set(given["learnt"])
    assert (given["objective"], given["epochs"], given["seed"]) == (LAST_EPOCH, 4, 1)


@pytest.mark.parametrize("threshold", [None, 0.3])
@pytest.mark.parametrize("aim", ["auto", "f1"])
def test_it_decides_by_the_threshold_of_its_trial(tmp_path: Path, threshold: float | None, aim: str) -> None:
    data = BUILTIN["breast_cancer"]
    done = fit(tmp_path, dataset=data.name, dataset_digest=data.digest, fixed={"threshold": aim}, threshold=threshold)

    assert isinstance(done, Done), done
    kept = json.loads((tmp_path / "model" / "artifacts" / "preprocessing.json").read_text())
    assert kept.get("threshold") == threshold
    assert "val/threshold" not in done.metrics


def test_it_is_scored_on_the_test_part_the_same_each_time(tmp_path: Path, parts: split.Splits) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, again = fit(tmp_path / "a"), fit(tmp_path / "b")

    assert isinstance(first, Done)
    assert isinstance(again, Done)
    scores = {name: value for name, value in first.metrics.items() if "/" in name}
    assert scores == {name: value for name, value in again.metrics.items() if "/" in name}
    y = load.load("iris").y
    learnt = np.delete(y, parts.test_rows)
    assert scores["baseline/accuracy"] == pytest.approx((y[parts.test_rows] == np.bincount(learnt).argmax()).mean())
    assert scores["test/accuracy_low"] <= scores["test/accuracy"] <= scores["test/accuracy_high"]
    assert scores["test/accuracy_low"] > scores["baseline/accuracy"]
    assert not [name for name in first.metrics if name.startswith("val/")], (
        "nobody takes what was learnt for validation"
    )
    assert (tmp_path / "a" / "model" / "MLmodel").is_file()


def test_one_that_raises_has_failed_and_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As of a trainer of somebody's own that knows no last epoch."""

    def train(*_given: Any, objective: Any, **_named: Any) -> Any:
        raise ValueError(f"{objective[0]} is no metric of mine")

    monkeypatch.setattr(catalog, "load", lambda _trainer: train)
    failed = fit(tmp_path)

    assert isinstance(failed, Failed)
    assert failed.reason == "trainer-error"
    assert "epoch is no metric of mine" in failed.error


def test_without_a_test_part_there_is_nothing_to_score_on(tmp_path: Path) -> None:
    failed = fit(tmp_path, test=0.0)

    assert isinstance(failed, Failed)
    assert "no test part" in failed.error


def test_it_stops_when_it_is_told_to(tmp_path: Path) -> None:
    def tell(_fold: int, step: int, _metrics: Any) -> None:
        if step == 2:
            raise TrialStopped

    assert isinstance(fit(tmp_path, tell), Stopped)


def test_scoring_is_heard_and_stops_when_it_is_told_to(tmp_path: Path) -> None:
    heard: list[tuple[int, str, float]] = []

    def tell(_fold: int, step: int, metrics: Any) -> None:
        heard.extend((step, name, value) for name, value in metrics.items() if name.startswith("test/"))
        if metrics.get("test/resamples") == 60:
            raise TrialStopped

    assert isinstance(fit(tmp_path, tell), Stopped)
    assert heard == [(4, "test/rows", 30.0), *((4, "test/resamples", float(drawn)) for drawn in (20, 40, 60))]
    assert not (tmp_path / "model").exists()
