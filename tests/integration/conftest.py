"""Our REST API behind its gate on a real server and database; without MLflow and dashboard, which start slowly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from api.app import rest_app
from api.gate import Gate
from tests.serving import serving
from tuner import keys
from tuner.client import Client
from tuner.settings import Settings

ADMIN = "admin-key-for-this-test-only"


@contextmanager
def rest_service(engine: Engine, data: Path) -> Iterator[str]:
    """The address of our REST API on a server of its own."""
    settings = Settings(data=data)
    ring = keys.ring(admin_key=ADMIN, worker_key="worker-key-for-this-test-only")
    gate = Gate(rest_app(settings, engine), ring=ring, port=settings.port, max_body_bytes=4 * 2**20)
    with serving(gate) as url:
        yield f"{url}/api/v1"


@pytest.fixture
def http(engine: Engine, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client with the admin key."""
    with rest_service(engine, tmp_path) as url:
        headers = {"Authorization": f"Bearer {ADMIN}"}
        with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60) as client:
            yield client


@pytest.fixture
def client(http: httpx.Client) -> Iterator[Client]:
    with Client(str(http.base_url).removesuffix("/").removesuffix("/api/v1"), ADMIN) as opened:
        yield opened
