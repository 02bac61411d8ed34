"""When a study ends and why: the budgets, applied with the study's row locked.

Owns `settle`, called by every transaction that ends an attempt or changes a budget.
"""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Connection

from tuner import finals, specs
from tuner.domain.spec import StudySpec
from tuner.domain.states import ENDED, AttemptState, StudyEnd, StudyState, TrialEnd, TrialState, final_state
from tuner.sampling import after
from tuner.store import attempts, studies, trials


def settle(connection: Connection, study: Any, spec: StudySpec, *, exhausted: bool = False) -> None:
    """Closes the study if a budget is spent, and ends it, or has its final model made, once nothing runs any more.

    Args:
        connection: of a transaction that has locked the study.
        study: its row as it is now.
        spec: its spec.
        exhausted: whether every point of the search space was tried; a trial that waits or runs may try one again.
    """
    if study.state in ENDED:
        return
    exhausted = exhausted and study.n_live == 0 and not has_waiting(study)
    why = (
        StudyEnd(study.end_reason) if study.end_reason is not None else reason_to_end(study, spec, exhausted=exhausted)
    )
    if why is None:
        return
    if study.end_reason is None:
        studies.close(connection, study.id, why)
    if has_waiting(study):
        cancel_waiting(connection, study.id)
    if study.n_live == 0:
        _end(connection, study, spec, final_state(why))


def _end(connection: Connection, study: Any, spec: StudySpec, state: StudyState) -> None:
    """Ends a study in which no trial runs, or leaves that to its final fit."""
    if state is StudyState.COMPLETED and spec.finalize and finals.begin(connection, study, spec):
        return
    studies.end(connection, study.id, state)


def has_waiting(study: Any) -> bool:
    """Whether the study has trials that no attempt holds."""
    return bool(study.n_created > study.n_live + n_finished(study))


def n_finished(study: Any) -> int:
    return int(study.n_complete + study.n_pruned + study.n_failed + study.n_cancelled)


def cancel_waiting(connection: Connection, study_id: int) -> None:
    """Cancels the trials that no attempt holds: nothing new starts in a study that is closed."""
    for trial in trials.free(connection, study_id):
        trials.finish(
            connection,
            study_id=study_id,
            trial_id=trial.id,
            state=TrialState.CANCELLED,
            was_live=False,
            end_reason=TrialEnd.CANCELLED,
        )


def cancel_live(connection: Connection, study_id: int, attempt_id: uuid.UUID, trial_id: int) -> None:
    """Ends a running attempt and its trial, which will not be run again; the study's row is locked by us."""
    if attempts.end(connection, attempt_id, AttemptState.RELEASED, end_reason=TrialEnd.CANCELLED):
        trials.finish(
            connection,
            study_id=study_id,
            trial_id=trial_id,
            state=TrialState.CANCELLED,
            was_live=True,
            end_reason=TrialEnd.CANCELLED,
        )


def fail_live(connection: Connection, study: Any, reason: TrialEnd, error: str, end_detail: str | None = None) -> None:
    """Fails the trial of an attempt that has just ended, for good.

    Args:
        connection: of a transaction that has locked the study.
        study: its row with that of the attempt, as `attempts.lock_study` gave them.
        reason: why.
        error: what its user should see.
        end_detail: the facts, as stored.
    """
    exhausted = after.after_trial(connection, study.id, study.trial_id, TrialState.FAILED, None, {})
    counted = trials.finish(
        connection,
        study_id=study.id,
        trial_id=study.trial_id,
        state=TrialState.FAILED,
        was_live=True,
        end_reason=reason,
        error=error,
        end_detail=end_detail,
    )
    settle(connection, counted, specs.of(study), exhausted=exhausted)


def reason_to_end(study: Any, spec: StudySpec, *, exhausted: bool = False) -> StudyEnd | None:
    """Why nothing new should start in a study any more; None: it goes on."""
    budget = spec.budget
    if budget.max_failures is not None and study.n_failed - study.n_forgiven >= budget.max_failures:
        return StudyEnd.MAX_FAILURES
    if target_reached(study, spec):
        return StudyEnd.TARGET
    if exhausted:
        return StudyEnd.EXHAUSTED
    if study.budget_trials is not None and n_finished(study) >= study.budget_trials:
        return StudyEnd.TRIALS
    if _no_improvement(study, budget.no_improvement):
        return StudyEnd.NO_IMPROVEMENT
    return StudyEnd.HOURS if study.is_past_deadline else None


def _no_improvement(study: Any, patience: int | None) -> bool:
    """Whether so many trials have ended since the one that is best, or since the study was made to go on."""
    if patience is None or study.best_finish_seq is None:
        return False
    return bool(study.finish_seq - max(study.best_finish_seq, study.patience_from) >= patience)


def target_reached(study: Any, spec: StudySpec) -> bool:
    """Whether the best trial is as good as asked for, in a study that was not made to go on beyond that."""
    target = spec.budget.target
    if target is None or study.is_past_target or study.best_value is None or not spec.objectives:
        return False
    if spec.objectives[0].direction == "maximize":
        return bool(study.best_value >= target)
    return bool(study.best_value <= target)


def is_better(value: float, than: float | None, direction: str | None) -> bool:
    """Whether a value beats the best so far; equal does not, so the first of equals stays best."""
    if than is None:
        return True
    return value > than if direction == "maximize" else value < than
