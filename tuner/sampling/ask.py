"""Asking a study's sampler for the parameters of one trial, without writing the trial.

Owns the ask: the trial appears as running to the sampler, other live trials with what they have, and what Optuna would
write comes back to the caller. Optuna's own `study.ask` is never called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, create_trial
from optuna.trial import TrialState as OptunaState
from sqlalchemy import Connection, Engine

from tuner.domain.errors import NotFoundError
from tuner.domain.space import Scalar
from tuner.sampling import finished, plan, process, samplers, snapshot
from tuner.sampling.plan import Plan
from tuner.sampling.snapshot import Snapshot, SnapshotStudy
from tuner.store import database, history
from tuner.store.history import HistoryRow

_UNBORN_ID = -1
KEPT_GENERATIONS = 3  # NSGA looks at the parents of its present generation, and for those at the one before


@dataclass(frozen=True)
class Asked:
    """What the sampler gave for a trial.

    Attributes:
        params: by name; empty if `exhausted` and no point was left for this trial, which then must not run.
        distributions: of each parameter, Optuna's JSON.
        system_attrs: all of the trial's, with what the sampler added.
        exhausted: no point of the search space is left for further trials.
    """

    params: dict[str, Scalar]
    distributions: dict[str, Any]
    system_attrs: dict[str, Any]
    exhausted: bool


def ask(connection: Connection, study_id: int, trial_id: int) -> Asked:
    """Parameters for a waiting trial; those of the study's attributes that the sampler sets are stored.

    `gp` takes seconds, which it spends in a process of its own with a connection of its own; the trial must be committed.

    Raises:
        NotFoundError: there is no such study or trial.
        WrongStateError: the study has no spec.
    """
    study = plan.of(connection, study_id)
    if study.spec.sampler.name != "gp":
        return _ask(connection, study, trial_id)
    history.allow_idle(connection)
    url = connection.engine.url.render_as_string(hide_password=False)
    return process.call(_ask_elsewhere, url, study_id, trial_id)


def at_once(connection: Connection, study_id: int, trial_number: int) -> Asked | None:
    """Parameters for a trial that has no row yet, from a sampler that looks at no other trial; None: `ask` for them.

    They are those that `ask` would give.
    """
    study = plan.of(connection, study_id)
    spec = study.spec.sampler
    if spec.name != "random":
        return None
    view = Snapshot(study, _unborn(trial_number), read_history=_unread, read_study_attrs=_unread)
    sampler = samplers.build(spec, study_seed=spec.seed or 0, trial_number=trial_number, space=study.space)
    params = _sample(study, SnapshotStudy(view, sampler), _UNBORN_ID)
    return Asked(params, {name: study.space.as_json[name] for name in params}, view.trial_attrs, exhausted=False)


def _unborn(number: int) -> FrozenTrial:
    trial = create_trial(state=OptunaState.RUNNING)
    trial.number, trial._trial_id = number, _UNBORN_ID  # noqa: SLF001 - it has no other way in
    return trial


def _unread() -> NoReturn:
    raise AssertionError("a sampler that looks at no other trial has looked")


def _ask_elsewhere(url: str, study_id: int, trial_id: int) -> Asked:
    """Runs in the process of its own."""
    with database.transaction(_engine(url)) as connection:
        return _ask(connection, plan.of(connection, study_id), trial_id)


@lru_cache(maxsize=4)
def _engine(url: str) -> Engine:
    return database.connect(url, pool_size=1)


def _ask(connection: Connection, study: Plan, trial_id: int) -> Asked:
    spec = study.spec.sampler
    if spec.name in samplers.ONE_BY_ONE:
        history.lock_asks(connection, study.study_id)
    row = history.trial(connection, trial_id)
    if row is None or row.study_id != study.study_id:
        _forget(study)
        raise NotFoundError(f"study {study.study_id} has no trial with the id {trial_id}")
    view = snapshot.of(connection, study, row)
    sampler = samplers.build(spec, study_seed=spec.seed or 0, trial_number=row.number, space=study.space)
    sampled = SnapshotStudy(view, sampler)
    params = _sample(study, sampled, trial_id)
    if view.study_attrs:
        history.change_study_attrs(connection, study.study_id, lambda attrs: _add(attrs, view.study_attrs))
    own = view.get_trial(trial_id)
    if not own.system_attrs.get("fixed_params") and _is_repeated(study, view, row, params):
        params, sampled.exhausted = {}, True
    return Asked(
        params=params,
        distributions={name: study.space.as_json[name] for name in params},
        system_attrs=own.system_attrs,
        exhausted=sampled.exhausted,
    )


def _sample(study: Plan, sampled: SnapshotStudy, trial_id: int) -> dict[str, Scalar]:
    trial = Trial(sampled, trial_id)
    params: dict[str, Scalar] = {}
    for name, distribution in study.space.distributions.items():
        if study.space.exists(name, params):
            params[name] = _suggest(trial, name, distribution)
    return params


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Scalar:
    match distribution:
        case FloatDistribution(low=low, high=high, log=log, step=step):
            return float(trial.suggest_float(name, low, high, log=log, step=step))
        case IntDistribution(low=low, high=high, log=log, step=step):
            return int(trial.suggest_int(name, low, high, log=log, step=step))
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
        case _:
            raise AssertionError(f"no search space has a {type(distribution).__name__}")


def _is_repeated(study: Plan, view: Snapshot, row: HistoryRow, params: Mapping[str, Scalar]) -> bool:
    """Whether an exhaustive sampler repeats a point, as both of Optuna's do once none is left."""
    name = study.spec.sampler.name
    if name == "grid":
        return "grid_id" not in view.trial_attrs
    if name != "brute":
        return False
    trials = view.get_all_trials(study.study_id, deepcopy=False)
    return any(trial.params == params for trial in trials if trial.number != row.number)


def _add(attrs: dict[str, Any], new: Mapping[str, Any]) -> None:
    """Adds what NSGA notes of its generations, and drops what it needs no more.

    What another ask noted meanwhile stands: all must breed from the same parents.
    """
    for key, value in new.items():
        attrs.setdefault(key, value)
        prefix, marker, generation = key.rpartition(":parent:")
        if marker:
            attrs.pop(f"{prefix}{marker}{int(generation) - KEPT_GENERATIONS}", None)


def _forget(study: Plan) -> None:
    plan.forget(study.key)
    finished.forget(study.key)
