"""Chaos in short: each kind of fault once, in a seeded order, while a few trials train; `make chaos` is the whole of it."""

from __future__ import annotations

import pytest

from tests.chaos import run


@pytest.mark.timeout(600)
def test_each_fault_once_costs_no_trial_and_no_report() -> None:
    kinds = run.schedule(seed=3, each=1, more=0)

    found, recoveries = run.run(seed=3, trials=16, kinds=kinds, studies=2)

    assert sorted(recoveries) == sorted(run.KINDS)
    assert found.is_clean, found
