"""Logs of trials over real HTTP and PostgreSQL: piece by piece while one runs, kept whatever becomes of it, bounded."""

from __future__ import annotations

import io
import tarfile
import uuid
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, func, select, text

from tests.studying import claim, complete, fail, submit
from tuner.maintenance import reap
from tuner.store import logs
from tuner.store.tables import log_chunks


def send(http: httpx.Client, attempt_id: uuid.UUID, position: int, printed: str) -> int:
    body = {"log": {"position": position, "text": printed}}
    answer = http.post(f"/attempts/{attempt_id}/reports", json=body).raise_for_status()
    return int(answer.json()["log_bytes"])


def get(http: httpx.Client, study_id: int, number: int = 0, **params: Any) -> httpx.Response:
    return http.get(f"/studies/{study_id}/trials/{number}/logs", params=params).raise_for_status()


def upload(http: httpx.Client, attempt_id: uuid.UUID, log: bytes) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("log.txt")
        member.size = len(log)
        archive.addfile(member, io.BytesIO(log))
    http.post(f"/attempts/{attempt_id}/artifacts", content=packed.getvalue()).raise_for_status()


def stored(engine: Engine) -> int:
    with engine.begin() as connection:
        return int(connection.execute(select(func.count()).select_from(log_chunks)).scalar_one())


def test_a_log_is_followed_from_its_first_piece_into_the_uploaded_file(engine: Engine, http: httpx.Client) -> None:
    study_id = submit(engine)
    attempt = claim(engine)[0]
    empty = get(http, study_id)
    assert (empty.text, empty.headers["Log-Next"], empty.headers["Log-Ended"]) == ("", "0", "false")

    assert send(http, attempt.attempt_id, 0, "één\n") == 6
    first = get(http, study_id)
    assert (first.text, first.headers["Log-Next"], first.headers["Log-Attempt"]) == ("één\n", "6", "1")
    assert first.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert send(http, attempt.attempt_id, 6, "two\n") == 10
    assert get(http, study_id, after=6).text == "two\n"

    upload(http, attempt.attempt_id, "één\ntwo\nthree\n".encode())
    assert stored(engine) == 0
    complete(engine, attempt, 1.0)
    rest = get(http, study_id, after=10)
    assert (rest.text, rest.headers["Log-Next"], rest.headers["Log-Ended"]) == ("three\n", "16", "true")
    assert get(http, study_id).text == "één\ntwo\nthree\n"


def test_a_piece_sent_again_is_stored_once_and_one_out_of_place_is_not_taken(
    engine: Engine, http: httpx.Client
) -> None:
    study_id = submit(engine)
    attempt = claim(engine)[0]
    assert send(http, attempt.attempt_id, 0, "one\n") == 4
    assert send(http, attempt.attempt_id, 0, "one\n") == 4
    assert send(http, attempt.attempt_id, 0, "one\ntwo\n") == 8
    assert send(http, attempt.attempt_id, 0, "one\n") == 8
    assert send(http, attempt.attempt_id, 100, "a gap\n") == 8
    assert send(http, attempt.attempt_id, 3, "overlap and more\n") == 8

    assert get(http, study_id).text == "one\ntwo\n"


def test_the_newest_part_of_a_long_log_is_kept_while_it_runs(engine: Engine, http: httpx.Client) -> None:
    study_id = submit(engine)
    attempt = claim(engine)[0]
    line, sent = "x" * 65_535 + "\n", 0
    for _ in range(20):
        sent = send(http, attempt.attempt_id, sent, line)

    kept = get(http, study_id)
    assert len(kept.content) == logs.MAX_BYTES
    assert kept.headers["Log-Next"] == str(sent) == str(20 * 65_536)
    assert get(http, study_id, after=sent - 3).text == "xx\n"


def test_logs_of_attempts_that_failed_or_were_lost_stay(engine: Engine, http: httpx.Client) -> None:
    study_id = submit(engine)
    lost = claim(engine)[0]
    send(http, lost.attempt_id, 0, "was lost\n")
    with engine.begin() as connection:
        connection.execute(text("update tuner.attempts set lease_until = now() - interval '1 s'"))
    reap.run_once(engine)
    waiting = get(http, study_id)
    assert (waiting.text, waiting.headers["Log-Ended"]) == ("was lost\n", "true")

    failed = claim(engine)[0]
    assert failed.trial == lost.trial
    send(http, failed.attempt_id, 0, "will fail\n")
    fail(engine, failed)

    assert get(http, study_id).text == "will fail\n"
    assert get(http, study_id).headers["Log-Attempt"] == "2"
    assert get(http, study_id, attempt=1).text == "was lost\n"


def test_a_stale_attempt_writes_no_log(engine: Engine, http: httpx.Client) -> None:
    submit(engine)
    attempt = claim(engine)[0]
    complete(engine, attempt, 1.0)

    body = {"log": {"position": 0, "text": "a zombie\n"}}
    assert http.post(f"/attempts/{attempt.attempt_id}/reports", json=body).status_code == 409
    assert stored(engine) == 0


@pytest.mark.parametrize(
    "log",
    [
        {"position": -1, "text": "x"},
        {"position": 0, "text": "x" * 65_537},
        {"position": 0, "text": "a\0b"},
        {"position": 0},
    ],
)
def test_a_log_out_of_shape_is_refused(engine: Engine, http: httpx.Client, log: dict[str, Any]) -> None:
    submit(engine)
    attempt = claim(engine)[0]

    refused = http.post(f"/attempts/{attempt.attempt_id}/reports", json={"log": log})

    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"].startswith("/log")


def test_what_is_not_there_is_404_and_a_deleted_study_takes_its_logs_along(engine: Engine, http: httpx.Client) -> None:
    study_id = submit(engine, budget={"trials": 1})
    attempt = claim(engine)[0]
    send(http, attempt.attempt_id, 0, "some\n")
    assert http.get(f"/studies/{study_id}/trials/7/logs").status_code == 404
    assert http.get(f"/studies/{study_id}/trials/0/logs", params={"attempt": 9}).status_code == 404
    complete(engine, attempt, 1.0)
    assert stored(engine) == 1

    http.delete(f"/studies/{study_id}").raise_for_status()

    assert stored(engine) == 0
