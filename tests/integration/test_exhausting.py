"""Grid and brute force through claims: four workers visit each cell once, and the study ends because none is left."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.auditor import audit
from tests.studying import claim, complete, fail, submit
from tuner import lifecycle, views

GRID: dict[str, Any] = {
    "n": {"type": "int", "low": 1, "high": 4},
    "x": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.25},
    "c": {"type": "categorical", "choices": ["a", "b"]},
}


@pytest.fixture(autouse=True)
def _audited(engine: Engine) -> Iterator[None]:
    yield
    audit(engine)


def visited(engine: Engine, study_id: int) -> list[dict[str, Any]]:
    """Runs the study with four workers at once; the points they were given."""

    def work() -> list[dict[str, Any]]:
        points = []
        while held := claim(engine, study_id):
            points.append(dict(held[0].params))
            complete(engine, held[0], 1.0)
        return points

    with ThreadPoolExecutor(4) as pool:
        return [point for future in [pool.submit(work) for _ in range(4)] for point in future.result()]


@pytest.mark.parametrize("sampler", ["grid", "brute"])
def test_each_cell_is_visited_once_and_the_study_ends(engine: Engine, sampler: str) -> None:
    study_id = submit(engine, search_space=GRID, sampler={"name": sampler, "seed": 5}, budget={"trials": 100})

    points = visited(engine, study_id)

    expected = [{"n": n, "x": x, "c": c} for n, x, c in product((1, 2, 3, 4), (0.0, 0.25, 0.5), ("a", "b"))]
    assert sorted(map(_key, points)) == sorted(map(_key, expected))
    with engine.begin() as connection:
        study = views.study(connection, study_id)
    assert (study.state, study.end_reason) == ("completed", "search-space-exhausted")
    assert study.progress.complete == 24


def test_brute_force_visits_what_exists_under_conditions(engine: Engine) -> None:
    space = {
        "c": {"type": "categorical", "choices": ["a", "b"]},
        "n": {"type": "int", "low": 1, "high": 3, "when": {"c": ["a"]}},
    }
    study_id = submit(engine, search_space=space, sampler={"name": "brute", "seed": 5}, budget={"trials": 100})

    points = visited(engine, study_id)

    assert sorted(map(_key, points)) == sorted(
        map(_key, [{"c": "a", "n": 1}, {"c": "a", "n": 2}, {"c": "a", "n": 3}, {"c": "b"}])
    )


def test_a_budget_below_the_grid_ends_for_trials(engine: Engine) -> None:
    study_id = submit(engine, search_space=GRID, sampler={"name": "grid", "seed": 5}, budget={"trials": 10})

    assert len(set(map(_key, visited(engine, study_id)))) == 10
    with engine.begin() as connection:
        assert views.study(connection, study_id).end_reason == "trials"


@pytest.mark.parametrize("sampler", ["grid", "brute"])
def test_each_failed_point_is_tried_again_before_the_study_ends(engine: Engine, sampler: str) -> None:
    """All points were tried before: the first of two retries to end does not end the study."""
    space = {"n": {"type": "int", "low": 1, "high": 3}}
    study_id = submit(engine, search_space=space, sampler={"name": sampler, "seed": 5}, budget={"trials": 3})
    for attempt in claim(engine, slots=3):
        if attempt.trial == 0:
            complete(engine, attempt, 0.0)
        else:
            fail(engine, attempt)

    assert lifecycle.retry(engine, study_id, None) == [3, 4]
    for _ in range(2):
        with engine.begin() as connection:
            assert views.study(connection, study_id).state == "running"
        complete(engine, claim(engine)[0], 1.0)

    with engine.begin() as connection:
        study = views.study(connection, study_id)
    assert (study.state, study.progress.complete, study.progress.cancelled) == ("completed", 3, 0)


def _key(point: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, repr(value)) for name, value in point.items()))
