"""Rows of `studies`: insert, lock, look up, list, and the counters that only a locked row may change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from tuner.domain.errors import NameTakenError, NotFoundError
from tuner.domain.states import CLAIMABLE, StudyEnd, StudyState
from tuner.store.tables import attempts, discards, finals, idempotency_keys, studies, trials

StudyRow = Row[Any]

# a row always tells whether its deadline is past, by the database's clock
_columns = (*studies.c, (studies.c.deadline < func.coalesce(studies.c.paused_at, func.now())).label("is_past_deadline"))


def create(connection: Connection, values: Mapping[str, Any]) -> int:
    """Inserts a study and returns its id.

    Raises:
        NameTakenError: the name is in use.
        NotFoundError: its data set was deleted a moment ago.
    """
    try:
        with connection.begin_nested():
            inserted = connection.execute(insert(studies).values(**values).returning(studies.c.id))
    except IntegrityError as error:
        if "fk_studies_dataset_id" in str(error.orig):
            raise NotFoundError("the data set was deleted a moment ago: choose another, or upload it again") from None
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


def change(connection: Connection, study_id: int, **values: Any) -> None:
    connection.execute(update(studies).where(studies.c.id == study_id).values(**values))


def close(connection: Connection, study_id: int, reason: StudyEnd) -> None:
    """Nothing new starts from here on; a pause is over."""
    still = func.now() - func.coalesce(studies.c.paused_at, func.now())
    change(connection, study_id, state=StudyState.FINALIZING, end_reason=reason, paused_at=None, **stood_still(still))


def stood_still(how_long: ColumnElement[Any]) -> dict[str, Any]:
    """What changes of a study for which time stood still: an interval of PostgreSQL's."""
    idle_s = studies.c.idle_s + func.extract("epoch", how_long)
    return {"deadline": studies.c.deadline + how_long, "idle_s": idle_s}


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


def of_trial(connection: Connection, trial_id: int) -> StudyRow | None:
    """The study that a trial belongs to."""
    return connection.execute(select(*_columns).join(trials).where(trials.c.id == trial_id)).one_or_none()


def remove(connection: Connection, study: StudyRow) -> None:
    """Deletes a study's rows and leaves word of what lies outside the database, for maintenance to clear."""
    if study.experiment_id is not None:
        connection.execute(insert(discards).values(kind="experiment", ref=study.experiment_id))
    held = select(text("'attempt'"), attempts.c.id.cast(discards.c.ref.type))
    of_trials = held.join(trials, trials.c.id == attempts.c.trial_id).where(trials.c.study_id == study.id)
    of_finals = held.join(finals, finals.c.id == attempts.c.final_id).where(finals.c.study_id == study.id)
    for found in (of_trials, of_finals):
        connection.execute(insert(discards).from_select(["kind", "ref"], found))
    connection.execute(delete(studies).where(studies.c.id == study.id))


def remember_key(
    connection: Connection,
    key: str,
    body_digest: str,
    study_id: int,
    *,
    move: str | None = None,
    answer: str | None = None,
) -> None:
    """Keeps an Idempotency-Key; `move` is what was asked of the study, None that it was submitted."""
    values = {"key": key, "body_digest": body_digest, "study_id": study_id, "move": move, "answer": answer}
    connection.execute(insert(idempotency_keys).values(**values))


def lock_key(connection: Connection, key: str) -> None:
    """Makes requests with one Idempotency-Key go one after the other."""
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))


def known_key(connection: Connection, key: str) -> Row[Any] | None:
    """What is kept of an Idempotency-Key: `body_digest`, `study_id`, `move`, `answer`."""
    return connection.execute(select(idempotency_keys).where(idempotency_keys.c.key == key)).one_or_none()


def facts(study: StudyRow) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(study.facts)
    return loaded
