"""Samplers find better points than chance does, through our rows; and what a study's history says afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna._hypervolume import compute_hypervolume
from sqlalchemy import Engine

from tests.integration.sampling import rows
from tuner.domain.errors import WrongStateError
from tuner.domain.spec import StudySpec
from tuner.domain.states import TrialState
from tuner.sampling import after, importances, pareto
from tuner.store.database import transaction

PLANE = {"x": {"type": "float", "low": -5.0, "high": 5.0}, "y": {"type": "float", "low": -5.0, "high": 5.0}}
TWO = [{"metric": "y", "direction": "minimize"}, {"metric": "z", "direction": "maximize"}]


def _bowl(params: dict[str, Any]) -> list[float]:
    return [float((params["x"] - 1.2) ** 2 + 3 * (params["y"] + 0.7) ** 2)]


def _search(
    engine: Engine, study_id: int, n: int, objective: Callable[[dict[str, Any]], Sequence[float]]
) -> list[list[float]]:
    found = []
    for _ in range(n):
        trial_id, asked = rows.start(engine, study_id)
        found.append(list(objective(asked.params)))
        rows.finish(engine, study_id, trial_id, found[-1])
    return found


@pytest.mark.parametrize(
    ("sampler", "n"),
    [
        ({"name": "tpe"}, 50),
        ({"name": "cmaes"}, 60),
        ({"name": "cmaes", "with_margin": True}, 60),
        ({"name": "gp", "n_startup_trials": 8}, 16),
    ],
)
def test_a_model_beats_chance(engine: Engine, sampler: dict[str, Any], n: int) -> None:
    """The median of its last quarter is better than the best of as many random points."""
    found = _search(engine, rows.study(engine, PLANE, sampler | {"seed": 5}), n, _bowl)
    chance = _search(engine, rows.study(engine, PLANE, {"name": "random", "seed": 5}), n, _bowl)

    late = [value for (value,) in found[-n // 4 :]]
    assert min(value for (value,) in found) < min(value for (value,) in chance)
    assert np.median(late) < np.median([value for (value,) in chance]) / 4


@pytest.mark.parametrize("name", ["nsga2", "nsga3"])
def test_a_genetic_front_dominates_a_random_one(engine: Engine, name: str) -> None:
    """ZDT1, with its second objective turned round so that both directions are in play."""
    space = {f"x{i}": rows.UNIT for i in range(6)}

    def zdt1(params: dict[str, Any]) -> list[float]:
        first = params["x0"]
        g = 1 + 9 * sum(params[f"x{i}"] for i in range(1, 6)) / 5
        return [first, -g * (1 - (first / g) ** 0.5)]

    def volume(found: list[list[float]]) -> float:
        losses = np.array([[first, -second] for first, second in found])
        return float(compute_hypervolume(losses[(losses < [1.1, 6.0]).all(axis=1)], np.array([1.1, 6.0])))

    sampler = {"name": name, "seed": 3, "population_size": 16}
    found = _search(engine, rows.study(engine, space, sampler, objectives=TWO), 160, zdt1)
    chance = _search(engine, rows.study(engine, space, {"name": "random", "seed": 3}, objectives=TWO), 160, zdt1)

    assert volume(found) > 1.1 * volume(chance)


@pytest.mark.parametrize("name", ["tpe", "gp", "qmc", "random"])
def test_other_samplers_take_several_objectives_too(engine: Engine, name: str) -> None:
    options = {"n_startup_trials": 3} if name in {"tpe", "gp"} else {}
    study_id = rows.study(engine, {"x": rows.UNIT}, {"name": name, "seed": 3, **options}, objectives=TWO)

    found = _search(engine, study_id, 5, lambda params: [params["x"], params["x"]])

    assert len({tuple(each) for each in found}) == 5


def test_the_front_is_what_nobody_beats_among_the_feasible(engine: Engine) -> None:
    study_id = rows.study(
        engine,
        {"x": rows.UNIT},
        {"name": "random", "seed": 3},
        objectives=TWO,
        constraints=[{"metric": "mb", "max": 10}],
    )
    told = [
        ([1.0, 1.0], 5.0),
        ([0.5, 0.5], 5.0),
        ([1.1, 0.9], 5.0),  # beaten by the first
        ([0.0, 9.0], 11.0),  # beats all, and is too large
        ([0.4, 0.4], None),  # does not say how large it is
    ]
    for values, megabytes in told:
        trial_id, _ = rows.start(engine, study_id)
        metrics = {} if megabytes is None else {"mb": megabytes}
        rows.finish(engine, study_id, trial_id, values, metrics=metrics)
    trial_id, _ = rows.start(engine, study_id)
    rows.finish(engine, study_id, trial_id, None, state=TrialState.FAILED)

    with transaction(engine) as connection:
        assert pareto.pareto(connection, study_id) == [0, 1]


def test_there_is_no_front_before_a_trial_is_complete(engine: Engine) -> None:
    study_id = rows.study(engine, {"x": rows.UNIT}, {"name": "random", "seed": 3}, objectives=TWO)
    rows.start(engine, study_id)

    with transaction(engine) as connection:
        assert pareto.pareto(connection, study_id) == []


def test_constraints_are_measured_by_how_far_they_are_exceeded() -> None:
    constraints = [{"metric": "latency_ms", "max": 5}, {"metric": "f1", "min": 0.5}, {"metric": "f1", "max": 0.9}]
    spec = StudySpec.model_validate({"name": "s", "constraints": constraints, "budget": {"trials": 1}})

    assert after.constraints_of(spec, {"latency_ms": 7.0, "val/f1": 0.75}) == [2.0, -0.25, 0.75 - 0.9]
    assert after.constraints_of(spec, {"latency_ms": float("nan")}) == [5.0, 1.0, 1.0]
    assert after.is_feasible(spec, {"latency_ms": 5.0, "val/f1": 0.9})
    assert not after.is_feasible(spec, {"latency_ms": 5.0})


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_parameter_that_matters_comes_first(engine: Engine, direction: str) -> None:
    """For each of two objectives another one; a third parameter is there in some trials alone."""
    space = rows.FIVE | {"momentum": {**rows.UNIT, "when": {"optimizer": ["sgd"]}}}
    objectives = [{"metric": "y", "direction": direction}, {"metric": "z", "direction": "minimize"}]
    study_id = rows.study(engine, space, {"name": "random", "seed": 3}, objectives=objectives)
    sign = 1.0 if direction == "minimize" else -1.0

    _search(engine, study_id, 60, lambda p: [sign * p["dropout"] ** 2, float(p["batch_size"])])

    with transaction(engine) as connection:
        first, second = (importances.importances(connection, study_id, i) for i in range(2))
    assert next(iter(first)) == "dropout"
    assert next(iter(second)) == "batch_size"
    assert list(first.values()) == sorted(first.values(), reverse=True)
    assert sum(first.values()) == pytest.approx(1)
    assert set(first) == set(space)


def test_importances_of_too_few_trials_are_refused(engine: Engine) -> None:
    study_id = rows.study(engine, PLANE, {"name": "random", "seed": 3})
    _search(engine, study_id, 2, _bowl)

    with transaction(engine) as connection, pytest.raises(WrongStateError, match=r"need 4 complete trials.* has 2"):
        importances.importances(connection, study_id, 0)


ASKS = """
import sys
from pathlib import Path
from tests.integration.sampling import rows
from tuner.store import database
import tuner.sampling

for module in Path(tuner.sampling.__path__[0]).glob("*.py"):
    __import__(f"tuner.sampling.{module.stem}")
engine = database.connect(sys.argv[1])
for name in ("random", "tpe", "cmaes", "nsga2", "nsga3", "qmc", "gp"):
    options = {"population_size": 2} if name.startswith("nsga") else {}
    options |= {"n_startup_trials": 2} if name in ("tpe", "cmaes", "gp") else {}
    study_id = rows.study(engine, rows.FIVE, {"name": name, "seed": 1} | options)
    for i in range(5):
        trial_id, asked = rows.start(engine, study_id)
        rows.report(engine, study_id, trial_id, 1, asked.params["dropout"])
        rows.finish(engine, study_id, trial_id, [asked.params["dropout"]])
loaded = {"torch", "matplotlib", "plotly", "mlflow"} & set(sys.modules)
assert not loaded, loaded
"""


def test_asking_loads_neither_torch_nor_matplotlib(database_url: str) -> None:
    """Not even `gp`, whose process has them; and that process ends with ours."""
    root = Path(__file__).parents[3]

    done = subprocess.run(
        [sys.executable, "-c", ASKS, database_url], cwd=root, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
