"""Grid and brute force visit every point once, with several workers at once, and say when none is left."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.integration.sampling import rows
from tuner.domain.states import TrialState

PLAIN = {
    "x": {"type": "int", "low": 0, "high": 3},
    "y": {"type": "float", "low": 0.1, "high": 0.3, "step": 0.1},
    "c": {"type": "categorical", "choices": [True, None]},
}
CONDITIONAL = {
    "momentum": {"type": "float", "low": 0.0, "high": 0.9, "step": 0.3, "when": {"optimizer": ["sgd"]}},
    "optimizer": {"type": "categorical", "choices": ["sgd", "adam", "rmsprop"]},
    "depth": {"type": "int", "low": 1, "high": 3},
}
CELLS = {"plain": (PLAIN, 24), "conditional": (CONDITIONAL, 18)}


def _work(engine: Engine, study_id: int, workers: int) -> tuple[list[frozenset[Any]], list[bool]]:
    """Workers claim, ask and finish until nothing is left; the points they got, and each end's word on exhaustion."""
    points: list[frozenset[Any]] = []
    ends: list[bool] = []
    closed = threading.Event()

    def worker() -> None:
        while not closed.is_set():
            trial_id, asked = rows.start(engine, study_id)
            if asked.exhausted:
                closed.set()
            if not asked.params:
                rows.finish(engine, study_id, trial_id, None, state=TrialState.CANCELLED)
                return
            points.append(frozenset(asked.params.items()))
            state = TrialState.FAILED if len(points) % 5 == 0 else TrialState.COMPLETE
            values = None if state is TrialState.FAILED else [1.0]
            ends.append(rows.finish(engine, study_id, trial_id, values, state=state))

    threads = [threading.Thread(target=worker) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return points, ends


@pytest.mark.parametrize("space", CELLS)
@pytest.mark.parametrize("name", ["grid", "brute"])
@pytest.mark.parametrize("workers", [1, 4])
def test_every_point_is_visited_once(engine: Engine, name: str, space: str, workers: int) -> None:
    parameters, n_cells = CELLS[space]
    study_id = rows.study(engine, parameters, {"name": name, "seed": 2})

    points, ends = _work(engine, study_id, workers)

    assert Counter(Counter(points).values()) == {1: n_cells}
    assert sum(ends) == 1  # the last to finish, and nobody before it


@pytest.mark.parametrize("name", ["grid", "brute"])
def test_enqueued_points_count_as_visited(engine: Engine, name: str) -> None:
    parameters, n_cells = CELLS["conditional"]
    study_id = rows.study(engine, parameters, {"name": name, "seed": 2})
    enqueued = []
    for point in ({"optimizer": "adam", "depth": 2}, {"optimizer": "sgd", "momentum": 0.6, "depth": 1}):
        trial_id, asked = rows.start(engine, study_id, rows.enqueue(engine, study_id, point))
        rows.finish(engine, study_id, trial_id, [0.0])
        enqueued.append(frozenset(asked.params.items()))

    points, _ = _work(engine, study_id, 2)

    assert len(set(points)) == len(points) == n_cells - 2
    assert not set(points) & set(enqueued)


@pytest.mark.parametrize("name", ["grid", "brute"])
def test_nothing_is_given_out_while_the_last_points_run(engine: Engine, name: str) -> None:
    study_id = rows.study(engine, {"x": {"type": "int", "low": 0, "high": 1}}, {"name": name, "seed": 2})
    first, _ = rows.start(engine, study_id)
    last, second = rows.start(engine, study_id)
    none, third = rows.start(engine, study_id)
    rows.finish(engine, study_id, none, None, state=TrialState.CANCELLED)

    ends = [rows.finish(engine, study_id, trial_id, [0.0]) for trial_id in (first, last)]

    assert second.params
    assert (third.params, third.exhausted) == ({}, True)
    assert ends == [False, True]


def test_the_grid_says_with_its_last_point_that_it_is_the_last(engine: Engine) -> None:
    study_id = rows.study(engine, {"x": {"type": "int", "low": 0, "high": 2}}, {"name": "grid", "seed": 2})

    asked = [rows.start(engine, study_id)[1] for _ in range(3)]

    assert [each.exhausted for each in asked] == [False, False, True]
    assert {each.params["x"] for each in asked} == {0, 1, 2}


def test_the_order_of_a_grid_follows_from_the_seed(engine: Engine) -> None:
    orders = []
    for seed in (1, 1, 2):
        study_id = rows.study(engine, {"x": {"type": "int", "low": 0, "high": 11}}, {"name": "grid", "seed": seed})
        orders.append([rows.start(engine, study_id)[1].params["x"] for _ in range(12)])

    assert orders[0] == orders[1] != orders[2]
    assert all(order != sorted(order) for order in orders)


def test_a_retry_with_the_same_point_does_not_take_another(engine: Engine) -> None:
    study_id = rows.study(engine, {"x": {"type": "int", "low": 0, "high": 2}}, {"name": "grid", "seed": 2})
    trial_id, failed = rows.start(engine, study_id)
    rows.finish(engine, study_id, trial_id, None, state=TrialState.FAILED)
    retry, again = rows.start(engine, study_id, rows.enqueue(engine, study_id, failed.params))
    rows.finish(engine, study_id, retry, [0.0])

    points, _ = _work(engine, study_id, 1)

    assert again.params == failed.params
    assert len(points) == 2
    assert frozenset(failed.params.items()) not in points
