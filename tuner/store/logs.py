"""Rows of `log_chunks`: what running attempts print, until the whole log is uploaded.

Owns their order and their bound: an attempt's log grows at its end alone, and the newest part of it is kept.
"""

from __future__ import annotations

import uuid

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from tuner.store.tables import log_chunks

MAX_BYTES = 2**20  # of one attempt

_end = log_chunks.c.position + func.octet_length(log_chunks.c.text)


def add(connection: Connection, attempt_id: uuid.UUID, position: int, text: str) -> int:
    """Stores a piece that begins where the log ends, or that repeats the last piece and may be longer.

    The caller's transaction holds the attempt's row. Any other piece is not taken.

    Returns:
        How many bytes of the log are stored: where the next piece begins.
    """
    ends = select(func.max(log_chunks.c.position), func.max(_end)).where(log_chunks.c.attempt_id == attempt_id)
    last, end = connection.execute(ends).one()
    end = end or 0
    size = len(text.encode())
    if position not in {last, end} or position + size <= end:
        return int(end)
    written = upsert(log_chunks).values(attempt_id=attempt_id, position=position, text=text)
    connection.execute(
        written.on_conflict_do_update(
            index_elements=[log_chunks.c.attempt_id, log_chunks.c.position], set_={"text": text}
        )
    )
    if position + size > MAX_BYTES:
        old = _end <= position + size - MAX_BYTES
        connection.execute(delete(log_chunks).where(log_chunks.c.attempt_id == attempt_id, old))
    return position + size


def read(connection: Connection, attempt_id: uuid.UUID, after: int) -> tuple[int, bytes]:
    """What is stored of a log from the byte `after` on: where that begins, and the bytes."""
    query = select(log_chunks).where(log_chunks.c.attempt_id == attempt_id, _end > after)
    rows = list(connection.execute(query.order_by(log_chunks.c.position)))
    if not rows:
        return after, b""
    begin = rows[0].position
    whole = "".join(row.text for row in rows).encode()
    return max(begin, after), whole[max(0, after - begin) :]


def remove(connection: Connection, attempt_id: uuid.UUID) -> None:
    connection.execute(delete(log_chunks).where(log_chunks.c.attempt_id == attempt_id))
