"""Connections to PostgreSQL: one engine a process, every session in UTC.

Owns the engine's settings. `transaction(engine)` is the one way to a connection; a use case opens it once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

SESSION = {
    "timezone": "UTC",
    "search_path": "public",  # a role named like our schema would otherwise make it the default one
    "plan_cache_mode": "force_generic_plan",  # for prepared statements, none of which depends on its values
    "lock_timeout": "10s",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "60s",
}
# a PostgreSQL whose machine is gone without a word is noticed within half a minute; no matter over a Unix socket
KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}


# what may be gone when the same is tried again; other errors of the database are faults of ours
TRANSIENT = (OperationalError, InterfaceError, PoolTimeoutError)
CUT_TRIES = 3

P = ParamSpec("P")
T = TypeVar("T")


class DatabaseUrlError(ValueError):
    """The address is not that of a PostgreSQL; the text says what one looks like."""


def normalise(url: str) -> URL:
    """The URL with the psycopg2 driver named; a plain `postgresql://` means psycopg 3 to SQLAlchemy 2.1."""
    parsed = make_url(url)
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise DatabaseUrlError(f"the database must be PostgreSQL, and {parsed.drivername!r} is not: use postgresql://…")
    return parsed.set(drivername="postgresql+psycopg2")


def connect(url: str, *, pool_size: int = 10) -> Engine:
    """An engine whose sessions speak UTC, and whose callers never wait for good.

    Longest waits: 5 s for a connection, 10 s for a lock, 60 s for a statement.
    """
    return create_engine(
        normalise(url),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=5,
        pool_pre_ping=False,
        pool_use_lifo=True,
        connect_args={
            "connect_timeout": 5,
            "options": " ".join(f"-c {name}={value}" for name, value in SESSION.items()),
            "application_name": "tuner",
            **KEEPALIVE,
        },
    )


@contextmanager
def transaction(where: Engine | Connection) -> Iterator[Connection]:
    """One transaction: committed at the end, rolled back on an exception; of a connection's own it is a part."""
    if isinstance(where, Connection):
        yield where
        return
    with where.begin() as connection:
        yield connection


def again_if_cut(use_case: Callable[P, T]) -> Callable[P, T]:
    """A use case that its caller may repeat, done again where its connection was cut in the middle.

    Of a database whose sessions die one by one, the next connection is mostly a good one; a lease need not wait for the
    caller's own next try. A database that is away is told at once.
    """

    @wraps(use_case)
    def done(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(CUT_TRIES - 1):
            try:
                return use_case(*args, **kwargs)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
        return use_case(*args, **kwargs)

    return done


def ping(engine: Engine | Connection) -> None:
    """Raises one of TRANSIENT where the database does not answer."""
    with transaction(engine) as connection:
        connection.execute(select(1))
