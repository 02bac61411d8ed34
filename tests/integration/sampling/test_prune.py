"""Pruning decides at the same step as Optuna's own in-memory study that is told the same values."""

from __future__ import annotations

import math
import random
import warnings
from typing import Any

import optuna
import pytest
from sqlalchemy import Engine, event

from tests.integration.sampling import rows
from tuner.domain.spec import StudySpec
from tuner.domain.states import TrialState
from tuner.sampling import prune, pruners
from tuner.sampling.storage import TunerStorage
from tuner.store.database import transaction

EPOCHS = 9
SPECS: dict[str, dict[str, Any]] = {
    "median": {"name": "median", "n_startup_trials": 2},
    "median, warm": {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 3, "interval_steps": 2},
    "percentile": {"name": "percentile", "percentile": 40.0, "n_startup_trials": 2, "n_min_trials": 2},
    "halving": {"name": "halving", "reduction_factor": 2},
    "halving, late": {"name": "halving", "min_resource": 2, "min_early_stopping_rate": 1, "bootstrap_count": 1},
    "hyperband": {"name": "hyperband", "reduction_factor": 2},
    "threshold": {"name": "threshold", "upper": 1.05, "lower": 0.1, "n_warmup_steps": 2},
    "patient": {"name": "patient", "patience": 1, "min_delta": 0.01},
    "patient median": {"name": "patient", "patience": 1, "wrapped": {"name": "median", "n_startup_trials": 2}},
    "wilcoxon": {"name": "wilcoxon", "p_threshold": 0.3, "n_startup_steps": 2},
}


def _curves(n: int, seed: int) -> list[list[float]]:
    """Noisy learning curves of good and bad trials; one of them turns to NaN."""
    rng = random.Random(seed)
    curves = []
    for i in range(n):
        level = rng.uniform(0.2, 0.9)
        curves.append([level + 1 / (step + 1) + rng.gauss(0, 0.08) for step in range(EPOCHS)])
        if i == n // 2:
            curves[-1][3] = math.nan
    return curves


def _spec(pruner: dict[str, Any], direction: str) -> dict[str, Any]:
    objectives = [{"metric": "y", "direction": direction}]
    return {"objectives": objectives, "pruner": pruner, "fixed": {"epochs": EPOCHS}}


def _optunas_own(name: str, pruner: dict[str, Any], direction: str, curves: list[list[float]]) -> list[int]:
    """The step at which each trial is pruned; EPOCHS where it is not."""
    spec = StudySpec.model_validate(
        {"name": "x", "budget": {"trials": 1}, "trainer": "external", "search_space": {"x": rows.UNIT}}
        | _spec(pruner, direction)
    )
    study = optuna.create_study(
        study_name=name,
        direction=direction,
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=pruners.build(spec.pruner, max_resource=EPOCHS),
    )
    steps = []
    for curve in curves:
        trial = study.ask()
        for step, value in enumerate(curve, start=1):
            trial.report(value, step)
            if step < EPOCHS and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, curve[-1])
        steps.append(step)
    return steps


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("kind", SPECS)
def test_each_trial_is_pruned_at_the_step_at_which_optuna_prunes_it(engine: Engine, kind: str, direction: str) -> None:
    curves = _curves(14, seed=3)
    if direction == "maximize":
        curves = [[1.2 - value for value in curve] for curve in curves]
    name = f"{kind} {direction}"  # Hyperband's brackets follow from the study's name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NaN and of steps that the best trial does not have; ours must not show any
        expected = _optunas_own(name, SPECS[kind], direction, curves)
    sampler = {"name": "random", "seed": 0}
    study_id = rows.study(engine, {"x": rows.UNIT}, sampler, name=name, **_spec(SPECS[kind], direction))

    steps = []
    for curve in curves:
        trial_id, _ = rows.start(engine, study_id)
        for step, value in enumerate(curve, start=1):
            if rows.report(engine, study_id, trial_id, step, value):
                rows.finish(engine, study_id, trial_id, None, state=TrialState.PRUNED)
                break
        else:
            rows.finish(engine, study_id, trial_id, [curve[-1]])
        steps.append(step)

    assert steps == expected
    assert len(set(steps)) > 1  # some are pruned and some are not


def test_halvings_rungs_are_kept_on_the_trial(engine: Engine) -> None:
    pruner = {"name": "halving", "reduction_factor": 2}
    study_id = rows.study(engine, {"x": rows.UNIT}, {"name": "random", "seed": 0}, **_spec(pruner, "minimize"))
    trial_id, _ = rows.start(engine, study_id)

    for step, value in enumerate([0.9, 0.7, 0.6, 0.5], start=1):
        rows.report(engine, study_id, trial_id, step, value)

    attrs = TunerStorage(engine).get_trial_system_attrs(trial_id)
    assert attrs == {"completed_rung_0": 0.9, "completed_rung_1": 0.7, "completed_rung_2": 0.5}


def test_a_live_rival_counts_for_halving(engine: Engine) -> None:
    pruner = {"name": "halving", "reduction_factor": 2}
    study_id = rows.study(engine, {"x": rows.UNIT}, {"name": "random", "seed": 0}, **_spec(pruner, "minimize"))
    rival, _ = rows.start(engine, study_id)
    trial_id, _ = rows.start(engine, study_id)

    rows.report(engine, study_id, rival, 1, 0.1)

    assert rows.report(engine, study_id, trial_id, 1, 0.9)


@pytest.mark.parametrize("rounds", [1, 3])
def test_after_the_last_step_nothing_is_pruned(engine: Engine, rounds: int) -> None:
    """The last of `fixed.epochs`, or with several rounds the last round."""
    spec = _spec({"name": "threshold", "upper": 1.0}, "minimize") | {"evaluation": {"folds": rounds}}
    study_id = rows.study(engine, {"x": rows.UNIT}, {"name": "random", "seed": 0}, **spec)
    last = EPOCHS if rounds == 1 else rounds
    trial_id, _ = rows.start(engine, study_id)

    decisions = [rows.report(engine, study_id, trial_id, step, 2.0) for step in (last - 1, last)]

    assert decisions == [True, False]


def test_a_study_without_a_pruner_costs_no_statement(engine: Engine) -> None:
    study_id = rows.study(engine, {"x": rows.UNIT}, {"name": "random", "seed": 0})
    trial_id, _ = rows.start(engine, study_id)
    statements: list[str] = []
    with transaction(engine) as connection:
        event.listen(connection, "before_cursor_execute", lambda *args: statements.append(args[2]))
        why = prune.decide(connection, study_id, trial_id)

    assert why is None
    assert statements == []


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("kind", SPECS)
def test_every_pruning_tells_a_threshold_that_its_value_misses(engine: Engine, kind: str, direction: str) -> None:
    """As Optuna decides: nothing but NaN, and the first at a rung, is pruned without one."""
    curves = _curves(14, seed=3)
    if direction == "maximize":
        curves = [[1.2 - value for value in curve] for curve in curves]
    sampler = {"name": "random", "seed": 0}
    study_id = rows.study(
        engine, {"x": rows.UNIT}, sampler, name=f"told {kind} {direction}", **_spec(SPECS[kind], direction)
    )

    told = []
    for curve in curves:
        trial_id, _ = rows.start(engine, study_id)
        for step, value in enumerate(curve, start=1):
            why = rows.explained(engine, study_id, trial_id, step, value)
            if why is not None:
                told.append(why)
                assert (why.step, why.metric) == (step, "y")
                rows.finish(engine, study_id, trial_id, None, state=TrialState.PRUNED)
                break
        else:
            rows.finish(engine, study_id, trial_id, [curve[-1]])

    assert told
    for why in told:
        assert why.rule
        if why.threshold is None:
            assert "NaN" in why.rule or "never go on" in why.rule
            continue
        assert why.value is not None
        words = {"below": why.value < why.threshold, "above": why.value > why.threshold, "with p": why.value < 0.3}
        assert any(word in why.rule and holds for word, holds in words.items()), why
    assert any(why.threshold is not None for why in told)


def test_the_median_that_is_told_is_that_of_the_complete_trials(engine: Engine) -> None:
    spec = _spec({"name": "median", "n_startup_trials": 3}, "minimize")
    study_id = rows.study(engine, {"x": rows.UNIT}, {"name": "random", "seed": 0}, **spec)
    for value in (0.1, 0.2, 0.6):
        trial_id, _ = rows.start(engine, study_id)
        rows.report(engine, study_id, trial_id, 1, value)
        rows.finish(engine, study_id, trial_id, [value])
    trial_id, _ = rows.start(engine, study_id)

    why = rows.explained(engine, study_id, trial_id, 1, 0.3)

    assert why is not None
    assert (why.value, why.threshold) == (0.3, 0.2)


def test_the_rung_that_is_told_is_the_one_that_was_missed(engine: Engine) -> None:
    spec = _spec({"name": "halving", "reduction_factor": 2}, "minimize")
    study_id = rows.study(engine, {"x": rows.UNIT}, {"name": "random", "seed": 0}, **spec)
    for value in (0.1, 0.2, 0.3):
        rival, _ = rows.start(engine, study_id)
        rows.report(engine, study_id, rival, 1, value)
    trial_id, _ = rows.start(engine, study_id)

    why = rows.explained(engine, study_id, trial_id, 1, 0.25)

    assert why is not None
    assert (why.value, why.threshold) == (0.25, 0.2)
    assert why.rule == "above 0.2: the best 1/2 of 4 trials at rung 0 go on"


def test_a_pruning_that_cannot_be_explained_stands(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune.explain, "explain", lambda *_: 1 / 0)
    spec = _spec({"name": "threshold", "upper": 1.0}, "minimize")
    study_id = rows.study(engine, {"x": rows.UNIT}, {"name": "random", "seed": 0}, **spec)
    trial_id, _ = rows.start(engine, study_id)

    why = rows.explained(engine, study_id, trial_id, 1, 2.0)

    assert why is not None
    assert (why.step, why.threshold) == (1, None)
