"""SQL of pausing, resuming and extending studies, and of trying failed trials again; the caller holds the study's lock.

Owns how time stands still: while a study is paused or has ended, its deadline moves on with the clock.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, case, func, insert, select

from tuner.domain.states import StudyState, TrialState
from tuner.store.studies import change, stood_still
from tuner.store.tables import studies, trials

KEPT = ("fixed_params", "grid_id")  # attributes that say which point a trial is; the others are of its sampling


def pause(connection: Connection, study_id: int) -> None:
    change(connection, study_id, state=StudyState.PAUSED, paused_at=func.now())


def resume(connection: Connection, study_id: int, state: StudyState) -> None:
    change(connection, study_id, state=state, paused_at=None, **stood_still(func.now() - studies.c.paused_at))


def reopen(connection: Connection, study_id: int, *, is_past_target: bool) -> None:
    """A study that is closed or has ended goes on; what had ended it counts anew. MLflow is to learn of it."""
    change(
        connection,
        study_id,
        state=StudyState.RUNNING,
        end_reason=None,
        ended_at=None,
        published_at=func.coalesce(studies.c.published_at, func.now()),
        n_forgiven=studies.c.n_failed,
        patience_from=studies.c.finish_seq,
        is_past_target=is_past_target,
        **stood_still(func.now() - func.coalesce(studies.c.ended_at, func.now())),
    )


def finalize(connection: Connection, study_id: int) -> None:
    """A completed study waits for its final fit. MLflow is to learn of it."""
    change(
        connection,
        study_id,
        state=StudyState.FINALIZING,
        ended_at=None,
        published_at=func.coalesce(studies.c.published_at, func.now()),
        **stood_still(func.now() - studies.c.ended_at),
    )


def add_budget(connection: Connection, study_id: int, *, n_trials: int, hours: float) -> None:
    """More trials and hours; the hours begin now where they were used up."""
    here = func.coalesce(studies.c.paused_at, func.now())
    longer = func.greatest(studies.c.deadline, here) + func.make_interval(0, 0, 0, 0, 0, 0, hours * 3600)
    change(
        connection,
        study_id,
        budget_trials=studies.c.budget_trials + n_trials,
        budget_hours=studies.c.budget_hours + hours,
        deadline=case((studies.c.deadline.is_not(None), longer)) if hours else studies.c.deadline,
    )


def failed(connection: Connection, study_id: int, numbers: Sequence[int] | None = None) -> list[Row[Any]]:
    """Trials with `retry`, the number of the trial that tries them again, or NULL.

    Args:
        connection: of the transaction.
        study_id: the study.
        numbers: these trials, whatever their state; None: all failed ones.
    """
    again = trials.alias("again")
    retry = select(func.min(again.c.number)).where(again.c.retry_of == trials.c.id).scalar_subquery()
    query = select(trials, retry.label("retry")).where(trials.c.study_id == study_id)
    chosen = trials.c.state == TrialState.FAILED if numbers is None else trials.c.number.in_(numbers)
    return list(connection.execute(query.where(chosen).order_by(trials.c.number)))


def retry(connection: Connection, study_id: int, failures: Sequence[Row[Any]], first_number: int) -> list[int]:
    """Inserts a waiting trial for each failed one, with its parameters; the budget and the allowance of failures grow.

    Gives the new trials' numbers.
    """
    n_more = len(failures)
    change(
        connection,
        study_id,
        n_created=studies.c.n_created + n_more,
        budget_trials=studies.c.budget_trials + n_more,
        n_forgiven=func.least(studies.c.n_forgiven + n_more, studies.c.n_failed),
    )
    numbers = list(range(first_number, first_number + n_more))
    rows = [_again(study_id, number, failure) for number, failure in zip(numbers, failures, strict=True)]
    connection.execute(insert(trials), rows)
    return numbers


def _again(study_id: int, number: int, failure: Row[Any]) -> dict[str, Any]:
    attrs = {name: value for name, value in json.loads(failure.system_attrs).items() if name in KEPT}
    return {
        "study_id": study_id,
        "number": number,
        "state": TrialState.WAITING,
        "params": failure.params,
        "distributions": failure.distributions,
        "system_attrs": json.dumps(attrs),
        "retry_of": failure.id,
    }
