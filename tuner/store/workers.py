"""Rows of `workers`: who has registered, and when it was last heard of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from tuner.store.tables import attempts, workers

ALIVE_S = 60


def register(
    connection: Connection,
    worker_id: str,
    *,
    name: str,
    version: str,
    slots: int,
    devices: Sequence[str],
    trainers: Sequence[str],
) -> None:
    values = {
        "name": name,
        "version": version,
        "slots": slots,
        "devices": json.dumps(list(devices)),
        "trainers": json.dumps(list(trainers)),
    }
    statement = upsert(workers).values(id=worker_id, **values)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[workers.c.id], set_=values | {"seen_at": func.now()})
    )


def leave(connection: Connection, worker_id: str) -> None:
    """Notes that a worker claims no more, so that its waiting claims are answered."""
    connection.execute(update(workers).where(workers.c.id == worker_id).values(left_at=func.now()))


def live_slots(connection: Connection) -> int:
    """Slots of the workers that are there now."""
    query = select(func.coalesce(func.sum(workers.c.slots), 0)).where(_alive())
    return int(connection.execute(query).scalar_one())


def _alive() -> ColumnElement[bool]:
    recent = workers.c.seen_at > func.now() - func.make_interval(0, 0, 0, 0, 0, 0, ALIVE_S)
    return and_(workers.c.left_at.is_(None), recent)


def listed(connection: Connection) -> list[Row[Any]]:
    """Workers heard of within a day, with `busy` (live attempts) and `alive`."""
    busy = select(func.count()).where(attempts.c.worker_id == workers.c.id, attempts.c.state == "running")
    query = select(workers, busy.scalar_subquery().label("busy"), _alive().label("alive"))
    recent = query.where(workers.c.seen_at > func.now() - func.make_interval(0, 0, 0, 1))
    return list(connection.execute(recent.order_by(workers.c.started_at)))
