"""Rows of `answered_calls`: what was answered to a call that takes effect once, for whoever asks again.

Owns the row's two halves, which are committed together: it is put there before the call acts, so that the same request
sent twice at once waits for the first, and gets its answer afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from tuner.store.tables import answered_calls


@dataclass(frozen=True)
class Answered:
    """A request that was answered before: what it called, and the answer as JSON."""

    call_digest: str
    answer: str


def begin(connection: Connection, holder: str, request_id: str, call_digest: str) -> Answered | None:
    """Notes a request, or gives what was answered to it; waits while another transaction answers it."""
    row = {"holder": holder, "request_id": request_id, "call_digest": call_digest}
    if connection.execute(upsert(answered_calls).values(**row).on_conflict_do_nothing()).rowcount:
        return None
    found = connection.execute(select(answered_calls).where(*_is(holder, request_id))).one()
    return Answered(found.call_digest, found.answer)


def end(connection: Connection, holder: str, request_id: str, answer: str) -> None:
    """Keeps the answer of a request that `begin` noted in this transaction."""
    connection.execute(update(answered_calls).where(*_is(holder, request_id)).values(answer=answer))


def _is(holder: str, request_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return answered_calls.c.holder == holder, answered_calls.c.request_id == request_id
