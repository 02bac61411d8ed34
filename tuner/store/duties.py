"""Rows of `duties`: which process does what in the background, until when, by the database's clock."""

from __future__ import annotations

from sqlalchemy import Connection, func, or_
from sqlalchemy.dialects.postgresql import insert as upsert

from tuner.store.tables import duties


def hold(connection: Connection, name: str, holder: str, lease_s: float) -> bool:
    """Takes or keeps a duty; False while another holds it."""
    until = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, lease_s)
    statement = upsert(duties).values(name=name, holder=holder, until=until)
    taken = connection.execute(
        statement.on_conflict_do_update(
            index_elements=[duties.c.name],
            set_={"holder": holder, "until": until},
            where=or_(duties.c.holder == holder, duties.c.until < func.clock_timestamp()),
        ).returning(duties.c.name)
    )
    return taken.scalar_one_or_none() is not None
