"""The whole service in processes of its own: PostgreSQL, control plane with MLflow and dashboard, maintenance, worker."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tuner import up
from tuner.client import Client
from tuner.settings import Settings
from tuner.store import database


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[up.Service]:
    folder: Path = tmp_path_factory.mktemp("service")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with up.running(Settings(data=folder, port=port), slots=2) as running:
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
