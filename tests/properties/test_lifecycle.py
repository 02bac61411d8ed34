"""Whatever workers, users, crashes and zombies do, in whatever order: rows, counts and states are as promised."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine

from tests.properties.machine import Lifecycle

EXAMPLES = 25  # about a second each; `pytest --examples N` runs more, drawn anew each time
MOVES = 60
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@pytest.mark.timeout(0)  # hypothesis ends by itself, also while it shrinks
def test_every_order_of_moves_keeps_the_promises(engine: Engine, request: pytest.FixtureRequest) -> None:
    examples = request.config.getoption("examples")
    run_state_machine_as_test(
        lambda: Lifecycle(engine),
        settings=settings(
            max_examples=examples or EXAMPLES,
            derandomize=examples is None,
            stateful_step_count=MOVES,
            deadline=None,
            suppress_health_check=SLOW,
        ),
    )
