"""Brings the schema `tuner` to the newest revision; many processes may try at once.

Owns the call of alembic and the lock under which it and MLflow's own migration run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from tuner.store.database import transaction

LOCK_KEY = 0x74756E6572  # "tuner"


def upgrade(engine: Engine) -> None:
    """Creates or upgrades our tables; a no-op on a database that is up to date."""
    with migration_lock(engine) as connection:
        command.upgrade(configuration(connection), "head")


@contextmanager
def migration_lock(engine: Engine) -> Iterator[Connection]:
    """A transaction that holds the one lock under which schemas change."""
    with transaction(engine) as connection:
        connection.execute(text("set local statement_timeout = 0"))  # a large table takes what it takes
        connection.execute(text("set local lock_timeout = '120s'"))
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        yield connection


def configuration(connection: Connection) -> Config:
    """Alembic's configuration for running on this connection."""
    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    config.attributes["connection"] = connection
    return config
