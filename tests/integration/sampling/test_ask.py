"""Asking every sampler through real rows: conditions, fixed points, seeds, live trials."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, event, select, update

from tests.integration.sampling import rows
from tuner.domain.errors import NotFoundError, WrongStateError
from tuner.domain.space import condition_order, exists
from tuner.domain.spec import StudySpec
from tuner.domain.states import TrialState
from tuner.sampling import ask
from tuner.sampling.storage import TunerStorage
from tuner.store import database
from tuner.store import tables as t
from tuner.store.database import transaction

CONDITIONAL = {
    "momentum": {"type": "float", "low": 0.0, "high": 0.9, "step": 0.3, "when": {"optimizer": ["sgd"]}},
    "nesterov": {"type": "categorical", "choices": [True, False], "when": {"momentum": [0.3, 0.6]}},
    "optimizer": {"type": "categorical", "choices": ["sgd", "adam"]},
    "depth": {"type": "int", "low": 1, "high": 4, "step": 2},
}
FAST = ["random", "grid", "tpe", "cmaes", "nsga2", "nsga3", "qmc", "brute"]
FINITE = {
    name: {**each, "step": 0.1} if each["type"] == "float" and "log" not in each else each
    for name, each in rows.FIVE.items()
}


def _value(params: dict[str, Any]) -> float:
    return float(sum(hash(value) % 97 if isinstance(value, str) else value or 0 for value in params.values()))


def _quadratic(params: dict[str, Any]) -> float:
    return float((params["x"] - 0.3) ** 2 + (params["y"] - 0.7) ** 2)


def _run(engine: Engine, study_id: int, n: int, value: Callable[[dict[str, Any]], float]) -> list[dict[str, Any]]:
    """Trials one after the other, each finished before the next."""
    points = []
    for _ in range(n):
        trial_id, asked = rows.start(engine, study_id)
        if not asked.params:
            break
        points.append(asked.params)
        if rows.finish(engine, study_id, trial_id, [value(asked.params)]):
            break
    return points


@pytest.mark.parametrize("name", FAST)
def test_a_parameter_is_sampled_exactly_where_it_exists(engine: Engine, name: str) -> None:
    study_id = rows.study(engine, CONDITIONAL, {"name": name, "seed": 3})
    spec = StudySpec.model_validate({"name": "s", "search_space": CONDITIONAL, "budget": {"trials": 1}})
    assert spec.search_space is not None

    points = _run(engine, study_id, 16, lambda params: float(params["depth"]))

    assert len(points) >= 14
    for params in points:
        for parameter in condition_order(spec.search_space):
            here = exists(spec.search_space[parameter], params)
            assert (parameter in params) == here
            assert not here or spec.search_space[parameter].contains(params[parameter])
    assert {"sgd", "adam"} == {params["optimizer"] for params in points}


@pytest.mark.parametrize("name", FAST)
def test_what_is_written_is_what_the_sampler_gave(engine: Engine, name: str) -> None:
    study_id = rows.study(
        engine,
        FINITE
        | {
            "learning_rate": {"type": "float", "low": 0.1, "high": 0.5, "step": 0.1},
            "width": {"type": "int", "low": 1, "high": 3},
        },
        {"name": name, "seed": 3},
    )
    _, asked = rows.start(engine, study_id)

    (stored,) = TunerStorage(engine).get_all_trials(study_id)

    assert stored.params == asked.params
    assert list(stored.distributions) == list(asked.params)
    for parameter, distribution in stored.distributions.items():
        assert distribution._contains(distribution.to_internal_repr(asked.params[parameter]))
    assert asked.system_attrs == stored.system_attrs


@pytest.mark.parametrize("name", FAST)
def test_an_enqueued_point_is_honoured_and_the_rest_of_it_sampled(engine: Engine, name: str) -> None:
    space = {
        "x": {**rows.UNIT, "step": 0.25},
        "y": {**rows.UNIT, "step": 0.25},
        "c": {"type": "categorical", "choices": ["a", "b"]},
    }
    study_id = rows.study(engine, space, {"name": name, "seed": 3})
    for point in ({"x": 0.5, "c": "b"}, {"x": 1, "y": 0.0, "c": "a"}, {"y": 0.75}):
        trial_id = rows.enqueue(engine, study_id, point)
        _, asked = rows.start(engine, study_id, trial_id)

        assert set(asked.params) == set(space)
        assert point.items() <= asked.params.items()
        assert asked.system_attrs["fixed_params"] == point
        assert isinstance(asked.params["x"], float)
        rows.finish(engine, study_id, trial_id, [asked.params["x"]])


@pytest.mark.parametrize("name", [*FAST, "gp"])
def test_the_same_seed_gives_the_same_study_twice(engine: Engine, name: str) -> None:
    space = {"x": {**rows.UNIT, "step": 0.01}, "y": {**rows.UNIT, "step": 0.01}}
    options = {"n_startup_trials": 4} if name in {"tpe", "gp", "cmaes"} else {}
    options |= {"population_size": 4} if name.startswith("nsga") else {}
    n = 6 if name == "gp" else 14

    first, second, other = (
        _run(engine, rows.study(engine, space, {"name": name, "seed": seed, **options}), n, _quadratic)
        for seed in (5, 5, 6)
    )

    assert first == second
    assert first != other
    # genetic samplers may breed a point twice
    assert name.startswith("nsga") or len({tuple(point.items()) for point in first}) == len(first)


@pytest.mark.parametrize("name", ["random", "tpe", "cmaes", "nsga2", "nsga3", "qmc"])
def test_asks_at_once_never_repeat_a_point(engine: Engine, name: str) -> None:
    study_id = rows.study(engine, {"x": rows.UNIT, "y": rows.UNIT}, {"name": name, "seed": 11})
    options = {"n": 24}

    def one(_: int) -> tuple[float, float]:
        trial_id, asked = rows.start(engine, study_id)
        rows.finish(engine, study_id, trial_id, [_quadratic(asked.params)])
        return asked.params["x"], asked.params["y"]

    with ThreadPoolExecutor(4) as pool:
        points = list(pool.map(one, range(options["n"])))

    assert len(set(points)) == options["n"]
    assert len({x for x, _ in points}) == options["n"]


def test_two_processes_with_one_seed_do_not_repeat_a_point(database_url: str, engine: Engine) -> None:
    """Two engines share no cache here, as two processes do not."""
    other = database.connect(database_url)
    study_id = rows.study(engine, {"x": rows.UNIT}, {"name": "tpe", "seed": 1, "n_startup_trials": 3})
    points = []
    for i in range(16):
        here = (engine, other)[i % 2]
        trial_id, asked = rows.start(here, study_id)
        points.append(asked.params["x"])
        rows.finish(here, study_id, trial_id, [asked.params["x"]])
    other.dispose()

    assert len(set(points)) == 16


def test_a_sampler_sees_live_trials_and_those_that_wait_with_parameters(engine: Engine) -> None:
    """Grid keeps off the points of both; a waiting trial without parameters holds none."""
    space = {"x": {"type": "int", "low": 0, "high": 3}}
    study_id = rows.study(engine, space, {"name": "grid", "seed": 0})
    running, first = rows.start(engine, study_id)
    released, second = rows.start(engine, study_id)
    with transaction(engine) as connection:
        connection.execute(update(t.trials).where(t.trials.c.id == released).values(state="waiting"))
        rows.trial(connection, study_id)

    _, third = rows.start(engine, study_id)

    assert running != released
    assert len({asked.params["x"] for asked in (first, second, third)}) == 3


def test_a_process_learns_what_another_finished_since_it_last_looked(database_url: str, engine: Engine) -> None:
    """Only one point is left for it, among those that the other did not take."""
    study_id = rows.study(engine, {"x": {"type": "int", "low": 0, "high": 49}}, {"name": "grid", "seed": 1})
    other = database.connect(database_url)
    points = []
    for here, n in ((engine, 1), (other, 40), (engine, 3), (other, 6)):  # 40 are merged otherwise than 3
        for _ in range(n):
            trial_id, asked = rows.start(here, study_id)
            rows.finish(here, study_id, trial_id, [0.5])
            points.append(asked.params["x"])
    other.dispose()

    assert sorted(points) == list(range(50))


def test_an_ask_runs_few_statements(engine: Engine) -> None:
    counts = {}
    for name in ("random", "tpe", "cmaes", "qmc", "grid", "nsga2"):
        space = {"x": {**rows.UNIT, "step": 0.01}, "y": {**rows.UNIT, "step": 0.01}}
        study_id = rows.study(engine, space, {"name": name, "seed": 1})
        _run(engine, study_id, 3, _quadratic)
        with transaction(engine) as connection:
            trial_id = rows.trial(connection, study_id)
            statements: list[str] = []
            event.listen(connection, "before_cursor_execute", lambda *args, seen=statements: seen.append(args[2]))
            ask.ask(connection, study_id, trial_id)
        counts[name] = len(statements)

    assert counts == {"random": 1, "tpe": 2, "cmaes": 2, "qmc": 1, "grid": 3, "nsga2": 2}


def test_nsga_notes_the_parents_of_recent_generations_alone(engine: Engine) -> None:
    sampler = {"name": "nsga2", "seed": 1, "population_size": 2}
    study_id = rows.study(engine, {"x": rows.UNIT, "y": rows.UNIT}, sampler)
    _run(engine, study_id, 20, _quadratic)

    attrs = TunerStorage(engine).get_study_system_attrs(study_id)

    generations = sorted(int(key.rpartition(":")[2]) for key in attrs if ":parent:" in key)
    assert generations == [7, 8, 9]


def test_two_asks_at_once_breed_from_the_same_parents(engine: Engine) -> None:
    sampler = {"name": "nsga3", "seed": 1, "population_size": 4}
    study_id = rows.study(engine, {"x": rows.UNIT, "y": rows.UNIT}, sampler)
    _run(engine, study_id, 4, _quadratic)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: rows.start(engine, study_id), range(4)))

    attrs = TunerStorage(engine).get_study_system_attrs(study_id)
    trials = TunerStorage(engine).get_all_trials(study_id)
    assert [key for key in attrs if ":parent:" in key] == ["NSGAIIISampler:parent:1"]
    assert all(trial.system_attrs["NSGAIIISampler:generation"] == 1 for trial in trials[4:])


def test_constraints_steer_the_sampler_away(engine: Engine) -> None:
    """Less is better, but below 0.5 the constraint is broken."""
    study_id = rows.study(
        engine,
        {"x": rows.UNIT},
        {"name": "tpe", "seed": 4, "n_startup_trials": 10},
        constraints=[{"metric": "x", "min": 0.5}],
    )
    points = []
    for _ in range(40):
        trial_id, asked = rows.start(engine, study_id)
        points.append(asked.params["x"])
        rows.finish(engine, study_id, trial_id, [asked.params["x"]], metrics={"x": asked.params["x"]})

    late = points[20:]
    assert sum(0.5 <= x < 0.75 for x in late) > len(late) / 2


def test_a_failed_and_a_cancelled_trial_teach_nothing(engine: Engine) -> None:
    study_id = rows.study(engine, {"x": rows.UNIT}, {"name": "tpe", "seed": 4, "n_startup_trials": 1})
    for state in (TrialState.FAILED, TrialState.CANCELLED):
        trial_id, _ = rows.start(engine, study_id)
        rows.finish(engine, study_id, trial_id, None, state=state)

    states = [trial.state.name for trial in TunerStorage(engine).get_all_trials(study_id)]
    _, asked = rows.start(engine, study_id)

    assert states == ["FAIL", "FAIL"]
    assert 0 <= asked.params["x"] <= 1


def test_asking_for_what_is_not_there_says_so(engine: Engine) -> None:
    study_id = rows.study(engine, {"x": rows.UNIT}, {"name": "random", "seed": 4})
    scripted = TunerStorage(engine).create_new_study([])
    with transaction(engine) as connection:
        trial_id = rows.trial(connection, study_id)
        with pytest.raises(NotFoundError):
            ask.ask(connection, study_id + 100, trial_id)
        with pytest.raises(NotFoundError):
            ask.ask(connection, study_id, trial_id + 100)
        with pytest.raises(WrongStateError, match="Optuna"):
            ask.ask(connection, scripted, trial_id)


def test_a_sampler_leaves_the_trial_row_to_the_caller(engine: Engine) -> None:
    study_id = rows.study(engine, {"x": rows.UNIT, "y": rows.UNIT}, {"name": "nsga2", "seed": 4})
    with transaction(engine) as connection:
        trial_id = rows.trial(connection, study_id)
        asked = ask.ask(connection, study_id, trial_id)

    with transaction(engine) as connection:
        row = connection.execute(select(t.trials).where(t.trials.c.id == trial_id)).one()

    assert (row.state, row.params, row.system_attrs) == ("waiting", "{}", "{}")
    assert asked.system_attrs == {"NSGAIISampler:generation": 0}
    assert not math.isnan(asked.params["x"])


def test_random_draws_within_the_claim_what_it_draws_afterwards(engine: Engine) -> None:
    sampler = {"name": "random", "seed": 3}
    study_id = rows.study(engine, CONDITIONAL, sampler)
    for number in range(8):
        with transaction(engine) as connection:
            at_once = ask.at_once(connection, study_id, number)
        _trial_id, asked = rows.start(engine, study_id)
        assert at_once == asked


def test_a_sampler_that_learns_is_not_asked_within_the_claim(engine: Engine) -> None:
    for name in FAST[1:]:
        study_id = rows.study(engine, FINITE, {"name": name, "seed": 3})
        with transaction(engine) as connection:
            assert ask.at_once(connection, study_id, 0) is None
