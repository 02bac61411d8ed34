"""Rows that are of no use after a while."""

from __future__ import annotations

from sqlalchemy import Connection, delete, func

from tuner.store.tables import answered_calls, idempotency_keys, workers


def remove_keys(connection: Connection, keep_days: int) -> int:
    old = idempotency_keys.c.created_at < func.now() - func.make_interval(0, 0, 0, keep_days)
    return connection.execute(delete(idempotency_keys).where(old)).rowcount


def remove_answers(connection: Connection, keep_days: int) -> int:
    old = answered_calls.c.created_at < func.now() - func.make_interval(0, 0, 0, keep_days)
    return connection.execute(delete(answered_calls).where(old)).rowcount


def remove_workers(connection: Connection, keep_days: int) -> int:
    old = workers.c.seen_at < func.now() - func.make_interval(0, 0, 0, keep_days)
    return connection.execute(delete(workers).where(old)).rowcount
