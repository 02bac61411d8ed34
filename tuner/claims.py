"""Claiming: a free slot gets the next trial, with a lease, and the trial gets its parameters.

Owns two transactions: the claim (study locked, trial and attempt inserted, counted) and the ask (sampler, parameters
written in one statement). A process that dies between them leaves a waiting trial with a live attempt; the same request
asks again, or the lease expires.
"""

from __future__ import annotations

import json
import traceback
import uuid
from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import Connection, Engine

from tuner import specs
from tuner.domain import seeds
from tuner.domain.spec import StudySpec
from tuner.domain.states import AttemptState, TrialEnd, TrialState
from tuner.endings import cancel_live, settle
from tuner.sampling import ask
from tuner.store import attempts, studies, trials, workers
from tuner.store.database import transaction
from tuner.wire import ClaimedAttempt

log = structlog.get_logger()


def claim(
    engine: Engine,
    *,
    worker_id: str,
    request_id: str,
    slots: int,
    trainers: Sequence[str],
    study_id: int | None = None,
) -> list[ClaimedAttempt] | None:
    """Gives up to `slots` trials to a worker; the same request again gets the same trials as long as they are live.

    None says that this worker has left and should not wait for more.

    Args:
        worker_id: who asks.
        request_id: chosen by the asker, new for every new claim.
        slots: how many trials at most.
        trainers: those that the worker has, name@version.
        study_id: only this study: how a loop of the user's own claims.
    """
    with transaction(engine) as connection:
        if workers.has_left(connection, worker_id):
            return None
        held = attempts.of_request(connection, worker_id, request_id)
        if not held:
            held = _claim_new(connection, worker_id, request_id, slots, trainers, study_id)
    claimed = []
    for attempt_id in held:
        answer = _with_params(engine, attempt_id)
        if answer is not None:
            claimed.append(answer)
    return claimed


def _claim_new(
    connection: Connection,
    worker_id: str,
    request_id: str,
    slots: int,
    trainers: Sequence[str],
    study_id: int | None,
) -> list[uuid.UUID]:
    held: list[uuid.UUID] = []
    while len(held) < slots:
        candidate = studies.with_work(connection, trainers=trainers, study_id=study_id)
        if candidate is None:
            break
        study = studies.lock_with_work(connection, candidate)
        if study is not None:  # otherwise another took the last of it while we waited for the lock: choose again
            held.append(_hold(connection, study, worker_id, request_id))
    return held


def _hold(connection: Connection, study: studies.StudyRow, worker_id: str, request_id: str) -> uuid.UUID:
    """Takes a waiting trial, or makes the next one; the study is locked and has work."""
    spec = specs.of(study)
    finished = study.n_complete + study.n_pruned + study.n_failed + study.n_cancelled
    trial = trials.first_free(connection, study.id) if study.n_created > study.n_live + finished else None
    trial_id = trial.id if trial is not None else trials.create(connection, study.id, study.n_created)
    lease_s = spec.limits.lease_s
    attempt_id = attempts.create(
        connection, trial_id=trial_id, worker_id=worker_id, request_id=request_id, lease_s=lease_s, first=trial is None
    )
    studies.start_trial(connection, study, created=int(trial is None), hours=spec.budget.hours)
    return attempt_id


def _with_params(engine: Engine, attempt_id: uuid.UUID) -> ClaimedAttempt | None:
    """Samples the attempt's trial unless it has parameters; None if the attempt is live no more."""
    try:
        with transaction(engine) as connection:
            attempt = attempts.with_trial(connection, attempt_id)
            if attempt is None or attempt.state != AttemptState.RUNNING:
                return None
            study = studies.get(connection, attempt.study_id)
            params = json.loads(attempt.params)
            if attempt.trial_state == TrialState.WAITING:
                params = _resume(connection, attempt, params) if params else _sample(connection, study, attempt)
                if params is None:
                    return None
            return _answer(study, specs.of(study), attempt, params)
    except Exception:
        _fail_unsampled(engine, attempt_id, traceback.format_exc())
        return None


def _resume(connection: Connection, attempt: Any, params: dict[str, Any]) -> dict[str, Any] | None:
    """Goes on with the parameters of an earlier attempt; None if this one was lost meanwhile."""
    return params if trials.resume(connection, attempt.trial_id) else None


def _sample(connection: Connection, study: studies.StudyRow, attempt: Any) -> dict[str, Any] | None:
    """Asks the sampler and writes what it gives; None if the attempt was lost meanwhile, or no point is left."""
    asked = ask.ask(connection, study.id, attempt.trial_id)
    if asked.exhausted:
        studies.lock(connection, study.id)
    if asked.exhausted and not asked.params:
        cancel_live(connection, study.id, attempt)  # the search space has no point for it
    started = trials.set_sampled(
        connection,
        attempt.trial_id,
        params=asked.params,
        distributions=asked.distributions,
        system_attrs=asked.system_attrs,
    )
    if asked.exhausted:
        settle(connection, study.id, specs.of(study), exhausted=True)
    return asked.params if started else None


def _fail_unsampled(engine: Engine, attempt_id: uuid.UUID, error: str) -> None:
    """A sampler that raises fails the trial, where the user sees it; the study goes on."""
    log.error("the sampler failed", attempt=str(attempt_id), error=error)
    with transaction(engine) as connection:
        attempt = attempts.with_trial(connection, attempt_id)
        if attempt is None:
            return
        study = studies.lock(connection, attempt.study_id)
        if attempts.end(connection, attempt_id, AttemptState.FAILED, end_reason=TrialEnd.SAMPLER_ERROR, error=error):
            trials.finish(
                connection,
                study_id=study.id,
                trial_id=attempt.trial_id,
                state=TrialState.FAILED,
                was_live=True,
                end_reason=TrialEnd.SAMPLER_ERROR,
                error=error,
            )
            settle(connection, study.id, specs.of(study))


def _answer(study: studies.StudyRow, spec: StudySpec, attempt: Any, params: dict[str, Any]) -> ClaimedAttempt:
    facts = studies.facts(study)
    dataset = facts.get("dataset") or {}
    return ClaimedAttempt(
        attempt_id=attempt.id,
        study_id=study.id,
        study=study.name,
        trial=attempt.trial_number,
        params=params,
        fixed=spec.fixed,
        trainer=study.trainer,
        dataset=spec.dataset,
        dataset_digest=dataset.get("digest"),
        task=facts.get("task"),
        objectives=[{"metric": o.metric, "direction": str(o.direction)} for o in spec.objectives or []],
        validation=spec.evaluation.validation,
        test=spec.evaluation.test,
        folds=spec.evaluation.folds,
        repeats=spec.evaluation.repeats,
        split_seed=spec.evaluation.seed,
        seed=seeds.derive(spec.sampler.seed or 0, "training", attempt.trial_number),
        lease_s=attempt.lease_s,
        trial_minutes=spec.limits.trial_minutes,
        no_progress_minutes=spec.limits.no_progress_minutes,
    )
