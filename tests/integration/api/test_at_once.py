"""The same submission fifty times at once, over real HTTP: one study."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.studying import external

TIMES = 50


def at_once(http: httpx.Client, bodies: list[dict[str, Any]], headers: dict[str, str]) -> list[httpx.Response]:
    """Sends each body from a thread of its own, all released together."""
    together = threading.Barrier(len(bodies))
    limits = httpx.Limits(max_connections=len(bodies))
    with httpx.Client(
        base_url=http.base_url, headers=http.headers, limits=limits, trust_env=False, timeout=120
    ) as many:

        def submit(body: dict[str, Any]) -> httpx.Response:
            together.wait()
            return many.post("/studies", json=body, headers=headers)

        with ThreadPoolExecutor(len(bodies)) as pool:
            return list(pool.map(submit, bodies))


def test_the_same_key_is_one_study_and_belongs_to_one_body(http: httpx.Client) -> None:
    key = {"Idempotency-Key": "once"}

    answers = at_once(http, [external(name="once")] * TIMES, key)

    assert [answer.status_code for answer in answers] == [201] * TIMES
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert [study["name"] for study in http.get("/studies").json()["items"]] == ["once"]
    other = http.post("/studies", json=external(name="another"), headers=key)
    assert other.status_code == 422
    assert other.json()["type"] == "urn:tuner:problem:idempotency-mismatch"
    assert len(http.get("/studies").json()["items"]) == 1


def test_two_bodies_with_one_key_are_one_study_and_refusals_of_the_other(http: httpx.Client) -> None:
    bodies = [external(name=name) for name in ("a", "b")] * (TIMES // 2)

    answers = at_once(http, bodies, {"Idempotency-Key": "either"})

    (study,) = http.get("/studies").json()["items"]
    for body, answer in zip(bodies, answers, strict=True):
        assert answer.status_code == (201 if body["name"] == study["name"] else 422)
    assert Counter(answer.status_code for answer in answers) == {201: TIMES // 2, 422: TIMES // 2}


def test_fifty_studies_of_one_name_are_one_and_forty_nine_refusals(http: httpx.Client) -> None:
    answers = at_once(http, [external(name="taken", priority=i) for i in range(TIMES)], {})

    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: TIMES - 1}
    refused = {answer.json()["type"] for answer in answers if answer.status_code == 409}
    assert refused == {"urn:tuner:problem:name-taken"}
    assert len(http.get("/studies").json()["items"]) == 1
