"""What a running attempt does: reports, completes, fails, is released; and what happens when its lease expires.

Attempts that are of a study's final fit, and hold no trial, are passed on to `tuner.finals`.

Owns the fence: every write names the attempt and counts only while that attempt is live; what ended it may be said again.
The study's row is locked before an attempt ends, always in the order study, attempt, trial.
"""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, func

from tuner import finals, specs
from tuner.domain import ends
from tuner.domain.ends import EndDetail
from tuner.domain.errors import FieldError, InvalidError, StaleAttemptError
from tuner.domain.redact import redacted
from tuner.domain.spec import StudySpec, metric_key
from tuner.domain.states import POLICIES, AttemptState, StudyState, TrialEnd, TrialState, is_retried
from tuner.endings import fail_live, is_better, settle
from tuner.sampling import after, prune
from tuner.store import attempts, logs, notify, studies, trials
from tuner.store.database import again_if_cut, transaction
from tuner.wire_attempts import CompleteBody, Decision, FailBody, LogBody, ReportBody, TrialEnded

NO_DETAIL = EndDetail()

log = structlog.get_logger()


# ---- report ----------------------------------------------------------------------------------------------------------


@again_if_cut
def report(
    engine: Engine, attempt_id: uuid.UUID, sent: Sequence[ReportBody], printed: LogBody | None = None
) -> Decision:
    """Stores reports and log, renews the lease, and says whether to go on; with neither it is a heartbeat.

    In a paused study the word is `pause`: the attempt lives on until its worker gives it back.

    Raises:
        StaleAttemptError: the attempt is live no more; nothing is stored.
    """
    with transaction(engine) as connection:
        attempt = attempts.renew(connection, attempt_id)
        if attempt is None:
            return finals.report(connection, attempt_id, printed)
        stored = None if printed is None else logs.add(connection, attempt_id, printed.position, printed.text)
        is_paused = attempt.study_state == StudyState.PAUSED
        go_on = Decision(decision="pause" if is_paused else "continue", lease_s=attempt.lease_s, log_bytes=stored)
        if not sent:
            return go_on
        spec = specs.of(studies.get(connection, attempt.study_id))
        rows = [_row(spec, attempt_id, attempt.trial_id, each) for each in sent]
        attempts.add_reports(connection, rows)
    if is_paused or spec.pruner.name == "none" or not any(row["pruner_step"] is not None for row in rows):
        return go_on
    return go_on.model_copy(update={"decision": "prune"}) if _is_pruned(engine, attempt_id, attempt) else go_on


def _is_pruned(engine: Engine, attempt_id: uuid.UUID, attempt: Any) -> bool:
    """The pruner's word; the reports are stored already, so a pruner that fails prunes nothing and refuses nothing."""
    try:
        with transaction(engine) as connection:
            why = prune.decide(connection, attempt.study_id, attempt.trial_id)
            if why is not None:
                attempts.foretell_end(connection, attempt_id, why.model_dump_json())
            return why is not None
    except Exception:
        log.exception("the pruner failed", study=attempt.study_id, trial_id=attempt.trial_id)
        return False


def _row(spec: StudySpec, attempt_id: uuid.UUID, trial_id: int, sent: ReportBody) -> dict[str, Any]:
    value = sent.metrics.get(_objective_key(spec))
    return {
        "trial_id": trial_id,
        "fold": sent.fold,
        "step": sent.step,
        "attempt_id": attempt_id,
        "pruner_step": None if value is None else _pruner_step(spec, sent),
        "value": value,
        "metrics": json.dumps(sent.metrics),
        "reported_at": func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, sent.age_s),
    }


def own_report(spec: StudySpec, attempt_id: uuid.UUID, trial_id: int, step: int, value: float) -> dict[str, Any]:
    """The row of a report by an Optuna script, which gives the first objective alone, and may give NaN."""
    metrics = {_objective_key(spec): value} if math.isfinite(value) else {}
    return {
        "trial_id": trial_id,
        "fold": 0,
        "step": step,
        "attempt_id": attempt_id,
        "pruner_step": step,
        "value": value,
        "metrics": json.dumps(metrics),
        "reported_at": func.clock_timestamp(),
    }


def _pruner_step(spec: StudySpec, sent: ReportBody) -> int | None:
    """Optuna's step: the epoch, or with several folds the number of folds finished."""
    if spec.is_external or spec.evaluation.rounds == 1:
        return sent.step
    return sent.fold + 1 if sent.step == 0 else None


def _objective_key(spec: StudySpec, index: int = 0) -> str:
    assert spec.objectives is not None
    return metric_key(spec.objectives[index].metric, external=spec.is_external)


# ---- complete --------------------------------------------------------------------------------------------------------


@again_if_cut
def complete(engine: Engine, attempt_id: uuid.UUID, body: CompleteBody) -> TrialEnded:
    """Accepts a trial's result; the same result from the same attempt again is answered alike.

    Raises:
        InvalidError: an objective's metric is missing.
        StaleAttemptError: the attempt is live no more and this is not its accepted result.
    """
    digest = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    with transaction(engine) as connection:
        study = attempts.lock_study(connection, attempt_id)
        if study is None:
            return finals.complete(connection, attempt_id, body)
        spec = specs.of(study)
        state = TrialState(body.state)
        detail = ends.stored(_of_result(connection, study, spec, body))
        ended = attempts.end(
            connection,
            attempt_id,
            AttemptState.SUCCEEDED,
            end_reason=TrialEnd(body.state),
            end_detail=detail,
            result_digest=digest,
        )
        if not ended:
            return _repeated(connection, attempt_id, digest)
        values = _values(spec, body) if state is TrialState.COMPLETE else None  # a bad body undoes the end
        exhausted = after.after_trial(connection, study.id, study.trial_id, state, values, body.metrics)
        counted = trials.finish(
            connection,
            study_id=study.id,
            trial_id=study.trial_id,
            state=state,
            was_live=True,
            end_reason=TrialEnd(body.state),
            end_detail=detail,
            objective_values=values,
            metrics=body.metrics,
            best_step=body.best_step,
            is_best=_is_best(study, spec, values, body.metrics),
        )
        settle(connection, counted, spec, exhausted=exhausted)
    return TrialEnded(study_id=study.id, trial=study.trial_number, state=state)


def _of_result(connection: Connection, study: Any, spec: StudySpec, body: CompleteBody) -> EndDetail:
    """The facts of an end with a result; a loop that prunes by a rule of its own tells its last step."""
    if body.state == "complete":
        return EndDetail(memory=body.memory)
    if study.end_detail is not None:
        return ends.read(study.end_detail).model_copy(update={"memory": body.memory})
    last = attempts.last_report(connection, study.trial_id)
    seen = {} if last is None else {"step": last.pruner_step, "value": last.value, "metric": _objective_key(spec)}
    return EndDetail(**seen, rule="its own loop ended it", memory=body.memory)


def _is_best(study: Any, spec: StudySpec, values: list[float] | None, metrics: Mapping[str, float]) -> bool:
    """Whether the result beats the study's best, of which there is one for one objective; the study is locked."""
    if values is None or len(values) != 1 or not after.is_feasible(spec, metrics):
        return False
    assert spec.objectives is not None
    return is_better(values[0], study.best_value, spec.objectives[0].direction)


def _values(spec: StudySpec, body: CompleteBody) -> list[float]:
    needed = [_objective_key(spec, i) for i in range(len(spec.objectives or []))]
    needed_too = [metric_key(constraint.metric, external=spec.is_external) for constraint in spec.constraints]
    missing = [name for name in (*needed, *needed_too) if name not in body.metrics]
    if missing:
        detail = f"the study judges trials by {', '.join(missing)}: report it with the result"
        raise InvalidError([FieldError("/metrics", detail)])
    return [body.metrics[name] for name in needed]


def _repeated(connection: Connection, attempt_id: uuid.UUID, digest: str) -> TrialEnded:
    attempt = attempts.with_trial(connection, attempt_id)
    if attempt is None or attempt.result_digest != digest:
        raise StaleAttemptError.of(attempt_id)
    return TrialEnded(study_id=attempt.study_id, trial=attempt.trial_number, state=attempt.trial_state)


# ---- fail, release, expire -------------------------------------------------------------------------------------------


@again_if_cut
def fail(engine: Engine, attempt_id: uuid.UUID, body: FailBody) -> TrialEnded:
    """Ends an attempt that failed: its trial is tried again where the kind of failure allows, and fails otherwise.

    The same failure of the same attempt again is answered alike.

    Raises:
        StaleAttemptError: the attempt is live no more, and did not end so.
    """
    where = f"step {body.step}, {body.metric}: " if body.reason == "non-finite" else ""
    error = redacted(f"{where}{body.error}").replace("\0", "")
    detail = EndDetail(step=body.step, metric=body.metric, memory=body.memory)
    return _end_without_result(engine, attempt_id, AttemptState.FAILED, TrialEnd(body.reason), error, detail)


@again_if_cut
def release(engine: Engine, attempt_id: uuid.UUID) -> TrialEnded:
    """Gives a trial back unfinished, without using up an attempt: the worker is going away, or the study is paused.

    Again it is answered alike.

    Raises:
        StaleAttemptError: the attempt is live no more, and was not given back.
    """
    return _end_without_result(engine, attempt_id, AttemptState.RELEASED, TrialEnd.RELEASED, "the worker gave it back")


def expire(engine: Engine, attempt_id: uuid.UUID) -> bool:
    """Ends an attempt as lost if its lease has run out; False if it was renewed or ended meanwhile."""
    with transaction(engine) as connection:
        study = attempts.lock_study(connection, attempt_id)
        if study is None:
            return finals.expire(connection, attempt_id)
        silent = attempts.lock_expired(connection, attempt_id)
        if silent is None:
            return False
        error = f"worker {silent.worker} was not heard of for {study.lease_s:g} s"
        detail = EndDetail(worker=silent.worker, last_heartbeat=silent.last_heartbeat)
        _end(connection, study, AttemptState.LOST, TrialEnd.LOST, error, detail)
    notify.work(engine)
    log.warning(
        "lease expired", attempt=str(attempt_id), study=study.id, trial=study.trial_number, worker=study.worker_id
    )
    return True


def _end_without_result(
    engine: Engine,
    attempt_id: uuid.UUID,
    state: AttemptState,
    reason: TrialEnd,
    error: str,
    detail: EndDetail = NO_DETAIL,
) -> TrialEnded:
    with transaction(engine) as connection:
        study = attempts.lock_study(connection, attempt_id)
        if study is None:
            return finals.end_without_result(connection, attempt_id, state, reason, error, detail)
        trial_state = _end(connection, study, state, reason, error, detail)
    if trial_state is TrialState.WAITING:
        notify.work(engine)
    return TrialEnded(study_id=study.id, trial=study.trial_number, state=trial_state)


def _end(
    connection: Connection, study: Any, state: AttemptState, reason: TrialEnd, error: str, detail: EndDetail
) -> TrialState:
    """Ends a live attempt and decides what becomes of its trial; `study` is what `attempts.lock_study` gave."""
    spec = specs.of(study)
    detail = ends.with_limit(detail, reason, spec.limits)
    facts = ends.stored(detail)
    if not attempts.end(connection, study.attempt_id, state, end_reason=reason, end_detail=facts, error=error):
        return _ended_alike(connection, study.attempt_id, state, reason, error)
    # a lost ask used up nothing: nobody has trained; the attempt is locked, so the trial cannot be started any more
    is_free = not POLICIES[reason].uses_attempt or (
        reason is TrialEnd.LOST and trials.by_id(connection, study.trial_id).state == TrialState.WAITING
    )
    if is_free or _is_retried(connection, study, spec, reason, detail):
        trials.wait_again(connection, study.id, study.trial_id, used_attempt=not is_free)
        settle(connection, studies.get(connection, study.id), spec)
        return TrialState(trials.by_id(connection, study.trial_id).state)  # cancelled, if the study is closing
    fail_live(connection, study, reason, error, facts)
    return TrialState.FAILED


def _ended_alike(
    connection: Connection, attempt_id: uuid.UUID, state: AttemptState, reason: TrialEnd, error: str
) -> TrialState:
    """What has become of the trial of an attempt that had ended just so: its worker lost the answer and asks again."""
    attempt = attempts.with_trial(connection, attempt_id)
    if attempt is None or (attempt.state, attempt.end_reason, attempt.error) != (state, reason, error):
        raise StaleAttemptError.of(attempt_id)
    return TrialState(attempt.trial_state)


def _is_retried(connection: Connection, study: Any, spec: StudySpec, reason: TrialEnd, detail: EndDetail) -> bool:
    by_kernel = detail.memory is not None and detail.memory.killed
    return is_retried(
        reason,
        used=study.n_attempts + 1,
        max_attempts=spec.limits.max_attempts,
        alike=attempts.count_ended(connection, study.trial_id, reason) if by_kernel else 1,
        by_kernel=by_kernel,
    )
