"""The gate in front of a real server: who comes in, what a session may do, where a login leads."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from api.gate import Gate
from tests.serving import serving
from tuner import keys

ADMIN, WORKER = "admin-key-for-this-test-only", "worker-key-for-this-test-only"


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    """Tells what reached it."""
    if scope["type"] == "lifespan":
        return
    if scope["path"] == "/api/v1/mistake":
        raise RuntimeError("a mistake of ours")
    body = b""
    message: Message = {"more_body": True}
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    told = json.dumps({"path": scope["path"], "bytes": len(body)}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": told})


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    gate = Gate(inner, ring=keys.ring(admin_key=ADMIN, worker_key=WORKER), port=1234, max_body_bytes=1000)
    with serving(gate) as address:
        yield address


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, trust_env=False) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_mistake_of_ours_is_a_problem_that_tells_no_secret(http: httpx.Client) -> None:
    answer = http.get("/api/v1/mistake", headers=bearer(ADMIN))

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "mistake of ours" not in answer.text
    assert http.get("/api/v1/x", headers=bearer(ADMIN)).status_code == 200  # on the same connection


@pytest.mark.parametrize("path", ["/", "/api/v1/studies", "/mlflow/", "/dashboard", "/static/x.js", "/nothing", "//"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"])
def test_without_a_key_nothing_is_reached(http: httpx.Client, method: str, path: str) -> None:
    answer = http.request(method, path)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "header",
    ["Bearer wrong", "Bearer", "Basic !!!", "Basic d3Jvbmc6d3Jvbmc=", "Digest x", "Bearer " + "x" * 5000, "\xff"],
)
def test_a_wrong_key_is_no_key(http: httpx.Client, header: str) -> None:
    answer = http.get("/api/v1/studies", headers={b"Authorization": header.encode("latin-1")})

    assert answer.status_code == 401
    assert answer.json()["type"] == "urn:tuner:problem:unauthenticated"


def test_health_is_open(http: httpx.Client) -> None:
    assert http.get("/healthz").status_code == 200
    assert http.get("/readyz").status_code == 200
    assert http.post("/healthz").status_code == 401


def test_the_admin_key_opens_everything_as_bearer_or_basic(http: httpx.Client) -> None:
    assert http.get("/mlflow/x", headers=bearer(ADMIN)).json()["path"] == "/mlflow/x"
    assert http.get("/mlflow/x", auth=("anyone", ADMIN)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/v1/claims", 200),
        ("POST", "/api/v1/attempts/0b8f7bb0-3f5c-4c83-9b7c-0e0f6e3c1a11/reports", 200),
        ("POST", "/api/v1/attempts/0b8f7bb0-3f5c-4c83-9b7c-0e0f6e3c1a11/artifacts", 200),
        ("PUT", "/api/v1/workers/w1", 200),
        ("GET", "/api/v1/claims", 403),
        ("GET", "/api/v1/studies", 403),
        ("POST", "/api/v1/studies", 403),
        ("POST", "/api/v1/claims/../studies", 403),
        ("POST", "/api/v1/attempts/x/../../studies/1/cancel", 403),
        ("GET", "/mlflow/", 403),
        ("GET", "/dashboard", 403),
    ],
)
def test_a_workers_key_opens_what_workers_need(http: httpx.Client, method: str, path: str, status: int) -> None:
    assert http.request(method, path, headers=bearer(WORKER)).status_code == status


def login(http: httpx.Client, target: str = "/") -> httpx.Response:
    return http.get("/login", params={"key": ADMIN, "next": target})


def test_a_link_logs_the_browser_in_and_leads_on(http: httpx.Client) -> None:
    answer = login(http, "/mlflow/?a=1#/experiments/1")

    assert answer.status_code == 303
    assert answer.headers["location"] == "/mlflow/?a=1#/experiments/1"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert ADMIN not in cookie
    assert http.get("/mlflow/").status_code == 200


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "evil", "/a\r\nX: y", ""]
)
def test_a_link_never_leads_to_another_site(http: httpx.Client, target: str) -> None:
    assert login(http, target).headers["location"] == "/"


def test_a_wrong_or_a_workers_key_does_not_log_in(http: httpx.Client) -> None:
    for key in ("wrong", WORKER):
        answer = http.get("/login", params={"key": key})
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers


def test_the_form_logs_in(http: httpx.Client) -> None:
    assert http.post("/login", data={"key": ADMIN, "next": "/x"}).status_code == 303
    assert http.get("/x").status_code == 200


def test_a_session_writes_only_from_its_own_pages(http: httpx.Client, url: str) -> None:
    login(http)

    assert http.post("/api/v1/x").status_code == 403
    assert http.post("/api/v1/x", headers={"Origin": "https://evil.example"}).status_code == 403
    assert http.post("/api/v1/x", headers={"Origin": "null"}).status_code == 403
    assert http.post("/api/v1/x", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert http.post("/api/v1/x", headers={"Origin": url}).status_code == 200
    assert http.post("/api/v1/x", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_a_session_cannot_be_made_up_or_prolonged(http: httpx.Client) -> None:
    login(http)
    name, value = next(iter(http.cookies.items()))
    expires, _, signature = value.partition(".")
    for forged in (
        f"{int(expires) + 1}.{signature}",
        f"{expires}.{'0' * 64}",
        expires,
        "x",
        f"\N{ARABIC-INDIC DIGIT ONE}.{signature}",
    ):
        http.cookies.clear()
        assert http.get("/x", headers={"Cookie": f"{name}={forged}".encode()}).status_code == 401


def test_a_browser_without_a_session_is_shown_the_login_page(http: httpx.Client) -> None:
    answer = http.get("/dashboard/studies/1?x=1", headers={"Accept": "text/html"})

    assert answer.status_code == 401
    assert 'value="/dashboard/studies/1?x=1"' in answer.text


def test_bodies_are_bounded_and_shallow(http: httpx.Client) -> None:
    headers = bearer(ADMIN)

    assert http.post("/api/v1/x", content=b"[" * 60 + b"]" * 60, headers=headers).json()["bytes"] == 120
    assert http.post("/api/v1/x", content=b"x" * 1001, headers=headers).status_code == 413
    assert http.post("/api/v1/x", content=b"[" * 300 + b"]" * 300, headers=headers).status_code == 422
    assert http.post("/api/v1/x", content=b'"' + b"[" * 300 + b'"', headers=headers).status_code == 200
    assert (
        http.post(f"/api/v1/attempts/{uuid.uuid4()}/artifacts", content=b"[" * 5000, headers=headers).json()["bytes"]
        == 5000
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": b"Basic \xff\xff"},
        {"Cookie": b"tuner_session_1234=" + b"9" * 5000 + b".abc"},
        {"Authorization": f"Bearer {ADMIN}".encode(), "Origin": b"http://["},
    ],
)
def test_odd_headers_are_no_mistake_of_ours(http: httpx.Client, headers: dict[str, bytes]) -> None:
    assert http.post("/api/v1/x", headers=headers).status_code in {200, 401, 403}


def test_only_utf_8_is_read(http: httpx.Client) -> None:
    refused = http.post("/api/v1/x", content='["[['.encode("utf-16-le"), headers=bearer(ADMIN))

    assert refused.status_code == 422


def test_a_worker_may_not_be_named_like_an_upload_to_send_more(http: httpx.Client) -> None:
    assert http.put("/api/v1/workers/artifacts", content=b"x" * 1001, headers=bearer(WORKER)).status_code == 413


def test_every_answer_has_a_request_id(http: httpx.Client) -> None:
    ids = {http.get("/healthz").headers["x-request-id"], http.get("/nothing").headers["x-request-id"]}

    assert len(ids) == 2
    assert urlsplit(str(http.base_url)).hostname == "127.0.0.1"
