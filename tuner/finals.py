"""A study's final fit: queued when the search is over, run by a worker under a lease, its end the study's.

Owns its life in our tables. It is no trial: no sampler sees it, no budget counts it, and its attempts hold no trial. What an
attempt may do is as for trials (`tuner.attempts`, which asks here about attempts that are of none). The study's row is
locked before anything changes.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import uuid
from typing import Any

import structlog
from sqlalchemy import Connection

from tuner import specs
from tuner.domain import ends
from tuner.domain.ends import EndDetail
from tuner.domain.errors import FieldError, InvalidError, StaleAttemptError, WrongStateError
from tuner.domain.spec import StudySpec
from tuner.domain.states import POLICIES, AttemptState, FinalState, StudyState, TrialEnd, is_retried
from tuner.sampling import pareto
from tuner.store import attempts, finals, logs, notify, studies, trials
from tuner.wire_attempts import CompleteBody, Decision, LogBody, TrialEnded

TEST = "test/"  # what the names of its metrics begin with
BASELINE = "baseline/"

log = structlog.get_logger()


# ---- queued ----------------------------------------------------------------------------------------------------------


def begin(connection: Connection, study: Any, spec: StudySpec) -> bool:
    """Queues the final fit of a study whose search is over, once; False: there is none to make, or it was made already."""
    if finals.open_of(connection, study.id) is not None:
        return True
    trial = best_trial(connection, study, spec)
    if trial is None or is_made(connection, study.id, trial.id):
        return False
    finals.create(connection, study.id, trial.id, _epochs(connection, study, spec, trial))
    notify.with_commit(connection)
    return True


def best_trial(connection: Connection, study: Any, spec: StudySpec) -> Any | None:
    """The best complete trial that keeps the constraints; of a Pareto front, the best by the first objective."""
    if len(spec.objectives or []) == 1:
        return None if study.best_number is None else trials.get(connection, study.id, study.best_number)
    front = trials.numbered(connection, study.id, pareto.pareto(connection, study.id))
    sign = 1 if study.directions[0] == "maximize" else -1
    return max(front, key=lambda trial: sign * trial.objective_values[0], default=None)


def is_made(connection: Connection, study_id: int, trial_id: int) -> bool:
    """Whether the newest final fit is of this trial, and has its result."""
    last = finals.last(connection, study_id)
    return last is not None and last.trial_id == trial_id and last.state == FinalState.COMPLETE


def _epochs(connection: Connection, study: Any, spec: StudySpec, trial: Any) -> int | None:
    """The best number of epochs: of several folds the median; None for a trainer that has no such hyperparameter."""
    if "epochs" not in studies.facts(study)["defaults"]:
        return None
    steps = finals.best_steps(connection, trial.id, study.directions[0]) if spec.evaluation.rounds > 1 else []
    return int(statistics.median(steps) + 0.5) if steps else trial.best_step


def cancel_open(connection: Connection, study_id: int) -> bool:
    """Ends the final fit that waits or runs; whoever runs it learns it with the next heartbeat. False: there is none."""
    final = finals.open_of(connection, study_id)
    if final is None:
        return False
    if final.attempt_id is not None:
        attempts.end(connection, final.attempt_id, AttemptState.RELEASED, end_reason=TrialEnd.CANCELLED)
    finals.finish(connection, final.id, FinalState.CANCELLED)
    return True


def require_possible(connection: Connection, study: Any, spec: StudySpec) -> None:
    """Refuses a final fit where there is nothing to fit, or nothing to score it on.

    Raises:
        WrongStateError: the text says which.
    """
    if spec.is_external:
        raise WrongStateError(f"study {study.name} is run by a loop of your own: fit its best parameters there")
    facts = studies.facts(study)
    if facts["split"]["test"] == 0:
        raise WrongStateError(f"study {study.name} has no test part to score a final model on: submit one that has")
    if best_trial(connection, study, spec) is None:
        raise WrongStateError(f"study {study.name} has no complete trial that keeps its constraints: extend it")


# ---- run -------------------------------------------------------------------------------------------------------------


def params(final: Any) -> dict[str, Any]:
    """The trial's, with the number of epochs to train."""
    sampled: dict[str, Any] = json.loads(final.params)
    return sampled if final.epochs is None else {**sampled, "epochs": final.epochs}


def report(connection: Connection, attempt_id: uuid.UUID, printed: LogBody | None) -> Decision:
    """Renews the lease and stores what was printed. Reports are not kept: they measure rows that were learnt.

    Raises:
        StaleAttemptError: the attempt is live no more.
    """
    renewed = finals.renew(connection, attempt_id)
    if renewed is None:
        raise StaleAttemptError.of(attempt_id)
    stored = None if printed is None else logs.add(connection, attempt_id, printed.position, printed.text)
    return Decision(decision="continue", lease_s=renewed.lease_s, log_bytes=stored)


def complete(connection: Connection, attempt_id: uuid.UUID, body: CompleteBody) -> TrialEnded:
    """Accepts the result, which ends the study; the same result again is answered alike.

    Raises:
        InvalidError: it has no metrics of the test part.
        StaleAttemptError: the attempt is live no more and this is not its accepted result.
    """
    study, final = _locked(connection, attempt_id)
    digest = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    ended = attempts.end(
        connection, attempt_id, AttemptState.SUCCEEDED, end_reason=TrialEnd.COMPLETE, result_digest=digest
    )
    if not ended:
        if final.result_digest != digest:
            raise StaleAttemptError.of(attempt_id)
        return _ended(study, final, FinalState.COMPLETE)
    if body.state != "complete" or not any(name.startswith(TEST) for name in body.metrics):
        detail = "a final fit is scored on the test part: report test/… with its result, or update the worker"
        raise InvalidError([FieldError("/metrics", detail)])  # undoes the attempt's end
    finals.finish(connection, final.id, FinalState.COMPLETE, metrics=body.metrics)
    studies.end(connection, study.id, StudyState.COMPLETED)
    return _ended(study, final, FinalState.COMPLETE)


def end_without_result(
    connection: Connection,
    attempt_id: uuid.UUID,
    state: AttemptState,
    reason: TrialEnd,
    error: str,
    detail: EndDetail,
) -> TrialEnded:
    """Ends a live attempt; the fit is tried again as a trial would be, and otherwise has failed, and the study ends.

    Raises:
        StaleAttemptError: the attempt is live no more, and did not end so.
    """
    study, final = _locked(connection, attempt_id)
    spec = specs.of(study)
    detail = ends.with_limit(detail, reason, spec.limits)
    if not attempts.end(connection, attempt_id, state, end_reason=reason, end_detail=ends.stored(detail), error=error):
        if (final.attempt_state, final.end_reason, final.attempt_error) != (state, reason, error):
            raise StaleAttemptError.of(attempt_id)
        return _ended(study, final, FinalState(final.state))
    uses_attempt = POLICIES[reason].uses_attempt
    if not uses_attempt or _is_retried(connection, final, spec, reason, detail):
        finals.wait_again(connection, final.id, used_attempt=uses_attempt)
        notify.with_commit(connection)
        return _ended(study, final, FinalState.WAITING)
    finals.finish(connection, final.id, FinalState.FAILED, error=_told(reason, detail, error))
    studies.end(connection, study.id, StudyState.COMPLETED)
    return _ended(study, final, FinalState.FAILED)


def expire(connection: Connection, attempt_id: uuid.UUID) -> bool:
    """Ends an attempt as lost if its lease has run out; False if it was renewed or ended meanwhile, or is of no final fit."""
    study = finals.lock_study(connection, attempt_id)
    silent = None if study is None else attempts.lock_expired(connection, attempt_id)
    if study is None or silent is None:
        return False
    error = f"worker {silent.worker} was not heard of for {study.lease_s:g} s"
    detail = EndDetail(worker=silent.worker, last_heartbeat=silent.last_heartbeat)
    end_without_result(connection, attempt_id, AttemptState.LOST, TrialEnd.LOST, error, detail)
    log.warning("lease of a final fit expired", attempt=str(attempt_id), study=study.id, worker=study.worker_id)
    return True


def _told(reason: TrialEnd, detail: EndDetail, error: str) -> str:
    """Why it failed: a line for people, then the traceback where there is one."""
    line = ends.line(reason, detail, error)
    return f"{line}\n{error}" if "\n" in error.strip() else line


def _is_retried(connection: Connection, final: Any, spec: StudySpec, reason: TrialEnd, detail: EndDetail) -> bool:
    by_kernel = detail.memory is not None and detail.memory.killed
    return is_retried(
        reason,
        used=final.n_attempts + 1,
        max_attempts=spec.limits.max_attempts,
        alike=finals.count_ended(connection, final.id, reason) if by_kernel else 1,
        by_kernel=by_kernel,
    )


def _locked(connection: Connection, attempt_id: uuid.UUID) -> tuple[Any, Any]:
    """The attempt's study, locked, and its final fit as it is now."""
    study = finals.lock_study(connection, attempt_id)
    if study is None:
        raise StaleAttemptError.of(attempt_id)
    final = finals.of_attempt(connection, attempt_id)
    assert final is not None
    return study, final


def _ended(study: Any, final: Any, state: FinalState) -> TrialEnded:
    return TrialEnded(study_id=study.id, trial=final.trial_number, state=state)
