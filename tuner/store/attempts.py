"""Rows of `attempts`, `reports`, `artifacts`: leases, what running attempts send, and how attempts end."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Row,
    Select,
    and_,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from tuner.domain.states import AttemptState
from tuner.store import duties
from tuner.store.prepared import Prepared
from tuner.store.tables import artifacts, attempts, reports, studies, trials, workers

AttemptRow = Row[Any]


def until(lease_s: Any) -> Any:
    """The end of a lease that begins now."""
    return func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, lease_s)


def with_trial(connection: Connection, attempt_id: uuid.UUID) -> AttemptRow | None:
    """The attempt with its trial and study: columns of `attempts`, and `study_id`, `trial_number`, `trial_state`, `params`."""
    query = (
        select(
            attempts,
            trials.c.study_id,
            trials.c.number.label("trial_number"),
            trials.c.state.label("trial_state"),
            trials.c.params,
            trials.c.system_attrs,
            trials.c.n_attempts,
        )
        .join(trials)
        .where(attempts.c.id == attempt_id)
    )
    return connection.execute(query).one_or_none()


def lock_study(connection: Connection, attempt_id: uuid.UUID) -> Row[Any] | None:
    """The attempt's study, locked: its row, and with it `attempt_id`, `trial_id`, `trial_number` and the like.

    What is of the attempt is as it was before the lock was ours: `end` looks again. None for one that never was.
    """
    return _LOCK_STUDY.run(connection, {"attempt_id": attempt_id}).one_or_none()


_LOCK_STUDY = Prepared(
    "attempt_lock_study",
    f"""
    select a.id as attempt_id, a.trial_id, a.worker_id, a.lease_s, a.result_digest, a.end_detail,
           t.number as trial_number, t.state as trial_state, t.n_attempts,
           s.deadline < coalesce(s.paused_at, now()) as is_past_deadline, {", ".join(f"s.{column.name}" for column in studies.c)}
    from tuner.attempts a join tuner.trials t on t.id = a.trial_id join tuner.studies s on s.id = t.study_id
    where a.id = :attempt_id
    for update of s
    """,
    attempt_id="uuid",
)


def renew(connection: Connection, attempt_id: uuid.UUID) -> AttemptRow | None:
    """Moves a live attempt's lease forward; None if it is live no more."""
    query = (
        update(attempts)
        .where(attempts.c.id == attempt_id, attempts.c.state == "running", trials.c.id == attempts.c.trial_id)
        .where(studies.c.id == trials.c.study_id)
        .values(lease_until=until(attempts.c.lease_s))
        .returning(attempts.c.trial_id, attempts.c.lease_s, trials.c.study_id, studies.c.state.label("study_state"))
    )
    return connection.execute(query).one_or_none()


def running_among(connection: Connection, attempt_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Those of these attempts that are live."""
    query = select(attempts.c.id).where(attempts.c.id.in_(attempt_ids), attempts.c.state == "running")
    return set(connection.execute(query).scalars())


def renew_held(connection: Connection, trial_id: int, worker_id: str) -> AttemptRow | None:
    """The same of a worker's attempt at a trial; None if the worker holds the trial no more."""
    query = (
        update(attempts)
        .where(attempts.c.trial_id == trial_id, attempts.c.worker_id == worker_id, attempts.c.state == "running")
        .values(lease_until=until(attempts.c.lease_s))
        .returning(attempts.c.id, attempts.c.lease_s)
    )
    return connection.execute(query).one_or_none()


def last_of_worker(connection: Connection, trial_id: int, worker_id: str) -> uuid.UUID | None:
    """A worker's last attempt at a trial, whatever became of it."""
    query = select(attempts.c.id).where(attempts.c.trial_id == trial_id, attempts.c.worker_id == worker_id)
    found: uuid.UUID | None = connection.execute(query.order_by(attempts.c.number.desc()).limit(1)).scalar_one_or_none()
    return found


def end(
    connection: Connection,
    attempt_id: uuid.UUID,
    state: AttemptState,
    *,
    end_reason: str,
    end_detail: str | None = None,
    error: str | None = None,
    result_digest: str | None = None,
) -> bool:
    """Ends a live attempt; False if it was live no more: the commit that counts."""
    ended = _END.run(
        connection,
        {
            "attempt_id": attempt_id,
            "state": state,
            "end_reason": end_reason,
            "end_detail": end_detail,
            "error": error,
            "result_digest": result_digest,
        },
    )
    return ended.rowcount == 1


_END = Prepared(
    "attempt_end",
    """
    update tuner.attempts set
        state = :state, ended_at = now(), end_reason = :end_reason, end_detail = :end_detail, error = :error,
        result_digest = :result_digest
    where id = :attempt_id and state = 'running'
    """,
    attempt_id="uuid",
    state="text",
    end_reason="text",
    end_detail="text",
    error="text",
    result_digest="text",
)


def foretell_end(connection: Connection, attempt_id: uuid.UUID, end_detail: str) -> None:
    """Notes why a live attempt is to be pruned; the first word stands, since that is what ends it."""
    first = (attempts.c.id == attempt_id, attempts.c.state == "running", attempts.c.end_detail.is_(None))
    connection.execute(update(attempts).where(*first).values(end_detail=end_detail))


def count_ended(connection: Connection, trial_id: int, end_reason: str) -> int:
    """How many attempts at a trial ended for this reason."""
    alike = (attempts.c.trial_id == trial_id, attempts.c.end_reason == end_reason)
    return int(connection.execute(select(func.count()).select_from(attempts).where(*alike)).scalar_one())


def live_of_study(connection: Connection, study_id: int) -> list[AttemptRow]:
    query = select(attempts).join(trials).where(trials.c.study_id == study_id, attempts.c.state == "running")
    return list(connection.execute(query.order_by(attempts.c.trial_id)))  # as all do who lock several


def _has_run_out() -> ColumnElement[bool]:
    """A lease runs out only if it could have been renewed: all its length the control plane and its database were there."""
    return and_(attempts.c.lease_until < func.clock_timestamp(), duties.has_served(attempts.c.lease_s))


def expired(connection: Connection, limit: int) -> list[uuid.UUID]:
    """Live attempts whose lease ran out, by the database's clock."""
    query = select(attempts.c.id).where(attempts.c.state == "running", _has_run_out())
    return list(connection.execute(query.order_by(attempts.c.lease_until).limit(limit)).scalars())


def lock_expired(connection: Connection, attempt_id: uuid.UUID) -> AttemptRow | None:
    """A live attempt whose lease ran out, locked, with `last_heartbeat` and the worker's name; None: it did not."""
    name = select(workers.c.name).where(workers.c.id == attempts.c.worker_id).scalar_subquery()
    query: Select[Any] = select(
        (attempts.c.lease_until - func.make_interval(0, 0, 0, 0, 0, 0, attempts.c.lease_s)).label("last_heartbeat"),
        func.coalesce(name, attempts.c.worker_id).label("worker"),
    ).where(attempts.c.id == attempt_id, attempts.c.state == "running", _has_run_out())
    return connection.execute(query.with_for_update(of=attempts)).one_or_none()


def add_reports(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """Stores reports; those whose trial, fold and step are known already are dropped. Returns how many were new."""
    return connection.execute(upsert(reports).values(list(rows)).on_conflict_do_nothing()).rowcount


def last_report(connection: Connection, trial_id: int) -> Row[Any] | None:
    """The last report of a trial that its pruner could see: `pruner_step` and `value`, None where that is NaN."""
    finite = func.nullif(reports.c.value, literal("NaN", Double)).label("value")
    query: Select[Any] = select(reports.c.pruner_step, finite).where(
        reports.c.trial_id == trial_id, reports.c.pruner_step.is_not(None)
    )
    return connection.execute(query.order_by(reports.c.pruner_step.desc()).limit(1)).one_or_none()


def replace_artifacts(connection: Connection, attempt_id: uuid.UUID, rows: Sequence[Mapping[str, Any]]) -> None:
    """Notes an attempt's files in place of those noted before."""
    connection.execute(delete(artifacts).where(artifacts.c.attempt_id == attempt_id))
    connection.execute(insert(artifacts), list(rows))


def artifacts_of_trial(connection: Connection, trial_id: int) -> list[Row[Any]]:
    """Files of the attempt whose result was accepted, or else of the last one."""
    accepted = (
        select(attempts.c.id)
        .where(attempts.c.trial_id == trial_id)
        .order_by((attempts.c.state == "succeeded").desc(), attempts.c.number.desc())
        .limit(1)
    )
    query = select(artifacts).where(artifacts.c.attempt_id == accepted.scalar_subquery())
    return list(connection.execute(query.order_by(artifacts.c.path)))


def of_trial(connection: Connection, trial_id: int) -> list[AttemptRow]:
    query = select(attempts).where(attempts.c.trial_id == trial_id)
    return list(connection.execute(query.order_by(attempts.c.number)))


def artifacts_of(connection: Connection, attempt_id: uuid.UUID) -> list[Row[Any]]:
    query = select(artifacts).where(artifacts.c.attempt_id == attempt_id)
    return list(connection.execute(query.order_by(artifacts.c.path)))
