"""An external study that an Optuna script runs: its calls of the storage become claims, reports and results.

Owns what each writing method means for a study with a spec. A trial that a script runs is an attempt with a lease, held by
the script's process and renewed by whatever it says; so the budget holds, and a script that dies loses nothing. Studies
without a spec, and everything that only reads, go to `tuner.sampling.calls`.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, validate_call
from sqlalchemy import Connection, Engine

from tuner import attempts, claims, specs
from tuner import studies as study_cases
from tuner.domain.errors import NotFoundError, StaleAttemptError, StudyEndedError, TrialFinishedError, WrongStateError
from tuner.domain.spec import StudySpec
from tuner.domain.states import FINISHED, StudyState
from tuner.once import Caller, once
from tuner.sampling import calls, plan, trial_json
from tuner.sampling.calls import Id, Name, Number, Object, State, Step
from tuner.sampling.trial_json import SCRIPT
from tuner.store import attempts as attempt_rows
from tuner.store import history, notify, studies, trials
from tuner.store.database import transaction
from tuner.wire_attempts import CompleteBody, FailBody

OPEN = (StudyState.QUEUED, StudyState.RUNNING, StudyState.PAUSED)
BY_ITSELF = ("grid", "brute")  # samplers that visit every point, and must have made each one


@dataclass(frozen=True)
class Script(Caller):
    """A script that calls, by one of its requests."""

    engine: Engine


def call(engine: Engine, method: str, arguments: Mapping[str, Any], *, holder: str, request_id: str) -> Any:
    """Calls a method of Optuna's storage; gives something for `json.dumps`. The same request again takes effect once.

    Raises:
        TunerError: see `tuner.sampling.calls.call`, and
        IdempotencyMismatchError: the request called something else before.
        StudyEndedError: nothing further starts in this study.
        StaleAttemptError: the trial is not, or no longer, this script's.
    """
    script = Script(holder, request_id, engine)
    if method == "renew" or (method in METHODS and _has_spec(engine, arguments)):
        return calls.checked(METHODS[method], script, arguments)
    if method not in calls.ONCE:
        return calls.call(engine, method, arguments)
    asked = {"method": method, "arguments": dict(arguments)}
    return once(engine, script, asked, lambda connection: calls.call(connection, method, arguments))


def _has_spec(engine: Engine, arguments: Mapping[str, Any]) -> bool:
    """Whether the call is about a study with a spec; what is not there, the other side will say."""
    with transaction(engine) as connection:
        match arguments:
            case {"study_id": int(study_id)} if 0 < study_id <= 2**62:
                study = history.study(connection, study_id)
            case {"trial_id": int(trial_id)} if 0 < trial_id <= 2**62:
                study = studies.of_trial(connection, trial_id)
            case _:
                study = None
    return study is not None and study.spec is not None


# ---- a trial begins --------------------------------------------------------------------------------------------------


def create_new_trial(script: Script, study_id: Id, template: Object | None = None) -> Object:
    """The next trial; `wait` instead where others run as many as the study allows at once, or it is paused."""
    if template is not None:
        return {"id": _enqueue(script, study_id, template), "lease_s": None}
    with transaction(script.engine) as connection:
        _require_external(studies.get(connection, study_id))
    held = claims.start_unsampled(script.engine, study_id, worker_id=script.holder, request_id=script.request_id)
    if held is not None:
        return {"id": held.trial_id, "lease_s": specs.of(held.study).limits.lease_s}
    with transaction(script.engine) as connection:
        study = studies.get(connection, study_id)
    if study.state == StudyState.PAUSED:
        return {"wait": True}
    if study.state not in OPEN:
        raise StudyEndedError(f"study {study.name!r} is {study.state} ({study.end_reason}): it starts no further trial")
    if study.budget_trials is not None and study.n_created >= study.budget_trials:
        raise StudyEndedError(f"study {study.name!r} has started all {study.budget_trials} trials of its budget")
    return {"wait": True}


def _require_external(study: Any) -> None:
    spec = specs.of(study)
    if not spec.is_external:
        raise WrongStateError(f"study {study.name!r} is trained by workers: a script needs one with trainer: external")
    if spec.sampler.name in BY_ITSELF:
        raise WrongStateError(
            f"the sampler {spec.sampler.name} of study {study.name!r} makes every point itself: choose another for a script"
        )


def _enqueue(script: Script, study_id: int, template: Object) -> int:
    """`study.enqueue_trial`; a trial that ran elsewhere is imported with its whole history instead."""
    trial = trial_json.to_trial(template)
    point = trial.system_attrs.get(study_cases.FIXED_PARAMS)
    if template["state"] != "WAITING" or not isinstance(point, dict):
        raise WrongStateError("this study takes enqueued points, and no trials from elsewhere: `tuner import` does")

    def add(connection: Connection) -> int:
        (number,) = study_cases.add_points(connection, study_id, [point])
        return int(trials.get(connection, study_id, number).id)

    trial_id = int(once(script.engine, script, {"study_id": study_id, "point": point}, add))
    notify.work(script.engine)
    return trial_id


def set_trial_state_values(script: Script, trial_id: Id, state: State, values: list[Number] | None = None) -> Object:
    """Takes a waiting trial, or ends one of the script's own."""
    with transaction(script.engine) as connection:
        study = studies.of_trial(connection, trial_id)
    assert study is not None  # the call was sent here for its spec
    if state == "RUNNING":
        _require_external(study)
        held = claims.start_unsampled(
            script.engine, study.id, worker_id=script.holder, request_id=script.request_id, trial_id=trial_id
        )
        done = held is not None and held.trial_id == trial_id
        return {"done": done, "lease_s": specs.of(study).limits.lease_s if done else None}
    if state == "WAITING":
        raise WrongStateError("a trial of this study waits again only when its script gives it back or is lost")
    _finish(script, specs.of(study), trial_id, state, values)
    return {"done": True, "lease_s": None}


# ---- while it runs ---------------------------------------------------------------------------------------------------


def renew(script: Script, trial_ids: Annotated[list[Id], Field(max_length=10_000)]) -> list[int]:
    """Renews the leases of the script's trials; gives those that are still its own."""
    with transaction(script.engine) as connection:
        return [each for each in sorted(trial_ids) if attempt_rows.renew_held(connection, each, script.holder)]


def set_trial_param(script: Script, trial_id: Id, name: Name, internal: Number, distribution: Object) -> None:
    with transaction(script.engine) as connection:
        row = _own(connection, script, trial_id)
        space = plan.of(connection, row.study_id).space
        known = trial_json.distribution(distribution)
        value = trial_json.external(known, internal)
        space.check(name, value, known)
        params = json.loads(row.params) | {name: value}
        named = json.loads(row.distributions) | {name: space.as_json[name]}
        history.set_trial(connection, trial_id, params=json.dumps(params), distributions=json.dumps(named))


def set_trial_intermediate_value(script: Script, trial_id: Id, step: Step, value: Number) -> Object:
    """A report of the first objective, and whether the study is paused. As everywhere, the first one of a step stands."""
    with transaction(script.engine) as connection:
        row = _own(connection, script, trial_id)
        spec = plan.of(connection, row.study_id).spec
        attempt_rows.add_reports(connection, [attempts.own_report(spec, row.attempt_id, trial_id, step, float(value))])
        return {"paused": studies.get(connection, row.study_id).state == StudyState.PAUSED}


def release(script: Script, trial_id: Id) -> None:
    """Gives a trial back unfinished: it goes on when its study does. Again it is answered alike."""
    with transaction(script.engine) as connection:
        attempt_id = attempt_rows.last_of_worker(connection, trial_id, script.holder)
        if attempt_id is None:
            attempt_id = _own(connection, script, trial_id).attempt_id
    attempts.release(script.engine, attempt_id)


def set_trial_user_attr(script: Script, trial_id: Id, key: Name, value: Any) -> None:
    with transaction(script.engine) as connection:
        row = _own(connection, script, trial_id)
        history.set_trial(connection, trial_id, user_attrs=json.dumps(json.loads(row.user_attrs) | {key: value}))


def set_trial_system_attr(script: Script, trial_id: Id, key: Name, value: Any) -> None:
    """Kept apart from ours: CMA-ES unpickles what it finds among a trial's own."""
    with transaction(script.engine) as connection:
        row = _own(connection, script, trial_id)
        kept = json.loads(row.system_attrs).get(SCRIPT, {})
        history.change_trial_attrs(connection, trial_id, {SCRIPT: {**kept, key: value}})


def set_study_system_attr(script: Script, study_id: Id, key: Name, value: Any) -> None:
    with transaction(script.engine) as connection:
        history.change_study_attrs(
            connection, study_id, lambda attrs: attrs.update({SCRIPT: {**attrs.get(SCRIPT, {}), key: value}})
        )


@dataclass(frozen=True)
class _Own:
    """A trial of the script's, locked, with its live attempt."""

    attempt_id: uuid.UUID
    study_id: int
    params: str
    distributions: str
    user_attrs: str
    system_attrs: str


def _own(connection: Connection, script: Script, trial_id: int) -> _Own:
    """The trial with its lease renewed.

    Raises:
        TrialFinishedError: it has ended.
        StaleAttemptError: it is somebody else's, or waits.
    """
    attempt = attempt_rows.renew_held(connection, trial_id, script.holder)
    row = history.lock_trial(connection, trial_id)
    if row is None:
        raise NotFoundError(f"there is no trial {trial_id}")
    if attempt is None:
        raise _not_own(row)
    return _Own(attempt.id, row.study_id, row.params, row.distributions, row.user_attrs, row.system_attrs)


def _not_own(row: Any) -> TrialFinishedError | StaleAttemptError:
    if row.state in FINISHED:
        return TrialFinishedError(f"trial {row.number} has ended as {row.state}, and does not change any more")
    return StaleAttemptError(f"trial {row.number} is not this script's: its lease was lost, or it never was")


# ---- a trial ends ----------------------------------------------------------------------------------------------------


def _finish(script: Script, spec: StudySpec, trial_id: int, state: State, values: Sequence[float] | None) -> None:
    with transaction(script.engine) as connection:
        attempt_id = attempt_rows.last_of_worker(connection, trial_id, script.holder)
        row = history.trial(connection, trial_id)
    if row is None or attempt_id is None:
        raise StaleAttemptError(f"trial {trial_id} is not this script's")
    if state == "FAIL":
        error = "the script's objective raised an exception or gave no number: see what the script printed"
        attempts.fail(script.engine, attempt_id, FailBody(reason="trainer-error", error=error))
    elif any(not math.isfinite(value) for value in values or []):
        attempts.fail(script.engine, attempt_id, FailBody(reason="non-finite", error=f"its values are {values}"))
    else:
        metrics = _metrics(spec, json.loads(row.user_attrs), values or [])
        body = CompleteBody(state="complete" if state == "COMPLETE" else "pruned", metrics=metrics)
        attempts.complete(script.engine, attempt_id, body)


def _metrics(spec: StudySpec, user_attrs: Mapping[str, Any], values: Sequence[float]) -> dict[str, float]:
    """The objectives' values, and what constraints are about from the trial's user attributes of that name."""
    bounded = {each.metric: user_attrs.get(each.metric) for each in spec.constraints}
    found = {name: float(value) for name, value in bounded.items() if isinstance(value, int | float)}
    named = zip([each.metric for each in spec.objectives or []], values, strict=False)
    return {**{name: value for name, value in found.items() if math.isfinite(value)}, **dict(named)}


METHODS = {
    function.__name__: validate_call(config={"arbitrary_types_allowed": True})(function)
    for function in (
        renew,
        create_new_trial,
        set_trial_param,
        set_trial_state_values,
        set_trial_intermediate_value,
        release,
        set_trial_user_attr,
        set_trial_system_attr,
        set_study_system_attr,
    )
}
