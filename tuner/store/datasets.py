"""Rows of `datasets`: uploaded data sets, a row a version. A row never changes; a study that names it keeps it.

Owns the numbers of versions, which are given once, whatever is deleted.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, literal, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from tuner.domain.errors import InUseError, NotFoundError
from tuner.store.tables import dataset_names, dataset_profiles, datasets, studies

DatasetRow = Row[Any]


def lock_name(connection: Connection, name: str) -> None:
    """Makes uploads under one name go one after the other."""
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"dataset {name}", 0))))


def create(connection: Connection, values: Mapping[str, Any]) -> DatasetRow:
    """Inserts the next version of a name, one more than any that it has had."""
    counted = upsert(dataset_names).values(name=values["name"], last_version=1)
    version = connection.execute(
        counted.on_conflict_do_update(
            index_elements=[dataset_names.c.name], set_={"last_version": dataset_names.c.last_version + 1}
        ).returning(dataset_names.c.last_version)
    ).scalar_one()
    return connection.execute(insert(datasets).values(**values, version=version).returning(*datasets.c)).one()


def with_files(connection: Connection, name: str, files_digest: str) -> DatasetRow | None:
    """The version of a name that has exactly these files and this source."""
    same = select(datasets).where(datasets.c.name == name, datasets.c.files_digest == files_digest)
    return connection.execute(same).one_or_none()


def find(connection: Connection, name: str, version: int | None) -> DatasetRow | None:
    """A version of a data set; None: the newest."""
    query = select(datasets).where(datasets.c.name == name)
    if version is not None:
        query = query.where(datasets.c.version == version)
    return connection.execute(query.order_by(datasets.c.version.desc()).limit(1)).one_or_none()


def get(connection: Connection, name: str, version: int | None) -> DatasetRow:
    """The same, which must be there.

    Raises:
        NotFoundError: there is no such data set, or it has no such version.
    """
    row = find(connection, name, version)
    if row is None:
        which = repr(name) if version is None else f"{name!r} with a version {version}"
        raise NotFoundError(f"there is no uploaded data set {which}: `tuner datasets` lists those there are")
    return row


def versions(connection: Connection, name: str) -> list[DatasetRow]:
    """Every version of a name, newest first."""
    query = select(datasets).where(datasets.c.name == name).order_by(datasets.c.version.desc())
    return list(connection.execute(query))


def names(connection: Connection, *, limit: int) -> list[str]:
    """Names in use, those that were uploaded to last first."""
    newest = func.max(datasets.c.id)
    return list(
        connection.execute(
            select(datasets.c.name).group_by(datasets.c.name).order_by(newest.desc()).limit(limit)
        ).scalars()
    )


def page(connection: Connection, *, before: int | None, limit: int) -> list[DatasetRow]:
    """The newest version of each name, newest first, ids below `before`."""
    newest = select(func.max(datasets.c.id)).group_by(datasets.c.name)
    query = select(datasets).where(datasets.c.id.in_(newest))
    if before is not None:
        query = query.where(datasets.c.id < before)
    return list(connection.execute(query.order_by(datasets.c.id.desc()).limit(limit)))


def profile(connection: Connection, dataset_id: int) -> str | None:
    """The JSON of what was seen of a version's rows; None: nobody has looked yet."""
    query = select(dataset_profiles.c.profile).where(dataset_profiles.c.dataset_id == dataset_id)
    return connection.execute(query).scalar_one_or_none()


def keep_profile(connection: Connection, dataset_id: int, profile: str) -> None:
    """Keeps a version's profile, of several the first; of a version that has just been deleted, none."""
    known = select(datasets.c.id, literal(profile)).where(datasets.c.id == dataset_id).with_for_update(key_share=True)
    adding = upsert(dataset_profiles).from_select(["dataset_id", "profile"], known)
    connection.execute(adding.on_conflict_do_nothing())


def remove(connection: Connection, rows: Collection[DatasetRow]) -> None:
    """Deletes versions.

    Raises:
        InUseError: a study uses one of them.
    """
    ids = [row.id for row in rows]
    users = select(studies.c.id, studies.c.name).where(studies.c.dataset_id.in_(ids)).order_by(studies.c.id).limit(3)
    used = connection.execute(users).all()
    if not used:
        try:
            with connection.begin_nested():
                connection.execute(delete(datasets).where(datasets.c.id.in_(ids)))
        except IntegrityError:  # a study was submitted in between
            used = connection.execute(users).all()
        else:
            return
    by = ", ".join(f"{name!r} ({study_id})" for study_id, name in used) or "a study"
    raise InUseError(f"{rows_name(rows)} is used by {by}: delete what uses it first (`tuner delete STUDY`)")


def rows_name(rows: Collection[DatasetRow]) -> str:
    return ", ".join(f"{row.name}@{row.version}" for row in rows)


def known_folders(connection: Connection, folders: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Which of these folders belong to a data set."""
    return set(connection.execute(select(datasets.c.folder).where(datasets.c.folder.in_(folders))).scalars())
