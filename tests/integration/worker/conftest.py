"""A worker's side of HTTP: the control plane's REST API behind its gate, with clients of both keys.

A file of tests that stands between the two overrides `app`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from api.app import rest_app
from api.gate import Gate
from tests.serving import serving
from tuner import keys
from tuner.client import Client
from tuner.settings import Settings

ADMIN, WORKER = "admin-key-for-this-test-only", "worker-key-for-this-test-only"


@pytest.fixture
def gate(engine: Engine, tmp_path: Path) -> Gate:
    ring = keys.ring(admin_key=ADMIN, worker_key=WORKER)
    return Gate(rest_app(Settings(data=tmp_path), engine), ring=ring, port=1, max_body_bytes=2**20)


@pytest.fixture
def app(gate: Gate) -> Any:
    return gate


@pytest.fixture
def url(app: Any) -> Iterator[str]:
    with serving(app) as address:
        yield address


@pytest.fixture
def admin(url: str) -> Iterator[Client]:
    with Client(url, ADMIN) as client:
        yield client


@pytest.fixture
def worker(url: str) -> Iterator[Client]:
    with Client(url, WORKER) as client:
        yield client
