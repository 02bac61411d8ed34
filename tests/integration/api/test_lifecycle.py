"""A study's lifecycle over real HTTP: answers, refusals with pointers and cures, keys, and claims that wake up."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from tests.auditor import audit
from tests.integration.conftest import ADMIN
from tests.studying import claim, complete, external, fail
from tuner.client import Client


def submitted(http: httpx.Client, **changes: Any) -> dict[str, Any]:
    return http.post("/studies", json=external(**changes)).raise_for_status().json()  # type: ignore[no-any-return]


def test_answers_carry_the_study(http: httpx.Client, engine: Engine) -> None:
    study = submitted(http, budget={"trials": 2})
    base = f"/studies/{study['id']}"
    fail(engine, claim(engine, study["id"])[0])

    assert http.post(f"{base}/pause").json()["state"] == "paused"
    assert http.post(f"{base}/pause").status_code == 200
    assert http.post(f"{base}/resume").json()["state"] == "running"
    changed = http.patch(base, json={"priority": 7, "max_parallel": 2}).json()
    assert (changed["priority"], changed["max_parallel"]) == (7, 2)
    assert changed["spec"]["priority"] == 0, "the spec is what was submitted"
    assert http.patch(base, json={"max_parallel": None}).json()["max_parallel"] is None
    assert http.post(f"{base}/extend", json={"trials": 3}).json()["progress"]["budget"] == 5
    retried = http.post(f"{base}/retry", json={}).json()
    assert (retried["numbers"], retried["study"]["progress"]["budget"]) == ([1], 6)
    assert http.get(f"{base}/trials/1").json()["retry_of"] == 0
    assert [trial["retry_of"] for trial in http.get(f"{base}/trials").json()["items"]] == [None, 0]
    assert http.post(f"{base}/cancel").json()["state"] == "cancelled"
    assert http.get("/studies", params={"state": "paused"}).json()["items"] == []
    audit(engine)


@pytest.mark.parametrize(
    ("method", "path", "body", "pointer"),
    [
        ("POST", "/extend", {}, ""),
        ("POST", "/extend", {"trials": 0}, "/trials"),
        ("POST", "/extend", {"trials": "many"}, "/trials"),
        ("POST", "/extend", {"hours": -1}, "/hours"),
        ("POST", "/extend", {"hours": 2}, "/hours"),
        ("POST", "/extend", {"epochs": 2}, "/epochs"),
        ("POST", "/retry", {"trials": []}, "/trials"),
        ("POST", "/retry", {"trials": [5]}, "/trials/0"),
        ("POST", "/retry", {"trials": [-1]}, "/trials/0"),
        ("PATCH", "", {}, ""),
        ("PATCH", "", {"max_parallel": 0}, "/max_parallel"),
        ("PATCH", "", {"priority": None}, "/priority"),
        ("PATCH", "", {"name": "new"}, "/name"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_pointer(
    http: httpx.Client, method: str, path: str, body: dict[str, Any], pointer: str
) -> None:
    study = submitted(http)

    refused = http.request(method, f"/studies/{study['id']}{path}", json=body)

    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
    assert pointer in [error["pointer"] for error in refused.json()["errors"]]
    assert http.get(f"/studies/{study['id']}").json() == study


def test_the_wrong_state_is_a_409_with_the_cure(http: httpx.Client, engine: Engine) -> None:
    study = submitted(http, budget={"trials": 1})
    complete(engine, claim(engine, study["id"])[0], 1.0)

    refused = http.post(f"/studies/{study['id']}/pause")

    assert (refused.status_code, refused.json()["type"]) == (409, "urn:tuner:problem:wrong-state")
    assert "extend it" in refused.json()["detail"]
    assert http.post("/studies/999999/pause").status_code == 404
    assert http.post("/studies/999999/extend", json={"trials": 1}).status_code == 404


def test_a_key_belongs_to_one_request(http: httpx.Client, engine: Engine) -> None:
    study = submitted(http)
    base, key = f"/studies/{study['id']}", {"Idempotency-Key": "k"}

    answers = [http.post(f"{base}/extend", json={"trials": 2}, headers=key).json() for _ in range(3)]

    assert [answer["progress"]["budget"] for answer in answers] == [7, 7, 7]
    for path, body in (("/extend", {"trials": 1}), ("/retry", {})):
        refused = http.post(f"{base}{path}", json=body, headers=key)
        assert (refused.status_code, refused.json()["type"]) == (422, "urn:tuner:problem:idempotency-mismatch")
    assert http.post("/studies", json=external(), headers=key).status_code == 422
    audit(engine)


@pytest.mark.parametrize("how", ["resume", "extend", "retry", "change"])
def test_a_claim_that_waits_wakes_up(http: httpx.Client, engine: Engine, how: str) -> None:
    study = submitted(http, budget={"trials": 2, "max_parallel": 1})
    base = f"/studies/{study['id']}"
    first = claim(engine, study["id"])[0]
    if how == "resume":
        complete(engine, first, 1.0)
        http.post(f"{base}/pause")
    elif how in {"extend", "retry"}:
        fail(engine, first)
        complete(engine, claim(engine, study["id"])[0], 1.0)
    got: list[Any] = []
    body = {"request_id": "r", "worker_id": "waiter", "trainers": ["external"], "wait_s": 30}
    waiting = threading.Thread(target=lambda: got.extend(http.post("/claims", json=body).json()["attempts"]))
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive()

    asked = {
        "resume": lambda: http.post(f"{base}/resume"),
        "extend": lambda: http.post(f"{base}/extend", json={"trials": 1}),
        "retry": lambda: http.post(f"{base}/retry", json={}),
        "change": lambda: http.patch(base, json={"max_parallel": 2}),
    }[how]()

    assert asked.status_code == 200
    waiting.join(25)
    assert not waiting.is_alive()
    assert len(got) == 1
    audit(engine)


def test_the_client_has_all_of_it(http: httpx.Client, engine: Engine) -> None:
    with Client(f"{http.base_url.scheme}://{http.base_url.netloc.decode()}", ADMIN) as client:
        study = client.submit(external(budget={"trials": 2}))
        fail(engine, claim(engine, study.id)[0])

        assert client.pause(study.id).state == "paused"
        assert client.resume(study.id).state == "running"
        assert client.extend(study.id, trials=2).progress.budget == 4
        assert client.retry(study.id, [0]).numbers == [1]
        changed = client.change(study.id, priority=3, max_parallel=None)
        assert (changed.priority, changed.max_parallel, changed.progress.budget) == (3, None, 5)
        assert client.cancel(study.id).state == "cancelled"
