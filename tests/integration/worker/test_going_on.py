"""Workers that are killed or told to go, in the middle of a trial: another goes on from its checkpoint, with the same losses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine, text

from tests.acceptance.waiting import until
from tests.auditor import audit
from tuner.client import Client
from tuner.maintenance import leftovers as duty
from tuner.maintenance import reap
from tuner.settings import child_environment
from tuner.wire import StudyOut, TrialDetail

Start = Callable[[str], subprocess.Popen[bytes]]
EPOCHS = 400


@pytest.fixture
def start(client: Client, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker with one slot."""
    started = []

    def one(name: str) -> subprocess.Popen[bytes]:
        environment = child_environment(TUNER_URL=client.url, TUNER_KEY=client.key, TUNER_DATA=str(tmp_path / name))
        with (tmp_path / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tuner.cli", "worker", "--slots", "1", "--name", name],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield one
    for process in started:
        process.kill()
        process.wait()


def submit(client: Client, **changes: Any) -> StudyOut:
    spec = {
        "name": f"digits {uuid.uuid4().hex[:8]}",
        "dataset": "digits",
        "fixed": {"epochs": EPOCHS, "dropout": 0.2, "augmentation": "light", "width": 256},
        "search_space": {"learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}},
        "sampler": {"name": "random", "seed": 1},
        "budget": {"trials": 1},
        "finalize": False,
        "limits": {"lease_s": 5, "max_attempts": 2},
    }
    return client.submit(spec | changes)


def saves(engine: Engine, study: StudyOut) -> Callable[[], bool]:
    def has_one() -> bool:
        query = "select count(*) from tuner.checkpoints c join tuner.trials t on t.id = c.trial_id where study_id = :id"
        with engine.begin() as connection:
            return connection.execute(text(query), {"id": study.id}).scalar_one() > 0

    return has_one


def ended(client: Client, engine: Engine, study: StudyOut) -> TrialDetail:
    def has_ended() -> bool:
        reap.run_once(engine)
        return client.study(study.id).state in {"completed", "failed"}

    until(has_ended, "the study ends", 240)
    return client.trial(study.id, 0)


def losses(client: Client, study: StudyOut) -> list[tuple[int, float, float]]:
    return [
        (report.step, report.metrics["train/loss"], report.metrics["val/loss"])
        for report in client.reports(study.id, 0).items
    ]


def results(trial: TrialDetail) -> dict[str, float]:
    assert trial.metrics is not None
    return {name: value for name, value in trial.metrics.items() if name not in {"train_s", "latency_ms"}}


def test_what_a_killed_worker_and_one_that_was_told_to_go_began_ends_as_if_it_had_never_stopped(
    client: Client, engine: Engine, start: Start, tmp_path: Path
) -> None:
    killed, drained, straight = submit(client), submit(client), submit(client)

    first = start("first")  # serves the oldest study
    until(saves(engine, killed), "the first saves a checkpoint")
    child = psutil.Process(first.pid).children()[0]
    first.kill()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "its child ends by itself", 10)

    def is_lost() -> bool:
        return reap.run_once(engine).expired == 1

    until(is_lost, "the lease expires")
    second = start("second")
    of_killed = ended(client, engine, killed)
    until(saves(engine, drained), "the second saves a checkpoint of the next")
    os.kill(second.pid, signal.SIGTERM)
    assert second.wait(30) == 0
    given_back = client.trial(drained.id, 0)
    assert given_back.state == "waiting"
    before = losses(client, drained)

    start("third")
    of_drained, of_straight = ended(client, engine, drained), ended(client, engine, straight)

    assert [attempt.state for attempt in of_straight.attempts] == ["succeeded"]
    assert [attempt.state for attempt in of_killed.attempts] == ["lost", "succeeded"]
    assert [attempt.state for attempt in of_drained.attempts] == ["released", "succeeded"]
    assert of_straight.attempts[0].resumed_from_step is None
    assert (of_killed.attempts[1].resumed_from_step or 0) > 0
    # the drained one saved after its last epoch, and no epoch was done twice
    assert of_drained.attempts[1].resumed_from_step == before[-1][0] == len(before)
    expected = losses(client, straight)
    assert [step for step, *_ in expected] == list(range(1, EPOCHS + 1))
    assert losses(client, killed) == expected
    assert losses(client, drained) == expected
    assert results(of_killed) == results(of_drained) == results(of_straight)
    with engine.begin() as connection:
        used = "select study_id, n_attempts from tuner.trials order by study_id"
        assert connection.execute(text(used)).all() == [(killed.id, 1), (drained.id, 0), (straight.id, 0)]
    assert (
        "goes on from the checkpoint of epoch "
        in b"".join(path.read_bytes() for path in (tmp_path / "artifacts" / "attempts").rglob("log.txt")).decode()
    )
    audit(engine)
    duty.run_once(engine, tmp_path / "artifacts")
    assert list((tmp_path / "artifacts" / "checkpoints").iterdir()) == []


def test_a_killed_child_costs_no_epoch_that_was_saved(client: Client, engine: Engine, start: Start) -> None:
    study = submit(client, limits={"lease_s": 60, "max_attempts": 2})
    worker = start("only")
    until(saves(engine, study), "it saves a checkpoint")

    os.kill(psutil.Process(worker.pid).children()[0].pid, signal.SIGKILL)

    trial = ended(client, engine, study)
    assert [(attempt.state, attempt.end_reason) for attempt in trial.attempts] == [
        ("failed", "child-died"),
        ("succeeded", "complete"),
    ]
    assert (trial.attempts[1].resumed_from_step or 0) > 0
    assert [step for step, *_ in losses(client, study)] == list(range(1, EPOCHS + 1))
