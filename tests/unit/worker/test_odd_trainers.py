"""Trainers of other people's that do odd things: each trial ends with a reason that its user can do something about."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.claimed import attempt
from trainers import catalog
from trainers.contract import TrainResult
from tuner.worker import training
from tuner.worker.messages import Failed, Reported, Run
from tuner.worker.saving import Saving


def run(folder: Path) -> Run:
    return Run(attempt=attempt(), folder=str(folder))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """How a trial ends whose trainer reports so and gives such a result; and what the agent reads of its reports."""

    def train(odd: Callable[[Any], TrainResult]) -> tuple[Any, list[Reported]]:
        monkeypatch.setattr(catalog, "load", lambda _trainer: lambda *given, **_named: odd(given[3]))
        lines: list[str] = []

        def tell(fold: int, step: int, metrics: Mapping[str, float]) -> None:
            lines.append(Reported(fold=fold, step=step, metrics=dict(metrics), at_s=0.0).model_dump_json())

        ours = run(tmp_path)
        outcome = training.run_trial(ours, "cpu", tell, Saving(ours, lambda: False, lambda _: None))
        return outcome, [Reported.model_validate_json(line) for line in lines]

    return train


def result(**metrics: Any) -> TrainResult:
    return TrainResult(
        metrics=metrics, best_step=3, curves={}, network=torch.nn.Identity(), preprocessing={}, example=np.zeros((2, 4))
    )


def test_a_report_that_is_not_finite_fails_the_trial_and_names_it(trained: Any) -> None:
    def odd(report: Any) -> TrainResult:
        report(1, {"val/loss": 1.0})
        report(2, {"val/loss": float("nan")})
        return result()

    outcome, reported = trained(odd)

    assert [each.step for each in reported] == [1]
    assert (outcome.reason, outcome.step, outcome.metric) == ("non-finite", 2, "val/loss")


def test_a_result_that_is_not_finite_fails_the_trial_and_names_it(trained: Any) -> None:
    outcome, _ = trained(lambda _report: result(**{"val/loss": np.float32("inf")}))

    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.step, outcome.metric) == ("non-finite", 3, "val/loss")
    json.loads(outcome.model_dump_json())


def test_numbers_may_be_numpys_and_torchs(trained: Any) -> None:
    def odd(report: Any) -> TrainResult:
        report(1, {"val/loss": torch.tensor(0.5), "val/f1": np.float32(0.25), "val/accuracy": np.int64(1)})
        raise KeyError("enough")

    outcome, reported = trained(odd)

    assert outcome.reason == "trainer-error"
    assert reported[0].metrics == {"val/loss": 0.5, "val/f1": 0.25, "val/accuracy": 1.0}


def test_a_trainer_that_exits_fails_its_trial_and_no_more(trained: Any) -> None:
    outcome, _ = trained(lambda _report: sys.exit("no such option"))

    assert (outcome.reason, outcome.broken) == ("trainer-error", False)
    assert "SystemExit: no such option" in outcome.error
