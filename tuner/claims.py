"""Claiming: a free slot gets the next trial, with a lease, and the trial gets its parameters; or a study's final fit.

Owns two transactions: the claim (study locked, trial and attempt inserted, counted) and the ask (sampler, parameters
written in one statement). A process that dies between them leaves a waiting trial with a live attempt; the same request
asks again, or the lease expires. A sampler that looks at no other trial is asked within the claim, which then is all.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import Connection, Engine

from tuner import finals, specs
from tuner.claimed import Held, answer
from tuner.domain.space import exists
from tuner.domain.spec import StudySpec
from tuner.domain.states import ENDED, AttemptState, StudyState, TrialEnd, TrialState
from tuner.endings import cancel_live, fail_live, has_waiting, settle
from tuner.sampling import ask
from tuner.store import attempts, checkpoints, queue, studies, trials
from tuner.store import finals as final_rows
from tuner.store.database import TRANSIENT, again_if_cut, transaction
from tuner.tracebacks import told
from tuner.wire_attempts import PROTOCOL, ClaimedAttempt

log = structlog.get_logger()


@again_if_cut
def claim(
    engine: Engine,
    *,
    worker_id: str,
    request_id: str,
    slots: int,
    trainers: Sequence[str],
    study_id: int | None = None,
    protocol: int = PROTOCOL,
) -> list[ClaimedAttempt] | None:
    """Gives up to `slots` trials to a worker; the same request again gets the same trials as long as they are live.

    None says not to wait for more: this worker has left, or the study has ended.

    Raises:
        NotFoundError: there is no study of that number.

    Args:
        worker_id: who asks.
        request_id: chosen by the asker, new for every new claim.
        slots: how many trials at most.
        trainers: those that the worker has, name@version.
        study_id: only this study: how a loop of the user's own claims.
        protocol: what the worker understands; it is given nothing that it would run otherwise than it is meant.
    """
    claimant = queue.Claimant(worker_id, request_id, list(trainers), study_id, protocol)
    held: list[Held] = []
    while len(held) < slots:
        with transaction(engine) as connection:
            study = queue.next_study(connection, claimant, is_another=bool(held))
            if study is not None:
                one = _hold(connection, study, claimant, is_another=bool(held), samples=True)
                if one is not None:  # otherwise the same request was given one while we waited for the lock
                    held.append(one)
                continue
            why = queue.why_none(connection, claimant)
            # a loop does not wait for a study that has ended, or is not there
            if study_id is not None and studies.get(connection, study_id).state in ENDED and not held:
                return None
            if why.has_left and not held:
                return None
            if why.held and not held:
                held = [_held_before(connection, attempt_id) for attempt_id in why.held]
                break
        if not why.has_work:
            break
    return [given for each in held if (given := _with_params(engine, each)) is not None]


def start_unsampled(
    engine: Engine, study_id: int, *, worker_id: str, request_id: str, trial_id: int | None = None
) -> Held | None:
    """Gives a script the next trial, to sample for itself; the same request again gets the same trial while it is live.

    None: there is none that may start now, or somebody else has the one that was asked for.

    Args:
        worker_id: who asks.
        request_id: chosen by the asker, new for every new claim.
        trial_id: this waiting trial and no other.

    Raises:
        NotFoundError: there is no such study.
    """
    claimant = queue.Claimant(worker_id, request_id, [], study_id, PROTOCOL)
    with transaction(engine) as connection:
        study = queue.next_study(connection, claimant, is_another=False)
        held = None
        if study is not None and (trial_id is None or _is_free(connection, study_id, trial_id)):
            held = _hold(connection, study, claimant, is_another=False, trial_id=trial_id)
        if held is None:
            before = queue.why_none(connection, claimant).held
            held = _held_before(connection, before[0]) if before else None
        if held is not None and not held.is_running:
            _start_as_it_is(connection, held)
    return held


def _is_free(connection: Connection, study_id: int, trial_id: int) -> bool:
    return any(trial.id == trial_id for trial in trials.free(connection, study_id))


def _start_as_it_is(connection: Connection, held: Held) -> None:
    """Starts a trial with what parameters and attributes it has."""
    row = trials.by_id(connection, held.trial_id)
    trials.set_sampled(
        connection,
        held.attempt_id,
        params=json.loads(row.params),
        distributions=json.loads(row.distributions),
        system_attrs=json.loads(row.system_attrs),
    )


def _held_before(connection: Connection, attempt_id: uuid.UUID) -> Held:
    attempt = attempts.with_trial(connection, attempt_id)
    if attempt is None:
        return _held_final(connection, attempt_id)
    return Held(
        attempt_id=attempt_id,
        trial_id=attempt.trial_id,
        trial_number=attempt.trial_number,
        study=studies.get(connection, attempt.study_id),
        params=json.loads(attempt.params),
        is_running=attempt.trial_state == TrialState.RUNNING,
        halvings=_halvings(connection, attempt.trial_id, attempt.n_attempts),
    )


def _held_final(connection: Connection, attempt_id: uuid.UUID) -> Held:
    final = final_rows.of_attempt(connection, attempt_id)
    assert final is not None
    return Held(
        attempt_id=attempt_id,
        trial_id=final.trial_id,
        trial_number=final.trial_number,
        study=studies.get(connection, final.study_id),
        params=finals.params(final),
        is_running=True,
        halvings=final_rows.count_ended(connection, final.id, TrialEnd.OUT_OF_MEMORY) if final.n_attempts else 0,
        is_final=True,
        threshold=json.loads(final.trial_metrics or "{}").get("val/threshold"),
    )


def _halvings(connection: Connection, trial_id: int, used_attempts: int) -> int:
    return attempts.count_ended(connection, trial_id, TrialEnd.OUT_OF_MEMORY) if used_attempts else 0


def _hold(
    connection: Connection,
    study: Any,
    claimant: queue.Claimant,
    *,
    is_another: bool,
    samples: bool = False,
    trial_id: int | None = None,
) -> Held | None:
    """Takes a waiting trial (this one, where one is named), or makes the next one, or takes the final fit.

    The study is locked and has work.
    """
    spec = specs.of(study)
    waiting: trials.TrialRow | None = None
    if trial_id is not None:
        waiting = trials.by_id(connection, trial_id)
    elif has_waiting(study):
        waiting = trials.first_free(connection, study.id)
    terms = queue.Terms(
        claimant.worker_id, claimant.request_id, spec.limits.lease_s, study.budget_hours, is_another=is_another
    )
    if study.state == StudyState.FINALIZING:
        attempt_id = queue.hold_final(connection, study, terms)
        return None if attempt_id is None else _held_final(connection, attempt_id)
    if waiting is None:
        sampled = _at_once(connection, study) if samples else None
        made = queue.hold_next(connection, study, terms, sampled)
        params = {} if sampled is None else dict(sampled.params)
        return None if made is None else Held(*made, study.n_created, study, params, is_running=sampled is not None)
    attempt_id = queue.hold_waiting(connection, study, waiting.id, terms)
    if attempt_id is None:
        return None
    params, halvings = json.loads(waiting.params), _halvings(connection, waiting.id, waiting.n_attempts)
    return Held(attempt_id, waiting.id, waiting.number, study, params, is_running=False, halvings=halvings)


def _at_once(connection: Connection, study: Any) -> queue.Sampled | None:
    """What the next trial starts with, where its sampler is quick; one that raises is asked again, where that fails it."""
    try:
        asked = ask.at_once(connection, study.id, study.n_created)
    except TRANSIENT:
        raise
    except Exception:
        log.exception("the sampler failed within the claim", study=study.id, trial=study.n_created)
        return None
    return None if asked is None else queue.Sampled(asked.params, asked.distributions, asked.system_attrs)


def _with_params(engine: Engine, held: Held) -> ClaimedAttempt | None:
    """Starts the trial, with sampled parameters unless it has some; None if the attempt is live no more.

    A database that does not answer fails no trial: the same request asks again.
    """
    saved: list[checkpoints.CheckpointRow] = []
    if held.is_final:
        return answer(held, specs.of(held.study), held.params, saved)
    try:
        with transaction(engine) as connection:
            if held.is_running:
                params: dict[str, Any] | None = held.params
                saved = checkpoints.of_trial(connection, held.trial_id)
            elif _is_whole(specs.of(held.study), held.params):
                params = held.params if trials.resume(connection, held.attempt_id) else None
                saved = checkpoints.of_trial(connection, held.trial_id)
            else:
                params = _sample(connection, held)
    except TRANSIENT:
        raise
    except Exception as error:
        _fail_unsampled(engine, held.attempt_id, told(error))
        return None
    if params is not None:
        return answer(held, specs.of(held.study), params, saved)
    return _started_elsewhere(engine, held.attempt_id)


def _is_whole(spec: StudySpec, params: dict[str, Any]) -> bool:
    """Whether a trial has its parameters: a script may have been lost between the first and the last of them."""
    space = spec.search_space or {}
    return bool(params) and all(name in params or not exists(space[name], params) for name in space)


def _started_elsewhere(engine: Engine, attempt_id: uuid.UUID) -> ClaimedAttempt | None:
    """The answer where the same request, sent twice, has started the trial already; None if the attempt is over."""
    with transaction(engine) as connection:
        attempt = attempts.with_trial(connection, attempt_id)
        if attempt is None or attempt.state != AttemptState.RUNNING or attempt.trial_state != TrialState.RUNNING:
            return None
        held = _held_before(connection, attempt_id)
        saved = checkpoints.of_trial(connection, held.trial_id)
    return answer(held, specs.of(held.study), held.params, saved)


def _sample(connection: Connection, held: Held) -> dict[str, Any] | None:
    """Asks the sampler and writes what it gives; None if the attempt was lost meanwhile, or no point is left."""
    study_id = held.study.id
    asked = ask.ask(connection, study_id, held.trial_id)
    if asked.exhausted:
        _close_numbers(connection, held)
    if not asked.params:
        _give_up(connection, held)
        return None
    started = trials.set_sampled(
        connection,
        held.attempt_id,
        params=asked.params,
        distributions=asked.distributions,
        system_attrs=asked.system_attrs,
    )
    return asked.params if started else None


def _close_numbers(connection: Connection, held: Held) -> None:
    """No further trial is made: the last point of the search space is out.

    The study goes on until every point has its result, also those that are lost and tried again.
    """
    study = studies.lock(connection, held.study.id)
    studies.change(connection, study.id, budget_trials=study.n_created, is_exhausted=True)


def _give_up(connection: Connection, held: Held) -> None:
    """Ends a trial for which the search space has no point; the study is locked."""
    cancel_live(connection, held.study.id, held.attempt_id, held.trial_id)
    study = studies.get(connection, held.study.id)
    if study.n_live == 0 and not has_waiting(study):
        settle(connection, study, specs.of(study), exhausted=True)


def _fail_unsampled(engine: Engine, attempt_id: uuid.UUID, error: str) -> None:
    """A sampler that raises fails the trial, where the user sees it; the study goes on."""
    log.error("the sampler failed", attempt=str(attempt_id), error=error)
    with transaction(engine) as connection:
        study = attempts.lock_study(connection, attempt_id)
        reason = TrialEnd.SAMPLER_ERROR
        if study is not None and attempts.end(
            connection, attempt_id, AttemptState.FAILED, end_reason=reason, error=error
        ):
            fail_live(connection, study, reason, error)
