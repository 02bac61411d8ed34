"""Rows of `attempts`, `reports`, `artifacts`: leases, what running attempts send, and how attempts end."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from tuner.domain.states import AttemptState
from tuner.store.tables import artifacts, attempts, reports, studies, trials

AttemptRow = Row[Any]


def _until(lease_s: Any) -> Any:
    return func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, lease_s)


def create(
    connection: Connection, *, trial_id: int, worker_id: str, request_id: str, lease_s: float, first: bool
) -> uuid.UUID:
    """Inserts a running attempt with its lease; the caller holds the study's lock and counts it."""
    attempt_id = uuid.uuid4()
    last = select(func.coalesce(func.max(attempts.c.number), 0) + 1).where(attempts.c.trial_id == trial_id)
    connection.execute(
        insert(attempts).values(
            id=attempt_id,
            trial_id=trial_id,
            number=1 if first else last.scalar_subquery(),
            state=AttemptState.RUNNING,
            worker_id=worker_id,
            request_id=request_id,
            lease_s=lease_s,
            lease_until=_until(lease_s),
        )
    )
    return attempt_id


def of_request(connection: Connection, worker_id: str, request_id: str) -> list[uuid.UUID]:
    """The live attempts that an earlier claim with this request id was given."""
    query = select(attempts.c.id).where(
        attempts.c.worker_id == worker_id, attempts.c.request_id == request_id, attempts.c.state == "running"
    )
    return list(connection.execute(query).scalars())


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


def renew(connection: Connection, attempt_id: uuid.UUID) -> AttemptRow | None:
    """Moves a live attempt's lease forward; None if it is live no more."""
    query = (
        update(attempts)
        .where(attempts.c.id == attempt_id, attempts.c.state == "running", trials.c.id == attempts.c.trial_id)
        .values(lease_until=_until(attempts.c.lease_s))
        .returning(attempts.c.trial_id, attempts.c.lease_s, trials.c.study_id)
    )
    return connection.execute(query).one_or_none()


def end(
    connection: Connection,
    attempt_id: uuid.UUID,
    state: AttemptState,
    *,
    end_reason: str,
    error: str | None = None,
    result_digest: str | None = None,
) -> bool:
    """Ends a live attempt; False if it was live no more: the commit that counts."""
    ended = connection.execute(
        update(attempts)
        .where(attempts.c.id == attempt_id, attempts.c.state == "running")
        .values(state=state, ended_at=func.now(), end_reason=end_reason, error=error, result_digest=result_digest)
    )
    return ended.rowcount == 1


def live_of_study(connection: Connection, study_id: int) -> list[AttemptRow]:
    query = select(attempts).join(trials).where(trials.c.study_id == study_id, attempts.c.state == "running")
    return list(connection.execute(query))


def expired(connection: Connection, limit: int) -> list[uuid.UUID]:
    """Live attempts whose lease ran out, by the database's clock."""
    query = select(attempts.c.id).where(attempts.c.state == "running", attempts.c.lease_until < func.clock_timestamp())
    return list(connection.execute(query.order_by(attempts.c.lease_until).limit(limit)).scalars())


def is_expired(connection: Connection, attempt_id: uuid.UUID) -> bool:
    query = select(attempts.c.lease_until < func.clock_timestamp()).where(
        attempts.c.id == attempt_id, attempts.c.state == "running"
    )
    return bool(connection.execute(query.with_for_update()).scalar_one_or_none())


def add_reports(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """Stores reports; those whose trial, fold and step are known already are dropped. Returns how many were new."""
    return connection.execute(upsert(reports).values(list(rows)).on_conflict_do_nothing()).rowcount


def add_artifacts(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    statement = upsert(artifacts).values(list(rows))
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[artifacts.c.attempt_id, artifacts.c.path],
            set_={"size_bytes": statement.excluded.size_bytes, "sha256": statement.excluded.sha256},
        )
    )


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


def study_of(connection: Connection, attempt_id: uuid.UUID) -> int | None:
    query = select(studies.c.id).join(trials).join(attempts).where(attempts.c.id == attempt_id)
    return connection.execute(query).scalar_one_or_none()


def artifacts_of(connection: Connection, attempt_id: uuid.UUID) -> list[Row[Any]]:
    query = select(artifacts).where(artifacts.c.attempt_id == attempt_id)
    return list(connection.execute(query.order_by(artifacts.c.path)))
