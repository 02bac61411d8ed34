"""One database for all tests of sampling: each makes studies of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

from tuner.sampling import process
from tuner.store import database


@pytest.fixture(scope="session")
def database_url(postgres: str) -> Iterator[str]:
    name = "test_sampling"
    admin = create_engine(make_url(postgres).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database {name} template tuner"))
    yield make_url(postgres).set(database=name).render_as_string(hide_password=False)
    process.stop()
    with admin.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))
    admin.dispose()


@pytest.fixture(scope="session")
def engine(database_url: str) -> Iterator[Engine]:
    engine = database.connect(database_url)
    yield engine
    engine.dispose()
