"""Rows of `trials`: insert, sampled parameters, the one way to finish, and reading them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, cast, exists, func, insert, select, tuple_, update
from sqlalchemy.dialects.postgresql import JSONB

from tuner.domain.errors import NotFoundError
from tuner.domain.states import FINISHED, TrialState
from tuner.store.prepared import Prepared
from tuner.store.queue import UNHURRIED
from tuner.store.tables import attempts, reports, studies, trials

TrialRow = Row[Any]
StudyRow = Row[Any]

_failed = trials.alias("failed")
# with the number of the trial that a trial tries again
_shown = select(
    trials, select(_failed.c.number).where(_failed.c.id == trials.c.retry_of).scalar_subquery().label("retry_of_number")
)
_held = exists().where(attempts.c.trial_id == trials.c.id, attempts.c.state == "running")


def create(connection: Connection, study_id: int, number: int, system_attrs: Mapping[str, Any] | None = None) -> int:
    """Inserts a waiting trial; the caller holds the study's lock and counts it."""
    values = {"study_id": study_id, "number": number, "state": TrialState.WAITING}
    if system_attrs:
        values["system_attrs"] = json.dumps(system_attrs)
    return int(connection.execute(insert(trials).values(**values).returning(trials.c.id)).scalar_one())


def first_free(connection: Connection, study_id: int) -> TrialRow | None:
    """The waiting trial with the lowest number that no attempt holds; the caller holds the study's lock."""
    query = select(trials).where(trials.c.study_id == study_id, trials.c.state == "waiting", ~_held)
    return connection.execute(query.order_by(trials.c.number).limit(1)).one_or_none()


def free(connection: Connection, study_id: int) -> list[TrialRow]:
    """Every waiting trial that no attempt holds."""
    query = select(trials).where(trials.c.study_id == study_id, trials.c.state == "waiting", ~_held)
    return list(connection.execute(query.order_by(trials.c.number)))


def set_sampled(
    connection: Connection,
    attempt_id: uuid.UUID,
    *,
    params: Mapping[str, Any],
    distributions: Mapping[str, Any],
    system_attrs: Mapping[str, Any],
) -> bool:
    """Writes what the sampler gave and starts the attempt's trial; False if the attempt was lost meanwhile."""
    written = _SET_SAMPLED.run(
        connection,
        {
            "attempt_id": attempt_id,
            "params": json.dumps(params),
            "distributions": json.dumps(distributions),
            "system_attrs": json.dumps(system_attrs),
        },
    )
    return written.rowcount == 1


# The attempt is locked first: whether it lives must be judged on its newest row, and whoever ends it locks it first, too.
# Its lease starts anew, since a sampler may have taken longer than a third of it.
_LIVE = """
    with live as (
        update tuner.attempts set lease_until = clock_timestamp() + make_interval(secs => lease_s)
        where id = :attempt_id and state = 'running' returning trial_id
    )
"""

_SET_SAMPLED = Prepared(
    "trial_set_sampled",
    f"""
    {_LIVE}
    update tuner.trials t set
        params = :params, distributions = :distributions, system_attrs = :system_attrs,
        state = 'running', started_at = coalesce(started_at, now())
    from live where t.id = live.trial_id and t.state = 'waiting'
    returning {UNHURRIED}
    """,
    attempt_id="uuid",
    params="text",
    distributions="text",
    system_attrs="text",
)

_RESUME = Prepared(
    "trial_resume",
    f"""
    {_LIVE}
    update tuner.trials t set state = 'running', started_at = coalesce(started_at, now())
    from live where t.id = live.trial_id and t.state = 'waiting'
    """,
    attempt_id="uuid",
)


def set_past(
    connection: Connection,
    trial_id: int,
    *,
    params: Mapping[str, Any],
    distributions: Mapping[str, Any],
    started_at: datetime | None,
    intermediate_values: Sequence[tuple[int, float]],
) -> None:
    """Writes what a trial was that ran elsewhere; the caller finishes it."""
    values = {"params": json.dumps(params), "distributions": json.dumps(distributions)}
    connection.execute(
        update(trials)
        .where(trials.c.id == trial_id)
        .values(**values, started_at=func.now() if started_at is None else started_at)
    )
    rows = [
        {"trial_id": trial_id, "fold": 0, "step": step, "pruner_step": step, "value": value}
        for step, value in dict(intermediate_values).items()
    ]
    if rows:
        connection.execute(insert(reports), rows)


def resume(connection: Connection, attempt_id: uuid.UUID) -> bool:
    """Starts a trial that has its parameters, of an earlier attempt or of the trial that it retries.

    False if the attempt was lost meanwhile.
    """
    return _RESUME.run(connection, {"attempt_id": attempt_id}).rowcount == 1


def wait_again(connection: Connection, study_id: int, trial_id: int, *, used_attempt: bool) -> None:
    """Takes a trial off its ended attempt; the caller holds the study's lock."""
    connection.execute(
        update(trials)
        .where(trials.c.id == trial_id)
        .values(state=TrialState.WAITING, n_attempts=trials.c.n_attempts + int(used_attempt))
    )
    connection.execute(update(studies).where(studies.c.id == study_id).values(n_live=studies.c.n_live - 1))


def finish(
    connection: Connection,
    *,
    study_id: int,
    trial_id: int,
    state: TrialState,
    was_live: bool,
    end_reason: str | None,
    objective_values: Sequence[float] | None = None,
    metrics: Mapping[str, float] | None = None,
    best_step: int | None = None,
    error: str | None = None,
    end_detail: str | None = None,
    finished_at: datetime | None = None,
    is_best: bool = False,
) -> StudyRow:
    """Ends a trial for good and counts it; the caller holds the study's lock. Returns the study's row, counted."""
    return (
        _FINISH[state]
        .run(
            connection,
            {
                "study_id": study_id,
                "trial_id": trial_id,
                "was_live": int(was_live),
                "end_reason": end_reason,
                "objective_values": None if objective_values is None else list(objective_values),
                "metrics": None if metrics is None else json.dumps(metrics),
                "best_step": best_step,
                "error": error,
                "end_detail": end_detail,
                "finished_at": finished_at,
                "is_best": is_best,
            },
        )
        .one()
    )


def _finish_statement(state: TrialState) -> Prepared:
    """One round trip for both rows; this is what every trial of every study goes through."""
    assert state in FINISHED
    counted = ", ".join(column.name for column in studies.c)
    return Prepared(
        f"trial_finish_{state}",
        f"""
        with study as (
            update tuner.studies set
                finish_seq = finish_seq + 1, n_live = n_live - :was_live, n_{state} = n_{state} + 1,
                best_number = case when :is_best then (select number from tuner.trials where id = :trial_id)
                              else best_number end,
                best_value = case when :is_best then (:objective_values)[1]
                             else best_value end,
                best_finish_seq = case when :is_best then finish_seq + 1 else best_finish_seq end
            where id = :study_id
            returning {counted}
        ), trial as (
            update tuner.trials set
                state = '{state}', finish_seq = (select finish_seq from study),
                finished_at = coalesce(:finished_at, now()), end_reason = :end_reason,
                objective_values = :objective_values, metrics = :metrics,
                best_step = :best_step, error = :error, end_detail = :end_detail
            where id = :trial_id
        )
        select *, deadline < coalesce(paused_at, now()) as is_past_deadline from study
        """,
        study_id="bigint",
        trial_id="bigint",
        was_live="integer",
        end_reason="text",
        objective_values="double precision[]",
        metrics="text",
        best_step="integer",
        error="text",
        end_detail="text",
        finished_at="timestamptz",
        is_best="boolean",
    )


_FINISH = {state: _finish_statement(state) for state in FINISHED}


def typical_duration_s(connection: Connection, trainer: str, dataset: str) -> float | None:
    """The median time of the newest complete trials of a trainer, name@version, on a data set; None without any."""
    newest = (
        select(func.extract("epoch", trials.c.finished_at - trials.c.started_at).label("took_s"))
        .join(studies)
        .where(
            studies.c.trainer == trainer,
            cast(studies.c.spec, JSONB)["dataset"].astext == dataset,
            trials.c.state == "complete",
            trials.c.started_at.is_not(None),
        )
        .order_by(trials.c.id.desc())
        .limit(100)
        .subquery()
    )
    median = select(func.percentile_cont(0.5).within_group(newest.c.took_s))
    took_s = connection.execute(median).scalar_one()
    return None if took_s is None else float(took_s)


def get(connection: Connection, study_id: int, number: int) -> TrialRow:
    """One trial by its number; as of `page` and `numbered`, its row has `retry_of_number`.

    Raises:
        NotFoundError: there is none.
    """
    row = connection.execute(_shown.where(trials.c.study_id == study_id, trials.c.number == number)).one_or_none()
    if row is None:
        raise NotFoundError(f"study {study_id} has no trial {number}")
    return row


def by_id(connection: Connection, trial_id: int) -> TrialRow:
    return connection.execute(select(trials).where(trials.c.id == trial_id)).one()


def page(connection: Connection, study_id: int, *, after: int, limit: int, state: str | None) -> list[TrialRow]:
    """Trials with numbers above `after`, ascending."""
    query = _shown.where(trials.c.study_id == study_id, trials.c.number > after)
    if state is not None:
        query = query.where(trials.c.state == state)
    return list(connection.execute(query.order_by(trials.c.number).limit(limit)))


def numbered(connection: Connection, study_id: int, numbers: Sequence[int]) -> list[TrialRow]:
    query = _shown.where(trials.c.study_id == study_id, trials.c.number.in_(numbers))
    return list(connection.execute(query.order_by(trials.c.number)))


def reports_of(
    connection: Connection, trial_id: int, *, after: tuple[int, int] | None = None, limit: int | None = None
) -> list[Row[Any]]:
    """Reports by fold and step, those after a fold and step; up to a limit."""
    query = select(reports).where(reports.c.trial_id == trial_id)
    if after is not None:
        query = query.where(tuple_(reports.c.fold, reports.c.step) > tuple_(*after))
    return list(connection.execute(query.order_by(reports.c.fold, reports.c.step).limit(limit)))
