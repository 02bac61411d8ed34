"""What a stranger may send before a request is whole: bounded in bytes and in time."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from api import connection
from api.connection import MAX_HEAD_BYTES, BoundedProtocol
from api.gate import Gate
from tests.serving import serving
from tests.unit.api.test_gate import ADMIN, WORKER, bearer, inner
from tuner import keys


@pytest.fixture
def url() -> Iterator[str]:
    gate = Gate(inner, ring=keys.ring(admin_key=ADMIN, worker_key=WORKER), port=1, max_body_bytes=10**7)
    with serving(gate, http=BoundedProtocol) as address:
        yield address


def answer_to(url: str, begin: bytes, more: bytes = b"", times: int = 0) -> bytes:
    """Sends without reading until the other side closes; gives what it said."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout=30) as sent:
        try:
            sent.sendall(begin)
            for _ in range(times):
                sent.sendall(more)
        except (BrokenPipeError, ConnectionResetError):
            pass
        said = b""
        try:
            while piece := sent.recv(65_536):
                said += piece
        except ConnectionResetError:
            pass
        return said


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", b"x" * 8192),
        (b"GET /healthz HTTP/1.1\r\n", b"X: y\r\n" * 1024),
        (b"GET /", b"x" * 8192),
        (b"GET /healthz HTTP/1.1\r\n" + b"x" * 100, b"x" * 8192),
        (b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"x" * 8192),
        (b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;x=", b"x" * 8192),
    ],
    ids=["one header", "many headers", "address", "a header's name", "trailers", "a chunk's extension"],
)
def test_a_head_that_does_not_end_is_ended(url: str, begin: bytes, more: bytes) -> None:
    started = time.monotonic()

    said = answer_to(url, begin, more, 4096)  # 32 MB, were they all taken

    assert time.monotonic() - started < 25
    assert not said or said.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400", b"HTTP/1.1 401"))
    assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200


def test_a_head_that_does_not_come_is_not_waited_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.2)

    assert answer_to(url, b"").startswith(b"HTTP/1.1 408")
    assert answer_to(url, b"GET /healthz HTTP/1.1\r\n").startswith(b"HTTP/1.1 408")
    whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    said = answer_to(url, whole + b"GET /healthz HTTP/1.1\r\n")
    assert said.startswith(b"HTTP/1.1 200")


def test_whole_requests_may_be_long_in_heads_and_bodies_and_slow_in_answers(url: str) -> None:
    headers = bearer(ADMIN) | {"X": "x" * (MAX_HEAD_BYTES // 2)}
    with httpx.Client(base_url=url, trust_env=False, headers=headers) as http:
        for _ in range(5):
            assert http.post("/api/v1/x", content=b"x" * 1_000_000).json()["bytes"] == 1_000_000
            pieces = (b"x" * 1000 for _ in range(300))
            assert http.post("/api/v1/x", content=pieces).json()["bytes"] == 300_000


def test_a_login_that_does_not_come_is_not_waited_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.gate.LOGIN_S", 0.2)
    form = b"POST /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100\r\n\r\nkey="

    assert answer_to(url, form).startswith(b"HTTP/1.1 422")
