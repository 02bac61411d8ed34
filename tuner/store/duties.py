"""Rows of `duties`: which process does what in the background, until when, by the database's clock.

Two rows are the control plane's own: until when it surely serves, and since when it has done so without a gap.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, text
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


SERVES_UNTIL, SERVES_SINCE = "control plane until", "control plane since"


# written out: in an ON CONFLICT clause SQLAlchemy leaves the schema out of a subquery's table
_SERVE = text("""
    insert into tuner.duties (name, holder, until) values (:since, :holder, clock_timestamp())
    on conflict (name) do update set holder = :holder, until = clock_timestamp()
    where not exists (select 1 from tuner.duties goes_on where goes_on.name = :until and goes_on.until >= clock_timestamp());

    insert into tuner.duties (name, holder, until) values (:until, :holder, clock_timestamp() + make_interval(secs => :gap_s))
    on conflict (name) do update set holder = :holder, until = excluded.until
""")


def serve(connection: Connection, holder: str, gap_s: float) -> None:
    """Says that a control plane serves; whoever says so again within `gap_s` goes on without a gap."""
    said = {"since": SERVES_SINCE, "until": SERVES_UNTIL, "holder": holder, "gap_s": gap_s}
    connection.execute(_SERVE, said)


def has_served(seconds: Any) -> ColumnElement[bool]:
    """Whether a control plane has been there for so long without a gap; true where none has ever said so."""
    now = func.clock_timestamp()
    since = select(duties.c.until).where(duties.c.name == SERVES_SINCE).scalar_subquery()
    until = select(duties.c.until).where(duties.c.name == SERVES_UNTIL).scalar_subquery()
    is_long = since <= now - func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    return func.coalesce(and_(until >= now, is_long), True)
