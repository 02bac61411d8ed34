"""What a hostile holder of a worker's key can do: run trials that nobody else runs, and nothing besides."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.acceptance.conftest import LoneServer
from tests.studying import external

ATTEMPT = str(uuid.uuid4())
OPEN_TO_WORKERS = {
    ("POST", "/api/v1/claims"),
    ("POST", "/api/v1/attempts/{attempt_id}/reports"),
    ("POST", "/api/v1/attempts/{attempt_id}/artifacts"),
    ("POST", "/api/v1/attempts/{attempt_id}/complete"),
    ("POST", "/api/v1/attempts/{attempt_id}/fail"),
    ("POST", "/api/v1/attempts/{attempt_id}/release"),
    ("PUT", "/api/v1/attempts/{attempt_id}/checkpoint"),
    ("GET", "/api/v1/attempts/{attempt_id}/checkpoints/{sha256}"),
    ("POST", "/api/v1/attempts/{attempt_id}/resumed"),
    ("PUT", "/api/v1/workers/{worker_id}"),
    ("DELETE", "/api/v1/workers/{worker_id}"),
    ("GET", "/api/v1/datasets/{name}/versions/{version}/files"),
}


def opened(server: LoneServer, key: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=60)


@pytest.fixture
def worker(lone_server: LoneServer) -> Iterator[httpx.Client]:
    with opened(lone_server, lone_server.worker_key) as client:
        yield client


@pytest.fixture
def admin(lone_server: LoneServer) -> Iterator[httpx.Client]:
    with opened(lone_server, lone_server.admin_key) as client:
        yield client


def claim(client: httpx.Client, study_id: int, **changes: Any) -> list[dict[str, Any]]:
    body = {"request_id": uuid.uuid4().hex, "worker_id": "theirs", "study_id": study_id} | changes
    attempts: list[dict[str, Any]] = client.post("/api/v1/claims", json=body).raise_for_status().json()["attempts"]
    return attempts


@pytest.fixture
def study(admin: httpx.Client) -> dict[str, Any]:
    made: dict[str, Any] = admin.post("/api/v1/studies", json=external()).raise_for_status().json()
    return made


def test_of_all_operations_it_may_use_twelve(worker: httpx.Client, admin: httpx.Client) -> None:
    document = admin.get("/api/v1/openapi.json").json()
    operations = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert operations >= OPEN_TO_WORKERS
    filled = {
        "study_id": "1",
        "number": "0",
        "attempt_id": ATTEMPT,
        "sha256": "0" * 64,
        "version": "1",
        "path": "log.txt",
    }

    for method, path in operations - {("GET", "/healthz"), ("GET", "/readyz")}:
        target = path
        for part in ("study_id", "number", "attempt_id", "sha256", "version", "path", "name", "worker_id", "method"):
            target = target.replace(f"{{{part}}}", filled.get(part, "x")).replace(f"{{{part}:path}}", "log.txt")
        status = worker.request(method, target).status_code
        assert (status != 403) == ((method, path) in OPEN_TO_WORKERS), (method, target, status)


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/claims/../studies",
        "/api/v1/claims/%2e%2e/studies",
        "/api/v1/claims%2f..%2fstudies",
        "/api/v1/workers/..%2fstudies",
        "/api/v1/workers/x/../../studies",
        "/api/v1//studies",
        "//api/v1/studies",
        "/api/v1/studies;/api/v1/claims",
        "/api/v1/optuna/get_all_studies",
        "/api/v1/openapi.json",
        "/mlflow/api/2.0/mlflow/runs/search",
        "/api/studies",
        "/dashboard/studies/1",
        "/static/x",
        "/csv/1",
        "/",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"])
def test_no_spelling_of_an_address_leads_elsewhere(worker: httpx.Client, method: str, target: str) -> None:
    request = worker.build_request(method, "/", headers={"X-HTTP-Method-Override": "GET", "X-Original-URL": "/healthz"})
    request.url = request.url.copy_with(raw_path=target.encode())

    assert worker.send(request).status_code in {403, 404}


def test_anothers_attempt_is_not_given_out_again(worker: httpx.Client, study: dict[str, Any]) -> None:
    (held,) = claim(worker, study["id"], worker_id="honest")

    for guess in ({"worker_id": "honest"}, {"worker_id": "hostile"}):
        assert held["attempt_id"] not in [each["attempt_id"] for each in claim(worker, study["id"], **guess)]
    for action in ("reports", "complete", "fail", "release"):
        body = {"reports": {}, "complete": {"metrics": {"y": -1}}, "fail": {"reason": "timeout"}, "release": None}[
            action
        ]
        assert worker.post(f"/api/v1/attempts/{uuid.uuid4()}/{action}", json=body).status_code == 409


def test_the_fence_holds_what_ended_stays(worker: httpx.Client, admin: httpx.Client, study: dict[str, Any]) -> None:
    (held,) = claim(worker, study["id"])
    attempt = f"/api/v1/attempts/{held['attempt_id']}"
    assert worker.post(f"{attempt}/complete", json={"metrics": {"y": 1.0}}).status_code == 200

    assert worker.post(f"{attempt}/complete", json={"metrics": {"y": -9.0}}).status_code == 409
    assert worker.post(f"{attempt}/fail", json={"reason": "timeout"}).status_code == 409
    assert worker.post(f"{attempt}/reports", json={"reports": [{"step": 1, "metrics": {"y": -9}}]}).status_code == 409
    assert admin.get(f"/api/v1/studies/{study['id']}/trials/0").json()["values"] == [1.0]


def test_a_name_does_not_speak_to_an_administrators_terminal(worker: httpx.Client, admin: httpx.Client) -> None:
    body = {
        "name": "[/bold] [link=http://evil.test]x[/link]",
        "version": "1",
        "slots": 1,
        "devices": ["[/]"],
        "trainers": [],
    }
    assert worker.put("/api/v1/workers/w1", json=body).status_code == 204
    for name in ("\x1b[2J", "\x9b2J", "a\nb", "a\0b"):
        assert worker.put("/api/v1/workers/w2", json=body | {"name": name}).status_code == 422

    assert [each["name"] for each in admin.get("/api/v1/workers").json()["items"]].count(body["name"]) == 1


def test_a_key_in_the_wrong_place_is_no_key(lone_server: LoneServer) -> None:
    key = lone_server.admin_key
    with httpx.Client(base_url=lone_server.url, trust_env=False) as http:
        for request in (
            {"params": {"key": key}},
            {"headers": {"X-Api-Key": key}},
            {"headers": {"Cookie": f"key={key}"}},
        ):
            assert http.get("/api/v1/studies", **request).status_code == 401
    assert key not in lone_server.log.read_text()
