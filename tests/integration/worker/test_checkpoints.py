"""The agent's checkpoints against a real control plane: the good one is fetched, the newest is sent, in its turn."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.acceptance.waiting import until
from tests.studying import claim, submit
from tuner import attempts
from tuner.client import Client
from tuner.wire_attempts import ClaimedAttempt
from tuner.worker.checkpoints import Checkpoints
from tuner.worker.messages import Resumed, Saved


@pytest.fixture
def attempt(engine: Engine) -> ClaimedAttempt:
    submit(engine)
    return claim(engine)[0]


def saved(folder: Path, step: int, content: bytes) -> Saved:
    file = folder / f"{step}.checkpoint"
    file.write_bytes(content)
    return Saved(fold=0, step=step, file=str(file), sha256=hashlib.sha256(content).hexdigest())


def steps(engine: Engine) -> list[int]:
    with engine.begin() as connection:
        return list(connection.execute(text("select step from tuner.checkpoints order by id")).scalars())


@pytest.fixture
def sent_by_first(engine: Engine, client: Client, attempt: ClaimedAttempt, tmp_path: Path) -> ClaimedAttempt:
    """The second attempt at a trial whose first has sent `one` and `two`."""
    (tmp_path / "by-first").mkdir()
    for step, content in ((1, b"one"), (2, b"two")):
        message = saved(tmp_path / "by-first", step, content)
        client.save_checkpoint(attempt.attempt_id, 0, step, message.sha256, Path(message.file))
    attempts.release(engine, attempt.attempt_id)
    return claim(engine)[0]


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ({}, b"two"),
        ({"two": b"tow"}, b"one"),
        ({"two": b""}, b"one"),
        ({"two": None}, b"one"),
        ({"one": b"x", "two": b"x"}, None),
        ({"one": None, "two": None}, None),
    ],
)
def test_the_newest_good_one_is_fetched(
    client: Client,
    sent_by_first: ClaimedAttempt,
    tmp_path: Path,
    damage: dict[str, bytes | None],
    expected: bytes | None,
) -> None:
    for name, content in damage.items():
        stored = next((tmp_path / "artifacts").rglob(hashlib.sha256(name.encode()).hexdigest()))
        stored.unlink() if content is None else stored.write_bytes(content)
    kept = Checkpoints(client, sent_by_first, tmp_path / "folder")

    file = kept.fetch().result(30)

    assert (None if file is None else file.read_bytes()) == expected
    kept.forget()
    assert not (tmp_path / "folder").exists()


def test_a_trial_without_checkpoints_begins_at_the_beginning(
    client: Client, attempt: ClaimedAttempt, tmp_path: Path
) -> None:
    assert Checkpoints(client, attempt, tmp_path / "folder").fetch().result(30) is None


def test_nothing_is_sent_before_the_reports_are_in(
    engine: Engine, client: Client, attempt: ClaimedAttempt, tmp_path: Path
) -> None:
    kept = Checkpoints(client, attempt, tmp_path / "folder")
    kept.take(saved(kept.folder, 3, b"three"))
    assert kept._thread is None

    kept.send()

    until(lambda: steps(engine) == [3], "it is sent")
    kept.forget()


def test_of_those_that_wait_the_newest_is_sent_and_finish_waits_for_it(
    engine: Engine, client: Client, attempt: ClaimedAttempt, tmp_path: Path
) -> None:
    kept = Checkpoints(client, attempt, tmp_path / "folder")
    kept.take(saved(kept.folder, 1, b"one"))
    kept.send()
    until(lambda: steps(engine) == [1], "the first is sent")
    for step in (2, 3, 4):  # while the thread pauses
        kept.take(saved(kept.folder, step, str(step).encode()))
        kept.send()

    kept.finish(30)

    assert steps(engine)[-1] == 4
    with engine.begin() as connection:  # one of the others at most, where the pause was over by then
        assert connection.execute(text("select max(id) from tuner.checkpoints")).scalar_one() < 4
    kept.forget()


def test_a_file_that_the_training_process_has_removed_is_no_error(
    engine: Engine, client: Client, attempt: ClaimedAttempt, tmp_path: Path
) -> None:
    kept = Checkpoints(client, attempt, tmp_path / "folder")
    gone = saved(kept.folder, 1, b"one")
    Path(gone.file).unlink()
    kept.take(gone)
    kept.finish(30)
    kept.take(saved(kept.folder, 2, b"two"))
    kept.finish(30)

    assert steps(engine) == [2]
    kept.forget()


def test_a_refusal_ends_nothing(engine: Engine, client: Client, attempt: ClaimedAttempt, tmp_path: Path) -> None:
    attempts.release(engine, attempt.attempt_id)
    kept = Checkpoints(client, attempt, tmp_path / "folder")
    kept.take(saved(kept.folder, 1, b"one"))

    kept.finish(30)

    assert steps(engine) == []
    kept.forget()


def test_that_it_goes_on_is_told(engine: Engine, client: Client, attempt: ClaimedAttempt, tmp_path: Path) -> None:
    kept = Checkpoints(client, attempt, tmp_path / "folder")

    kept.resumed(Resumed(fold=0, step=7))

    def told() -> bool:
        with engine.begin() as connection:
            return connection.execute(text("select resumed_from_step from tuner.attempts")).scalar_one() == 7

    until(told, "it is told")
    kept.forget()
