"""A real PostgreSQL for every test that asks: one embedded server a session, one database a test, copied from a template."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

from tuner import embedded
from tuner.store import database, migrate


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with one migrated database, `tuner`, that serves as the template."""
    folder: Path = tmp_path_factory.mktemp("postgres")
    for part in (folder, folder.parent, folder.parent.parent):
        part.chmod(0o711)  # as root, PostgreSQL runs as another user, who must get there
    with embedded.running(folder) as server:
        engine = database.connect(server.url)
        migrate.upgrade(engine)
        engine.dispose()
        yield server.url


@pytest.fixture
def database_url(postgres: str) -> Iterator[str]:
    """A database of the test's own with our tables, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = create_engine(make_url(postgres).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database {name} template tuner strategy file_copy"))
    yield make_url(postgres).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))
    admin.dispose()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = database.connect(database_url)
    yield engine
    engine.dispose()
