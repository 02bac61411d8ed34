"""A study's life after submission: pause, resume, cancel, finalize, extend, change, retry.

Owns these use cases, each one transaction with the study locked. Which of them a state allows is in `tuner.domain.states`.
A pause lets attempts live until their workers give them back; a cancellation ends them at once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine

from tuner import finals, idempotency, specs
from tuner.domain.errors import FieldError, InvalidError, WrongStateError
from tuner.domain.states import Move, StudyEnd, StudyState, TrialState, moved
from tuner.endings import cancel_live, cancel_waiting, has_waiting, reason_to_end, target_reached
from tuner.store import attempts, lifecycle, notify, studies
from tuner.store.database import transaction
from tuner.wire_lifecycle import ChangeBody, ExtendBody

MAX_TRIALS = 100_000  # of a budget with its extensions
MAX_HOURS = 10_000.0

# why a study cannot go on, although it was extended or trials of it are to be tried again
_CANNOT = {
    StudyEnd.TRIALS: "all {budget_trials} trials of its budget have ended: extend it by trials",
    StudyEnd.HOURS: "its {budget_hours:g} hours are used up: extend it by hours, too",
}


def pause(engine: Engine, study_id: int) -> None:
    """Nothing new starts until it is resumed; who runs a trial of it is told to give it back, and no attempt is used up.

    Raises:
        NotFoundError: there is no such study.
        WrongStateError: it is closed or has ended.
    """
    with transaction(engine) as connection:
        study = _locked(connection, study_id, Move.PAUSE)
        if study.state != StudyState.PAUSED:
            lifecycle.pause(connection, study_id)


def resume(engine: Engine, study_id: int) -> None:
    """A paused study goes on; its hours stood still meanwhile.

    Raises:
        NotFoundError: there is no such study.
        WrongStateError: it is closed or has ended.
    """
    with transaction(engine) as connection:
        study = _locked(connection, study_id, Move.RESUME)
        if study.state == StudyState.PAUSED:
            state = StudyState.QUEUED if study.started_at is None else StudyState.RUNNING
            lifecycle.resume(connection, study_id, state)
    notify.work(engine)


def cancel(engine: Engine, study_id: int) -> None:
    """Ends a study now and for good: running trials are cancelled, and whoever runs them learns it with the next heartbeat.

    Of a study whose search is over only the final fit is cancelled, and it has completed.

    Raises:
        NotFoundError: there is no such study.
        WrongStateError: it has ended already, for another reason.
    """
    with transaction(engine) as connection:
        study = _locked(connection, study_id, Move.CANCEL)
        if study.state == StudyState.CANCELLED:
            return
        if finals.cancel_open(connection, study_id):
            studies.end(connection, study_id, StudyState.COMPLETED)
            return
        for attempt in attempts.live_of_study(connection, study_id):
            cancel_live(connection, study_id, attempt.id, attempt.trial_id)
        studies.close(connection, study_id, StudyEnd.CANCELLED)
        cancel_waiting(connection, study_id)
        studies.end(connection, study_id, StudyState.CANCELLED)
    notify.work(engine)  # loops that wait for a trial of it end


def change(engine: Engine, study_id: int, body: ChangeBody) -> None:
    """Changes priority or parallelism from the next claim on; what runs goes on running.

    Raises:
        NotFoundError: there is no such study.
        WrongStateError: it has ended.
    """
    with transaction(engine) as connection:
        _locked(connection, study_id, Move.CHANGE)
        studies.change(connection, study_id, **body.model_dump(include=body.model_fields_set))
    notify.work(engine)


def finalize(engine: Engine, study_id: int) -> None:
    """Has the final model of a completed study made; one that is being made, or was made of the best trial, stays.

    Raises:
        NotFoundError: there is no such study.
        WrongStateError: it has not completed, or there is nothing to make it of, or to score it on.
    """
    with transaction(engine) as connection:
        study = _locked(connection, study_id, Move.FINALIZE)
        spec = specs.of(study)
        finals.require_possible(connection, study, spec)
        if study.state == StudyState.COMPLETED:
            if finals.begin(connection, study, spec):
                lifecycle.finalize(connection, study_id)
        elif not spec.finalize and study.n_live > 0:
            raise WrongStateError(f"the last trials of study {study.name} still run: ask again once it has completed")


# ---- going on --------------------------------------------------------------------------------------------------------


def extend(engine: Engine, study_id: int, body: ExtendBody, idempotency_key: str | None = None) -> None:
    """Adds to a study's budget; one that has ended goes on with all it has learnt.

    What had ended it does not end it again at once: failures so far are forgiven, a target that was reached counts no
    more, and `no_improvement` counts from now on.

    Raises:
        NotFoundError: there is no such study.
        WrongStateError: it was cancelled, or it could start nothing all the same.
        InvalidError: the budget has no such limit, or would grow too large.
        IdempotencyMismatchError: the key came with another request before.
    """
    digest = idempotency.digest_of(Move.EXTEND, study_id, body.model_dump_json())
    with transaction(engine) as connection:
        if idempotency_key is not None and idempotency.known(connection, idempotency_key, digest) is not None:
            return
        study = _locked(connection, study_id, Move.EXTEND)
        _check_extension(study, body)
        is_closed = study.end_reason is not None
        if is_closed:
            _reopen(connection, study)
        lifecycle.add_budget(connection, study_id, n_trials=body.trials or 0, hours=body.hours or 0.0)
        if is_closed:
            _require_start(connection, study_id)
        if idempotency_key is not None:
            studies.remember_key(connection, idempotency_key, digest, study_id, move=Move.EXTEND)
    notify.work(engine)


def _check_extension(study: Any, body: ExtendBody) -> None:
    if study.is_exhausted or study.end_reason == StudyEnd.EXHAUSTED:
        raise WrongStateError(
            f"study {study.name} has no further point: each of its search space is tried; submit one with a finer space"
        )
    faults = [
        fault
        for name, more, now, limit in (
            ("trials", body.trials, study.budget_trials, MAX_TRIALS),
            ("hours", body.hours, study.budget_hours, MAX_HOURS),
        )
        if more is not None and (fault := _fault(name, more, now, limit)) is not None
    ]
    if faults:
        raise InvalidError(faults)


def _fault(name: str, more: float, now: float | None, limit: float) -> FieldError | None:
    if now is None:
        other = "hours" if name == "trials" else "trials"
        return FieldError(f"/{name}", f"the study's budget has no limit of {name}: extend its {other}")
    if now + more > limit:
        return FieldError(f"/{name}", f"it has {now:g}, and may have {limit:g} at most: add up to {limit - now:g}")
    return None


def retry(
    engine: Engine, study_id: int, numbers: Sequence[int] | None, idempotency_key: str | None = None
) -> list[int]:
    """Tries failed trials again: each as a new trial with the same parameters, for which the budget grows by one.

    A study that has ended goes on with what is left of its budget, as after `extend`.

    Args:
        engine: to the database.
        study_id: the study.
        numbers: of failed trials; None: all that were not tried again yet.
        idempotency_key: the same request with the same key gets the same answer.

    Returns:
        The new trials' numbers.

    Raises:
        NotFoundError: there is no such study.
        WrongStateError: it was cancelled, has no such trial, or could start nothing all the same.
        InvalidError: a trial did not fail, or was tried again already.
        IdempotencyMismatchError: the key came with another request before.
    """
    digest = idempotency.digest_of(Move.RETRY, study_id, numbers)
    with transaction(engine) as connection:
        if idempotency_key is not None:
            known = idempotency.known(connection, idempotency_key, digest)
            if known is not None:
                return list(json.loads(known.answer))
        study = _locked(connection, study_id, Move.RETRY)
        failures = _failures(connection, study, numbers)
        made = lifecycle.retry(connection, study_id, failures, study.n_created)
        if study.end_reason is not None:
            _reopen(connection, study)
            _require_start(connection, study_id)
        if idempotency_key is not None:
            answer = json.dumps(made)
            studies.remember_key(connection, idempotency_key, digest, study_id, move=Move.RETRY, answer=answer)
    notify.work(engine)
    return made


def _failures(connection: Connection, study: Any, numbers: Sequence[int] | None) -> list[Any]:
    if numbers is None:
        found = [row for row in lifecycle.failed(connection, study.id) if row.retry is None]
        if not found:
            raise WrongStateError(f"study {study.name} has no failed trial that was not tried again: nothing to retry")
        return found
    rows = {row.number: row for row in lifecycle.failed(connection, study.id, numbers)}
    faults = [
        FieldError(f"/trials/{index}", fault)
        for index, number in enumerate(numbers)
        if (fault := _no_failure(rows.get(number), number, is_repeated=number in numbers[:index])) is not None
    ]
    if faults:
        raise InvalidError(faults)
    return [rows[number] for number in numbers]


def _no_failure(row: Any, number: int, *, is_repeated: bool) -> str | None:
    """Why a trial cannot be tried again; None: it can."""
    if row is None:
        return f"there is no trial {number}: `tuner trials` lists those there are"
    if row.state != TrialState.FAILED:
        return f"trial {number} is {row.state}: only failed ones are tried again"
    if row.retry is not None:
        return f"trial {number} is tried again as trial {row.retry}: retry that one, if it fails, too"
    return f"trial {number} is named twice: once will do" if is_repeated else None


def _reopen(connection: Connection, study: Any) -> None:
    """A study that is closed or has ended goes on."""
    finals.cancel_open(connection, study.id)
    reached = study.is_past_target or target_reached(study, specs.of(study))
    lifecycle.reopen(connection, study.id, is_past_target=reached)


def _require_start(connection: Connection, study_id: int) -> None:
    """Refuses to reopen a study that would start nothing: it must not end again without a trial."""
    study = studies.get(connection, study_id)
    why = reason_to_end(study, specs.of(study))
    has_all = study.budget_trials is not None and study.n_created >= study.budget_trials
    if why is None and (has_waiting(study) or not has_all):
        return
    told = _CANNOT.get(why or StudyEnd.TRIALS, "it would end again at once")
    raise WrongStateError(
        f"study {study.name} cannot go on: "
        + told.format(budget_trials=study.budget_trials, budget_hours=study.budget_hours)
    )


def _locked(connection: Connection, study_id: int, move: Move) -> Any:
    """The study, locked, in a state that allows the move."""
    study = studies.lock(connection, study_id)
    specs.require(study)
    moved(study.name, study.state, move)
    return study
