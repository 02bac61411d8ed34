"""Chaos in short: faults of eight kinds in a seeded order while a few trials train; `make chaos` is the whole of it."""

from __future__ import annotations

import random

import pytest

from tests.chaos import run

KINDS = (
    "child killed",
    "worker killed, its clock an hour off",
    "server killed",
    "maintenance killed, and a worker",
    "backends terminated",
    "MLflow killed, away for seconds",
    "connections reset",
    "sixteen racing for the last trials",
)


@pytest.mark.timeout(600)
def test_faults_cost_no_trial_and_no_report() -> None:
    kinds = random.Random(3).sample(KINDS, len(KINDS))

    found, recoveries = run.run(seed=3, trials=12, kinds=kinds, studies=2)

    assert sorted(recoveries) == sorted(KINDS)
    assert found.is_clean, found
