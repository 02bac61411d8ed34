"""`kill -9` of everything at once, PostgreSQL too, and a restart: whatever was acknowledged is there, once, and goes on."""

from __future__ import annotations

import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import create_engine, text

from tests.acceptance.test_up import Started
from tests.acceptance.waiting import ended, until
from tests.auditor import audit, audit_acknowledged, audit_files, audit_mlflow, drafts
from tests.folders import data_folder
from tuner import keys
from tuner.client import Client
from tuner.store import database
from tuner.worker.agent import PREFIX


@pytest.fixture
def started() -> Iterator[Started]:
    with data_folder() as folder:
        service = Started(folder)
        yield service
        service.kill_left_over()


def spec(*, epochs: int, trials: int) -> dict[str, Any]:
    return {
        "name": f"iris {uuid.uuid4().hex[:8]}",
        "dataset": "iris",
        "fixed": {"epochs": epochs},
        "sampler": {"name": "random", "seed": 1},
        "budget": {"trials": trials},
        "finalize": False,
        "limits": {"lease_s": 3},
    }


def test_a_restart_finds_everything_and_loses_nothing(started: Started) -> None:
    """One study has its results and MLflow none of it; a trial of another runs, and MLflow shows it running."""
    family = _up(started)
    key = keys.key_file(started.data, keys.Role.ADMIN).read_text().strip()
    url = f"http://127.0.0.1:{started.port}"
    maintenance = _named(family, "tuner.cli maintenance")
    with Client(url, key, retry_for_s=60) as client:
        running = client.submit(spec(epochs=1500, trials=2)).id
        until(lambda: _is_shown(client, running), "MLflow shows its first trial, which runs")
        maintenance.send_signal(signal.SIGSTOP)
        done = client.submit(spec(epochs=2, trials=3) | {"priority": 9}).id
        until(lambda: client.study(done).state == "completed", "a study completes")
        assert client.study(done).tracking == "behind"
        until(lambda: any(trial.state == "running" for trial in client.trials(running)), "a trial runs")

        for process in family:
            process.kill()
        until(lambda: not any(map(_is_alive, family)), "all are dead")
        agents = [process.pid for process in family]
        again = _up(started)

        studies = [ended(client, study.id) for study in client.studies()]
    assert [(study.state, study.progress.complete) for study in studies] == [("completed", 3), ("completed", 2)]
    engine = create_engine(database.normalise(_named(again, "tuner.cli server").environ()["TUNER_DATABASE_URL"]))
    try:
        until(lambda: not drafts(started.data / "artifacts"), "halves of uploads are cleared away", 60)
        audit(engine)
        audit_acknowledged(engine, [running, done])
        audit_files(engine, started.data / "artifacts")
        audit_mlflow(engine, url, key)
        with engine.begin() as connection:
            orphans = text("select count(*) from tuner.attempts where state = 'running'")
            assert connection.execute(orphans).scalar_one() == 0
    finally:
        engine.dispose()
    assert not [folder for pid in agents for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}{pid}-*")]


def _up(started: Started) -> list[psutil.Process]:
    """Starts `tuner up`; it and all its processes, once it is ready."""
    process = started.run("up")
    until(started.is_ready, "it is ready")
    family = psutil.Process(process.pid)
    until(lambda: any("tuner.worker.child" in " ".join(each.cmdline()) for each in _family(family)), "its child starts")
    return _family(family)


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _named(family: list[psutil.Process], command: str) -> psutil.Process:
    return next(each for each in family if command in " ".join(each.cmdline()))


def _is_shown(client: Client, study_id: int) -> bool:
    running = [trial.number for trial in client.trials(study_id) if trial.state == "running"]
    return any(client.trial(study_id, number).run_id is not None for number in running)


def _is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
