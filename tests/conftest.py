"""What tests ask for: a real PostgreSQL with a database a test, copied from a template; and the whole service.

Both are started once a session, when the first test asks. The service is PostgreSQL, control plane with MLflow and
dashboard, maintenance and a worker with two slots, in processes of their own.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

from tests.folders import data_folder
from tests.whole import whole_service
from tuner import embedded, up
from tuner.client import Client
from tuner.store import database, migrate


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--examples", type=int, help="how many sequences of moves the property test makes, drawn anew")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a server with one migrated database, `tuner`, that serves as the template."""
    with data_folder() as folder, embedded.running(folder) as server:
        engine = database.connect(server.url)
        migrate.upgrade(engine)
        engine.dispose()
        _forget_power_cuts(server.url)
        yield server.url


def _forget_power_cuts(url: str) -> None:
    """Writes no longer wait for the disk: on a busy one, a database made and dropped for a test took seconds.

    What is committed outlives a killed PostgreSQL all the same; only the machine's own end would lose it.
    """
    admin = create_engine(make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        for setting in ("fsync", "full_page_writes"):
            connection.execute(text(f"alter system set {setting} = off"))
        connection.execute(text("select pg_reload_conf()"))
    admin.dispose()


@pytest.fixture
def database_url(postgres: str) -> Iterator[str]:
    """A database of the test's own with our tables, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = create_engine(make_url(postgres).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database {name} template tuner"))
    yield make_url(postgres).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))
    admin.dispose()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = database.connect(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def service() -> Iterator[up.Service]:
    with whole_service() as running:
        yield running


@pytest.fixture
def client(service: up.Service) -> Iterator[Client]:
    with Client(service.settings.base_url, service.admin_key) as opened:
        yield opened


@pytest.fixture
def service_engine(service: up.Service) -> Iterator[Engine]:
    assert service.settings.database_url is not None
    engine = database.connect(service.settings.database_url)
    yield engine
    engine.dispose()
