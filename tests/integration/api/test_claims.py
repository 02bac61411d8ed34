"""Claims, reports and uploads over real HTTP: waiting without a thread, waking at once, taking plain files only."""

from __future__ import annotations

import io
import tarfile
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from tests.studying import external


def claim_body(**changes: Any) -> dict[str, Any]:
    return {"request_id": uuid.uuid4().hex, "worker_id": "w", "trainers": ["external"]} | changes


def test_a_waiting_claim_wakes_when_work_comes(http: httpx.Client) -> None:
    answers: list[dict[str, Any]] = []

    def wait() -> None:
        answers.append(http.post("/claims", json=claim_body(wait_s=20)).json())

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.3)  # the claim should be waiting by now; the test holds either way
    started = time.monotonic()
    http.post("/studies", json=external())
    waiting.join()

    assert len(answers[0]["attempts"]) == 1
    assert time.monotonic() - started < 10


def test_sixty_four_waiting_claims_leave_the_api_responsive(http: httpx.Client) -> None:
    limits = httpx.Limits(max_connections=200)
    headers = dict(http.headers)
    with httpx.Client(base_url=http.base_url, headers=headers, limits=limits, trust_env=False, timeout=60) as many:
        waiting = [
            threading.Thread(target=lambda: many.post("/claims", json=claim_body(wait_s=5)).raise_for_status())
            for _ in range(64)
        ]
        for thread in waiting:
            thread.start()
        slowest = 0.0
        for _ in range(20):
            started = time.monotonic()
            assert many.get("/studies").status_code == 200
            slowest = max(slowest, time.monotonic() - started)
        for thread in waiting:
            thread.join()

    assert slowest < 3  # with a thread held by each it is the whole of the waiting, 5 s


def test_a_worker_that_leaves_is_answered_at_once(http: httpx.Client) -> None:
    body = {"name": "n", "version": "1", "slots": 1, "devices": ["cpu"], "trainers": []}
    assert http.put("/workers/w", json=body).status_code == 204
    started = time.monotonic()
    waiting = threading.Thread(target=lambda: http.post("/claims", json=claim_body(wait_s=30)).raise_for_status())
    waiting.start()
    time.sleep(0.3)

    assert http.delete("/workers/w").status_code == 204
    waiting.join()

    assert time.monotonic() - started < 20
    assert http.get("/workers").json()["items"][0]["alive"] is False


@pytest.fixture
def attempt_id(http: httpx.Client) -> str:
    http.post("/studies", json=external())
    return str(http.post("/claims", json=claim_body()).json()["attempts"][0]["attempt_id"])


def test_reports_are_stored_and_answered_with_the_lease(http: httpx.Client, attempt_id: str) -> None:
    body = {"reports": [{"step": 1, "metrics": {"y": 0.5}, "age_s": 100.0}]}

    answer = http.post(f"/attempts/{attempt_id}/reports", json=body)

    assert answer.json() == {"decision": "continue", "lease_s": 30.0, "log_bytes": None}
    stored = http.get("/studies/1/trials/0/reports").json()["items"]
    assert stored[0]["metrics"] == {"y": 0.5}


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", '"x"', '"1"', "true", "null"])
def test_metrics_are_finite_numbers(http: httpx.Client, attempt_id: str, value: str) -> None:
    for path, body in (
        ("reports", f'{{"reports": [{{"step": 1, "metrics": {{"y": {value}}}}}]}}'),
        ("complete", f'{{"metrics": {{"y": {value}}}}}'),
    ):
        refused = http.post(
            f"/attempts/{attempt_id}/{path}", content=body, headers={"Content-Type": "application/json"}
        )
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"].endswith("/metrics/y")


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def member(name: str, type_: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type_, link
    return info


def test_files_are_uploaded_listed_and_read_back(http: httpx.Client, attempt_id: str) -> None:
    files = tar((member("model/MLmodel"), b"flavors"), (member("log.txt"), b"hello"))

    assert http.post(f"/attempts/{attempt_id}/artifacts", content=files).status_code == 201
    assert http.post(f"/attempts/{attempt_id}/artifacts", content=files).status_code == 201

    listed = http.get("/studies/1/trials/0/artifacts").json()["items"]
    assert [(file["path"], file["size_bytes"]) for file in listed] == [("log.txt", 5), ("model/MLmodel", 7)]
    assert http.get("/studies/1/trials/0/artifacts/log.txt").content == b"hello"
    assert http.get("/studies/1/trials/0/artifacts/nothing").status_code == 404
    assert http.get("/studies/1/trials/0/artifacts/../../../../etc/passwd").status_code == 404


def test_an_upload_on_its_way_keeps_the_lease(http: httpx.Client, engine: Engine, attempt_id: str) -> None:
    whole = tar((member("model"), b"x" * 100))
    with engine.begin() as connection:
        connection.execute(text("update tuner.attempts set lease_s = 0.001"))
    leases: list[Any] = []

    def slowly() -> Iterator[bytes]:
        for start in range(0, len(whole), 2_000):
            with engine.begin() as connection:
                leases.append(connection.execute(text("select lease_until from tuner.attempts")).scalar_one())
            yield whole[start : start + 2_000]
            time.sleep(0.05)

    sent = http.post(f"/attempts/{attempt_id}/artifacts", content=slowly())

    assert sent.status_code == 201
    assert len(set(leases)) > 2


@pytest.mark.parametrize(
    "body",
    [
        b"not a tar",
        b"",
        tar((member("../evil"), b"x")),
        tar((member("/etc/evil"), b"x")),
        tar((member("a/../../evil"), b"x")),
        tar((member("link", tarfile.SYMTYPE, "/etc/passwd"), b"")),
        tar((member("hard", tarfile.LNKTYPE, "/etc/passwd"), b"")),
        tar((member("dev", tarfile.CHRTYPE), b"")),
        tar((member("x" * 1000), b"x")),
        tar((member("x" * 300), b"x")),
        tar((member("a"), b"x"), (member("a/b"), b"x")),
        tar((member("a"), b"x"), (member("a"), b"x")),
        tar((member("."), b"x")),
        tar((member("a\nb"), b"x")),
        tar((member("sparse", tarfile.GNUTYPE_SPARSE), b"x")),
    ],
)
def test_only_plain_files_are_taken(http: httpx.Client, attempt_id: str, body: bytes) -> None:
    refused = http.post(f"/attempts/{attempt_id}/artifacts", content=body)

    assert refused.status_code == 422
    assert http.get("/studies/1/trials/0/artifacts").json()["items"] == []


def test_a_second_upload_replaces_the_first(http: httpx.Client, attempt_id: str) -> None:
    http.post(f"/attempts/{attempt_id}/artifacts", content=tar((member("a"), b"x")))
    http.post(f"/attempts/{attempt_id}/artifacts", content=tar((member("b"), b"x")))

    assert [file["path"] for file in http.get("/studies/1/trials/0/artifacts").json()["items"]] == ["b"]
    assert http.get("/studies/1/trials/0/artifacts/a").status_code == 404


@pytest.mark.parametrize(
    ("study_id", "status"), [(999, 404), (2**63, 422), (10**30, 422), ("1", 422), (True, 422), (-1, 422)]
)
def test_a_claim_of_a_study_that_is_not_there_is_refused(http: httpx.Client, study_id: Any, status: int) -> None:
    assert http.post("/claims", json=claim_body(study_id=study_id, wait_s=20)).status_code == status


def test_figures_are_drawn_on_demand(http: httpx.Client, engine: Engine, attempt_id: str) -> None:
    assert attempt_id
    assert http.post("/studies/1/trials/0/figures").status_code == 202
    assert http.post("/studies/1/trials/9/figures").status_code == 404
    with engine.begin() as connection:
        asked = text("select figures_at = '1970-01-01 00:00:00+00' from tuner.trials")
        assert connection.execute(asked).scalar_one()


def test_nul_is_refused_everywhere(http: httpx.Client) -> None:
    assert http.get("/studies", params={"name": "\0"}).status_code == 422
    assert http.get("/studies", params={"tag": "\0:a"}).status_code == 422
    worker = {"name": "a\0b", "version": "1", "slots": 1, "devices": ["cpu"], "trainers": []}
    assert http.put("/workers/w", json=worker).status_code == 422


def test_files_of_an_attempt_that_is_over_are_not_taken(http: httpx.Client, attempt_id: str) -> None:
    http.post("/studies/1/cancel")

    refused = http.post(f"/attempts/{attempt_id}/artifacts", content=tar((member("a"), b"x")))

    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:tuner:problem:stale-attempt"
