"""A slot whose data set is long in coming: the lease is kept, a drain gives the trial back, nothing fails."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from sqlalchemy import Engine

from api.gate import Gate
from tests.acceptance.waiting import until
from trainers import catalog
from tuner.client import Client
from tuner.maintenance import reap
from tuner.wire import AttemptOut
from tuner.worker import devices
from tuner.worker.data_cache import DataCache
from tuner.worker.room import Room
from tuner.worker.slot import Slot


class Slow:
    """An app that keeps back the files of data sets until it is told to go on, and counts heartbeats meanwhile."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.asked = threading.Event()
        self.go_on = threading.Event()
        self.heartbeats = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if path.endswith("/files"):
            self.asked.set()
            await anyio.to_thread.run_sync(self.go_on.wait)
        if path.endswith("/reports") and not self.go_on.is_set():
            self.heartbeats += 1
        await self.app(scope, receive, send)


@pytest.fixture
def app(gate: Gate) -> Iterator[Slow]:
    slow = Slow(gate)
    yield slow
    slow.go_on.set()


@pytest.fixture
def limits() -> dict[str, float]:
    """More of the study's than its lease."""
    return {}


@pytest.fixture
def study_id(admin: Client, tmp_path: Path, limits: dict[str, float]) -> int:
    file = tmp_path / "d.csv"
    file.write_text("a,y\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(60)))
    admin.upload_dataset("d", data=file, target="y")
    spec = {
        "name": "s",
        "dataset": "d",
        "fixed": {"epochs": 1},
        "budget": {"trials": 1},
        "finalize": False,
        "limits": {"lease_s": 1, "max_attempts": 1} | limits,
    }
    return admin.submit(spec).id


@pytest.fixture
def slot(worker: Client, tmp_path: Path) -> Iterator[Callable[[], Slot]]:
    made: list[Slot] = []
    trainers = [f"{trainer.name}@{trainer.version}" for trainer in catalog.TRAINERS.values()]

    def start() -> Slot:
        cache = DataCache(worker, tmp_path / "cache")
        made.append(Slot(worker, "worker", devices.find(1)[0], trainers, tmp_path, cache, Room(tmp_path, 0, cache)))
        made[0].thread.start()
        return made[0]

    yield start
    for each in made:
        each.drain()
        each.thread.join(60)


def test_the_lease_is_kept_while_the_data_set_comes(
    engine: Engine, app: Slow, admin: Client, study_id: int, slot: Callable[[], Slot]
) -> None:
    slot()
    until(lambda: reap.run_once(engine).expired >= 0 and app.heartbeats >= 5, "heartbeats come")
    app.go_on.set()
    until(lambda: admin.study(study_id).state == "completed", "the study ends")

    trial = admin.trial(study_id, 0)
    assert (trial.state, [attempt.state for attempt in trial.attempts]) == ("complete", ["succeeded"])


def test_a_slot_that_drains_gives_back_what_it_waits_for(
    app: Slow, admin: Client, study_id: int, slot: Callable[[], Slot]
) -> None:
    running = slot()
    assert app.asked.wait(60)
    running.drain()
    running.thread.join(60)

    assert not running.thread.is_alive()
    trial = admin.trial(study_id, 0)
    assert (trial.state, [attempt.state for attempt in trial.attempts]) == ("waiting", ["released"])


@pytest.mark.parametrize("limits", [{"trial_minutes": 0.01}, {"no_progress_minutes": 0.01}])
def test_a_data_set_that_does_not_come_in_time_fails_the_trial(
    admin: Client, study_id: int, slot: Callable[[], Slot], limits: dict[str, float]
) -> None:
    slot()
    until(lambda: admin.study(study_id).state == "completed", "the study ends")

    trial = admin.trial(study_id, 0)
    assert trial.state == "failed"
    assert trial.error is not None
    assert trial.error.startswith("the data set is not here yet: ")


def test_a_machine_that_cannot_keep_a_data_set_says_why(
    app: Slow, admin: Client, study_id: int, slot: Callable[[], Slot], tmp_path: Path
) -> None:
    app.go_on.set()
    (tmp_path / "cache").write_text("a file, where the folder should be made")

    slot()
    until(lambda: admin.study(study_id).state in {"completed", "failed"}, "the study ends")

    trial = admin.trial(study_id, 0)
    assert trial.state == "failed"
    assert "FileExistsError" in (trial.error or "")


def test_a_data_set_whose_files_are_gone_fails_the_trial_and_says_so(
    app: Slow, admin: Client, study_id: int, slot: Callable[[], Slot], tmp_path: Path
) -> None:
    app.go_on.set()
    (folder,) = (tmp_path / "artifacts" / "datasets").iterdir()
    shutil.rmtree(folder)

    slot()
    until(lambda: admin.study(study_id).state in {"completed", "failed"}, "the study ends")

    trial = admin.trial(study_id, 0)
    assert trial.state == "failed"
    assert trial.error is not None
    assert trial.error.startswith("the files of d@1 are not on the server's disk any more: ")
    assert "upload the same files once more" in trial.error
    assert "Traceback" not in trial.error


def test_a_data_set_whose_files_were_changed_fails_the_trial_and_says_so(
    app: Slow, admin: Client, study_id: int, slot: Callable[[], Slot], tmp_path: Path
) -> None:
    app.go_on.set()
    (file,) = (tmp_path / "artifacts" / "datasets").glob("*/data.csv")
    file.write_text(file.read_text().replace("1", "2"))

    slot()
    until(lambda: admin.study(study_id).state in {"completed", "failed"}, "the study ends")

    assert (admin.trial(study_id, 0).error or "").startswith("the files of the data set are not those that were")


def _attempts(admin: Client, study_id: int) -> list[AttemptOut]:
    return [attempt for trial in admin.trials(study_id) for attempt in admin.trial(study_id, trial.number).attempts]
