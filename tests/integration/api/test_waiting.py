"""Claims that wait: so many and no more; who finds no place is told to come again, and does."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import Engine

from api.app import rest_app
from api.gate import Gate
from tests.acceptance.waiting import until
from tests.serving import serving
from tests.studying import external
from tuner import keys
from tuner.client import Client
from tuner.settings import Settings
from tuner.wire_attempts import ClaimBody

ADMIN, PLACES = "admin-key-for-this-test-only", 3
WITHOUT_WORK = "nothing@1"


@pytest.fixture
def url(engine: Engine, tmp_path: Path) -> Iterator[str]:
    settings = Settings(data=tmp_path, max_waiting_claims=PLACES)
    ring = keys.ring(admin_key=ADMIN, worker_key="worker-key-for-this-test-only")
    with serving(Gate(rest_app(settings, engine), ring=ring, port=1, max_body_bytes=10_000)) as address:
        yield address


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {ADMIN}"}
    with httpx.Client(base_url=f"{url}/api/v1", headers=headers, trust_env=False, timeout=60) as client:
        yield client


def claim_body(wait_s: float, trainer: str = WITHOUT_WORK) -> dict[str, Any]:
    return {"request_id": uuid.uuid4().hex, "worker_id": "w", "trainers": [trainer], "wait_s": wait_s}


def is_full(http: httpx.Client) -> bool:
    return http.post("/claims", json=claim_body(0.01)).status_code == 503


@pytest.fixture
def waiting(http: httpx.Client) -> Iterator[list[int]]:
    """As many waiting claims as there are places; gives a list of their statuses, once they have ended."""
    statuses: list[int] = []

    def wait() -> None:
        while (status := http.post("/claims", json=claim_body(10)).status_code) == 503:
            pass  # the look whether all places are taken had one for a moment
        statuses.append(status)

    threads = [threading.Thread(target=wait) for _ in range(PLACES)]
    for thread in threads:
        thread.start()
    until(lambda: is_full(http), "all places are taken")
    yield statuses
    for thread in threads:
        thread.join()


def test_who_finds_no_place_is_told_to_come_again(http: httpx.Client, waiting: list[int]) -> None:
    refused = http.post("/claims", json=claim_body(10))

    assert refused.status_code == 503
    assert refused.json()["type"] == "urn:tuner:problem:unavailable"
    assert int(refused.headers["retry-after"]) > 0
    assert http.post("/claims", json=claim_body(0)).json() == {"attempts": []}
    http.post("/studies", json=external()).raise_for_status()
    assert len(http.post("/claims", json=claim_body(10, "external")).json()["attempts"]) == 1
    until(lambda: len(waiting) == PLACES, "the others' time is over")
    assert waiting == [200] * PLACES
    assert not is_full(http)


def test_a_client_comes_again_by_itself(url: str, http: httpx.Client, waiting: list[int]) -> None:
    with Client(url, ADMIN) as client, ThreadPoolExecutor(1) as pool:
        body = ClaimBody(request_id="r", worker_id="w", trainers=["external"], wait_s=20)
        claimed = pool.submit(client.claim, body)
        http.post("/studies", json=external()).raise_for_status()

        assert len(claimed.result(60)) == 1


def test_who_has_gone_leaves_the_place_to_another(url: str, http: httpx.Client) -> None:
    place = urlsplit(url)
    body = ClaimBody(request_id="r", worker_id="w", trainers=[WITHOUT_WORK], wait_s=30).model_dump_json()
    request = (
        f"POST /api/v1/claims HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    opened = [socket.create_connection((place.hostname, place.port)) for _ in range(PLACES)]
    for connection in opened:
        connection.sendall(request)
    until(lambda: is_full(http), "all places are taken")

    for connection in opened:
        with closing(connection):
            pass

    until(lambda: not is_full(http), "the places are free", 20)  # long before the 30 s that they were to wait
