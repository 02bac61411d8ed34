"""Our REST API behind its gate on a real server and database; without MLflow and dashboard, which start slowly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from api.app import rest_app
from api.gate import Gate
from tests.serving import serving
from tuner import keys
from tuner.settings import Settings

ADMIN = "admin-key-for-this-test-only"


@pytest.fixture
def http(engine: Engine, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client with the admin key."""
    settings = Settings(data=tmp_path)
    ring = keys.ring(admin_key=ADMIN, worker_key="worker-key-for-this-test-only")
    gate = Gate(rest_app(settings, engine), ring=ring, port=settings.port, max_body_bytes=4 * 2**20)
    with serving(gate) as url:
        headers = {"Authorization": f"Bearer {ADMIN}"}
        with httpx.Client(base_url=f"{url}/api/v1", headers=headers, trust_env=False, timeout=60) as client:
            yield client
