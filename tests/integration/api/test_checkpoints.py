"""Checkpoints over REST: fenced, checked, two kept, given to the next attempt alone, removed when the trial ends."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from sqlalchemy import Engine, text

from tests.studying import claim, complete, fail, report, submit
from tuner import attempts, checkpoints, drafts, lifecycle, studies, trial_views
from tuner.domain.errors import TooLargeError
from tuner.maintenance import leftovers as duty
from tuner.maintenance import reap
from tuner.wire_attempts import ClaimedAttempt


def put(http: httpx.Client, attempt: ClaimedAttempt, step: int, content: bytes, /, **changes: Any) -> httpx.Response:
    said = {"step": step, "sha256": hashlib.sha256(content).hexdigest()} | changes
    return http.put(f"/attempts/{attempt.attempt_id}/checkpoint", params=said, content=content)


def stored(tmp_path: Path) -> list[str]:
    """Every file of every trial, drafts too."""
    return sorted(path.name for path in (tmp_path / "artifacts" / "checkpoints").rglob("*") if path.is_file())


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def store(http: httpx.Client, tmp_path: Path) -> Path:
    """The artifact folder of the control plane behind `http`."""
    return tmp_path / "artifacts"


def test_the_newest_two_are_kept_and_the_next_attempt_is_told_of_them(
    engine: Engine, http: httpx.Client, store: Path, tmp_path: Path
) -> None:
    submit(engine)
    first = claim(engine)[0]
    assert first.checkpoints == []
    for step, content in ((1, b"one"), (4, b"four"), (9, b"nine")):
        answer = put(http, first, step, content, fold=2)
        assert answer.status_code == 204, answer.text
    attempts.release(engine, first.attempt_id)

    second = claim(engine)[0]

    assert [(each.fold, each.step, each.sha256, each.size_bytes) for each in second.checkpoints] == [
        (2, 9, digest(b"nine"), 4),
        (2, 4, digest(b"four"), 4),
    ]
    assert stored(tmp_path) == sorted([digest(b"nine"), digest(b"four")])
    for content in (b"nine", b"four"):
        got = http.get(f"/attempts/{second.attempt_id}/checkpoints/{digest(content)}")
        assert (got.status_code, got.content) == (200, content)


def test_the_same_file_sent_again_is_one_checkpoint(engine: Engine, http: httpx.Client, tmp_path: Path) -> None:
    submit(engine)
    attempt = claim(engine)[0]

    assert [put(http, attempt, 3, b"three").status_code for _ in range(3)] == [204, 204, 204]

    attempts.release(engine, attempt.attempt_id)
    assert [each.step for each in claim(engine)[0].checkpoints] == [3]
    assert stored(tmp_path) == [digest(b"three")]


def test_other_bytes_than_announced_are_refused_and_nothing_is_kept(
    engine: Engine, http: httpx.Client, tmp_path: Path
) -> None:
    submit(engine)
    attempt = claim(engine)[0]

    answer = put(http, attempt, 1, b"cut of", sha256=digest(b"cut off"))

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/sha256"
    assert stored(tmp_path) == []
    attempts.release(engine, attempt.attempt_id)
    assert claim(engine)[0].checkpoints == []


def test_a_zombie_neither_saves_nor_reads_nor_tells(engine: Engine, http: httpx.Client, tmp_path: Path) -> None:
    submit(engine)
    zombie = claim(engine)[0]
    put(http, zombie, 1, b"one")
    with engine.begin() as connection:
        connection.execute(text("update tuner.attempts set lease_until = now() - interval '1 s'"))
    assert reap.run_once(engine).expired == 1
    heir = claim(engine)[0]
    assert heir.trial == zombie.trial

    answers = [
        put(http, zombie, 2, b"two"),
        http.get(f"/attempts/{zombie.attempt_id}/checkpoints/{digest(b'one')}"),
        http.post(f"/attempts/{zombie.attempt_id}/resumed", json={"step": 1}),
    ]

    assert [answer.status_code for answer in answers] == [409, 409, 409]
    assert {answer.json()["type"].rpartition(":")[2] for answer in answers} == {"stale-attempt"}
    assert stored(tmp_path) == [digest(b"one")]
    assert put(http, heir, 2, b"two of the heir").status_code == 204


def test_an_attempt_that_ends_while_it_sends_is_not_listened_to(engine: Engine, tmp_path: Path) -> None:
    """The fence is in the transaction that keeps the file, and not only at the door."""
    submit(engine)
    attempt = claim(engine)[0]

    async def stream() -> AsyncIterator[bytes]:
        yield b"on"
        await anyio.to_thread.run_sync(attempts.release, engine, attempt.attempt_id)
        yield b"e"

    announced = checkpoints.Announced(0, 1, digest(b"one"))
    with pytest.raises(attempts.StaleAttemptError):
        anyio.run(checkpoints.receive, engine, tmp_path / "artifacts", attempt.attempt_id, announced, stream(), 100, 0)

    assert stored(tmp_path) == []
    assert claim(engine)[0].checkpoints == []


def test_one_that_is_too_large_is_refused(engine: Engine, tmp_path: Path) -> None:
    submit(engine)
    attempt = claim(engine)[0]

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 50

    announced = checkpoints.Announced(0, 1, digest(b"x" * 150))
    with pytest.raises(TooLargeError):
        anyio.run(checkpoints.receive, engine, tmp_path / "artifacts", attempt.attempt_id, announced, stream(), 149, 0)

    assert stored(tmp_path) == []


def test_another_trials_checkpoint_is_not_given(engine: Engine, http: httpx.Client) -> None:
    submit(engine)
    one, other = claim(engine, slots=2)
    put(http, one, 1, b"one")

    answer = http.get(f"/attempts/{other.attempt_id}/checkpoints/{digest(b'one')}")

    assert answer.status_code == 404


def test_a_checkpoint_whose_file_is_gone_is_not_found(engine: Engine, http: httpx.Client, store: Path) -> None:
    submit(engine)
    attempt = claim(engine)[0]
    put(http, attempt, 1, b"one")
    next(store.rglob(digest(b"one"))).unlink()

    assert http.get(f"/attempts/{attempt.attempt_id}/checkpoints/{digest(b'one')}").status_code == 404


def test_a_workers_key_does_and_no_key_does_not(engine: Engine, http: httpx.Client) -> None:
    submit(engine)
    attempt = claim(engine)[0]
    path = f"/attempts/{attempt.attempt_id}"
    said = {"step": 1, "sha256": digest(b"one")}

    http.headers["Authorization"] = "Bearer worker-key-for-this-test-only"
    assert http.put(f"{path}/checkpoint", params=said, content=b"one").status_code == 204
    assert http.get(f"{path}/checkpoints/{digest(b'one')}").content == b"one"
    assert http.post(f"{path}/resumed", json={"step": 1}).status_code == 204
    del http.headers["Authorization"]
    assert http.put(f"{path}/checkpoint", params=said, content=b"one").status_code == 401


@pytest.mark.parametrize(
    "said", [{"step": -1}, {"step": "x"}, {"sha256": "../../../etc/passwd"}, {"sha256": "A" * 64}, {"fold": -1}]
)
def test_what_makes_no_sense_is_refused_with_a_pointer(
    engine: Engine, http: httpx.Client, said: dict[str, Any]
) -> None:
    submit(engine)
    answer = put(http, claim(engine)[0], 1, b"one", **said)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == f"/{next(iter(said))}"


def test_what_an_attempt_went_on_from_is_shown(engine: Engine, http: httpx.Client) -> None:
    study_id = submit(engine)
    attempt = claim(engine)[0]

    http.post(f"/attempts/{attempt.attempt_id}/resumed", json={"step": 12}).raise_for_status()

    with engine.begin() as connection:
        assert trial_views.trial(connection, study_id, 0).attempts[0].resumed_from_step == 12


def test_bytes_that_arrive_keep_the_lease(engine: Engine, http: httpx.Client) -> None:
    submit(engine)
    attempt = claim(engine)[0]
    with engine.begin() as connection:
        connection.execute(text("update tuner.attempts set lease_until = now() + interval '1 s'"))

    put(http, attempt, 1, b"one")

    with engine.begin() as connection:
        left = connection.execute(text("select lease_until > now() + interval '10 s' from tuner.attempts"))
        assert left.scalar_one()


# ---- the end ---------------------------------------------------------------------------------------------------------


def end_complete(engine: Engine, attempt: ClaimedAttempt) -> None:
    complete(engine, attempt, 1.0)


def end_failed(engine: Engine, attempt: ClaimedAttempt) -> None:
    fail(engine, attempt)


def end_cancelled(engine: Engine, attempt: ClaimedAttempt) -> None:
    lifecycle.cancel(engine, attempt.study_id)


def end_deleted(engine: Engine, attempt: ClaimedAttempt) -> None:
    lifecycle.cancel(engine, attempt.study_id)
    studies.delete(engine, attempt.study_id)


@pytest.mark.parametrize("end", [end_complete, end_failed, end_cancelled, end_deleted])
def test_they_are_removed_when_the_trial_ends_and_not_before(
    engine: Engine, http: httpx.Client, store: Path, tmp_path: Path, end: Any
) -> None:
    submit(engine)
    attempt = claim(engine)[0]
    submit(engine)
    running = next(each for each in claim(engine, slots=9) if each.study_id != attempt.study_id)
    put(http, attempt, 1, b"one")
    put(http, running, 1, b"another")

    assert duty.run_once(engine, store) == 0
    assert len(stored(tmp_path)) == 2
    end(engine, attempt)
    assert duty.run_once(engine, store) == 1

    assert stored(tmp_path) == [digest(b"another")]
    assert len(list((store / "checkpoints").iterdir())) == 1
    with engine.begin() as connection:
        assert connection.execute(text("select count(*) from tuner.checkpoints")).scalar_one() == 1
    assert duty.run_once(engine, store) == 0


def test_a_trial_that_waits_keeps_them(engine: Engine, http: httpx.Client, store: Path, tmp_path: Path) -> None:
    submit(engine)
    attempt = claim(engine)[0]
    put(http, attempt, 1, b"one")
    fail(engine, attempt, "child-died")

    duty.run_once(engine, store)

    assert stored(tmp_path) == [digest(b"one")]
    assert [each.step for each in claim(engine)[0].checkpoints] == [1]


def test_halves_of_uploads_go_once_their_attempt_has_ended(engine: Engine, store: Path) -> None:
    submit(engine)
    live, over = claim(engine, slots=2)
    fail(engine, over, "child-died")
    foreign = store / "attempts" / ".DS_Store"
    of_files, of_checkpoints = (
        {owner: drafts.path(store / folder, owner) for owner in (live.attempt_id, over.attempt_id, uuid.uuid4())}
        for folder in ("attempts", "checkpoints")
    )
    for draft in of_files.values():
        (draft / "model").mkdir(parents=True)
    for draft in (*of_checkpoints.values(), foreign):
        draft.parent.mkdir(exist_ok=True)
        draft.write_bytes(b"half")

    assert duty.run_once(engine, store) == 4

    left = {path for folder in ("attempts", "checkpoints") for path in (store / folder).iterdir()}
    assert left == {of_files[live.attempt_id], of_checkpoints[live.attempt_id], foreign}


def test_reports_of_steps_done_again_change_nothing(engine: Engine, http: httpx.Client) -> None:
    study_id = submit(engine)
    first = claim(engine)[0]
    for step in (1, 2, 3):
        report(engine, first, step, float(step))
    put(http, first, 2, b"two")
    attempts.release(engine, first.attempt_id)
    second = claim(engine)[0]

    for step in (3, 4):
        report(engine, second, step, 10.0 * step)

    with engine.begin() as connection:
        shown = trial_views.reports(connection, study_id, 0)
    assert [(each.step, each.metrics["y"]) for each in shown] == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0)]
