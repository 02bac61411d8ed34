"""Rows of `studies`: insert, lock, look up, list, and the counters that only a locked row may change."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, exists, func, insert, or_, select, text, update
from sqlalchemy.exc import IntegrityError

from tuner.domain.errors import NameTakenError, NotFoundError
from tuner.domain.states import CLAIMABLE, StudyEnd, StudyState
from tuner.store.tables import attempts, discards, idempotency_keys, studies, trials

StudyRow = Row[Any]

# a row always tells whether its deadline is past, by the database's clock
_columns = (*studies.c, (studies.c.deadline < func.now()).label("is_past_deadline"))

n_finished = studies.c.n_complete + studies.c.n_pruned + studies.c.n_failed + studies.c.n_cancelled
_n_free = studies.c.n_created - studies.c.n_live - n_finished  # waiting trials that no attempt holds
_has_work = and_(
    studies.c.state.in_([str(state) for state in sorted(CLAIMABLE)]),
    studies.c.spec.is_not(None),
    or_(studies.c.deadline.is_(None), studies.c.deadline > func.now()),
    or_(studies.c.max_parallel.is_(None), studies.c.n_live < studies.c.max_parallel),
    or_(_n_free > 0, studies.c.budget_trials.is_(None), studies.c.n_created < studies.c.budget_trials),
)


def create(connection: Connection, values: Mapping[str, Any]) -> int:
    """Inserts a study and returns its id.

    Raises:
        NameTakenError: the name is in use.
    """
    try:
        with connection.begin_nested():
            inserted = connection.execute(insert(studies).values(**values).returning(studies.c.id))
    except IntegrityError as error:
        if "uq_studies_name" not in str(error.orig):
            raise
        raise NameTakenError(f"a study named {values['name']!r} exists: choose another name, or delete it") from None
    return int(inserted.scalar_one())


def get(connection: Connection, study_id: int) -> StudyRow:
    """The study's row.

    Raises:
        NotFoundError: there is none.
    """
    return _one(connection, select(*_columns).where(studies.c.id == study_id), study_id)


def lock(connection: Connection, study_id: int) -> StudyRow:
    """The study's row, locked until the transaction ends; every change of a counter comes after this.

    Raises:
        NotFoundError: there is none.
    """
    return _one(connection, select(*_columns).where(studies.c.id == study_id).with_for_update(), study_id)


def _one(connection: Connection, query: Select[Any], study_id: int) -> StudyRow:
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no study {study_id}: `tuner studies` lists those there are")
    return row


def with_work(connection: Connection, *, trainers: Sequence[str], study_id: int | None) -> int | None:
    """The study that the next claim should serve, by priority and then by fewest live trials; takes no lock."""
    query = select(studies.c.id).where(_has_work)
    query = query.where(studies.c.trainer.in_(trainers)) if study_id is None else query.where(studies.c.id == study_id)
    order = query.order_by(studies.c.priority.desc(), studies.c.n_live, studies.c.id).limit(1)
    return connection.execute(order).scalar_one_or_none()


def lock_with_work(connection: Connection, study_id: int) -> StudyRow | None:
    """The study, locked, if it still has work once the lock is ours."""
    return connection.execute(
        select(*_columns).where(studies.c.id == study_id, _has_work).with_for_update()
    ).one_or_none()


def change(connection: Connection, study_id: int, **values: Any) -> None:
    connection.execute(update(studies).where(studies.c.id == study_id).values(**values))


def start_trial(connection: Connection, study: StudyRow, *, created: int, hours: float | None) -> None:
    """Counts a claim; the first one starts the study's clock."""
    values: dict[str, Any] = {"n_created": studies.c.n_created + created, "n_live": studies.c.n_live + 1}
    if study.started_at is None:
        values |= {"state": StudyState.RUNNING, "started_at": func.now()}
        if hours is not None:
            values["deadline"] = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, hours * 3600)
    change(connection, study.id, **values)


def close(connection: Connection, study_id: int, reason: StudyEnd) -> None:
    """Nothing new starts from here on."""
    change(connection, study_id, state=StudyState.FINALIZING, end_reason=reason)


def end(connection: Connection, study_id: int, state: StudyState) -> None:
    change(connection, study_id, state=state, ended_at=func.now(), published_at=None)


def past_deadline(connection: Connection) -> list[int]:
    query = select(studies.c.id).where(
        studies.c.deadline < func.now(), studies.c.state.in_([str(state) for state in sorted(CLAIMABLE)])
    )
    return list(connection.execute(query).scalars())


def page(
    connection: Connection,
    *,
    before: int | None,
    limit: int,
    state: str | None,
    name: str | None,
    tag: tuple[str, str] | None,
) -> list[StudyRow]:
    """Studies with a spec, newest first, ids below `before`."""
    query = select(*_columns).where(studies.c.spec.is_not(None))
    if before is not None:
        query = query.where(studies.c.id < before)
    if state is not None:
        query = query.where(studies.c.state == state)
    if name is not None:
        query = query.where(studies.c.name.contains(name, autoescape=True))
    if tag is not None:
        query = query.where(
            text("spec::jsonb -> 'tags' ->> :tag_key = :tag_value").bindparams(tag_key=tag[0], tag_value=tag[1])
        )
    return list(connection.execute(query.order_by(studies.c.id.desc()).limit(limit)))


def by_name(connection: Connection, name: str) -> StudyRow | None:
    return connection.execute(select(*_columns).where(studies.c.name == name)).one_or_none()


def remove(connection: Connection, study: StudyRow) -> None:
    """Deletes a study's rows and leaves word of what lies outside the database, for maintenance to clear."""
    if study.experiment_id is not None:
        connection.execute(insert(discards).values(kind="experiment", ref=study.experiment_id))
    held = (
        select(text("'attempt'"), attempts.c.id.cast(discards.c.ref.type))
        .join(trials)
        .where(trials.c.study_id == study.id)
    )
    connection.execute(insert(discards).from_select(["kind", "ref"], held))
    connection.execute(delete(studies).where(studies.c.id == study.id))


def remember_key(connection: Connection, key: str, body_digest: str, study_id: int) -> None:
    connection.execute(insert(idempotency_keys).values(key=key, body_digest=body_digest, study_id=study_id))


def lock_key(connection: Connection, key: str) -> None:
    """Makes requests with one Idempotency-Key go one after the other."""
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))


def known_key(connection: Connection, key: str) -> tuple[str, int] | None:
    """The body's digest and the study of an Idempotency-Key."""
    row = connection.execute(
        select(idempotency_keys.c.body_digest, idempotency_keys.c.study_id).where(idempotency_keys.c.key == key)
    ).one_or_none()
    return None if row is None else (row.body_digest, row.study_id)


def any_live(connection: Connection) -> bool:
    query = select(exists().where(studies.c.state.in_(["queued", "running", "paused", "finalizing"])))
    return bool(connection.execute(query).scalar_one())


def facts(study: StudyRow) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(study.facts)
    return loaded
