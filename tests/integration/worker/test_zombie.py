"""A whole worker, agent and child, stopped past its lease and let go on: another has its trial, and nothing of it is taken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import Engine, text

from tests.acceptance.waiting import until
from tests.auditor import audit
from tests.integration.conftest import ADMIN
from tuner.maintenance import reap
from tuner.settings import child_environment


@pytest.fixture
def worker(http: httpx.Client, tmp_path: Path) -> Iterator[psutil.Process]:
    """A worker's process with one slot, in a session of its own."""
    url = str(http.base_url).partition("/api/")[0]
    environment = child_environment(TUNER_URL=url, TUNER_KEY=ADMIN, TUNER_DATA=str(tmp_path / "worker"))
    with (tmp_path / "worker.log").open("wb") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "tuner.cli", "worker", "--slots", "1"],
            env=environment,
            stderr=log,
            start_new_session=True,
        )
    yield psutil.Process(started.pid)
    started.kill()
    started.wait()


def test_a_worker_that_slept_past_its_lease_gives_up_and_goes_on(
    http: httpx.Client, engine: Engine, worker: psutil.Process, tmp_path: Path
) -> None:
    study_id = _submit(http, epochs=10_000)
    until(lambda: len(_reports(engine)) > 3, "it trains")
    asleep = [worker, *worker.children(recursive=True)]
    for process in asleep:
        process.send_signal(signal.SIGSTOP)
    until(lambda: _expired(engine) == 1, "what was on its way when it was stopped has arrived")
    heir = _claim(http, study_id)
    before = _reports(engine)

    for process in asleep:
        process.send_signal(signal.SIGCONT)
    until(lambda: "no longer ours" in (tmp_path / "worker.log").read_text(), "it learns that its attempt is over")

    assert _reports(engine) == before
    done = {"metrics": {"val/roc_auc": 0.5}}
    http.post(f"/attempts/{heir}/complete", json=done).raise_for_status()
    assert http.get(f"/studies/{study_id}").json()["best"]["value"] == 0.5
    after = _submit(http, epochs=2)
    until(lambda: http.get(f"/studies/{after}").json()["state"] == "completed", "it trains the next study")
    assert _reports(engine, study_id) == before
    audit(engine)
    os.kill(worker.pid, signal.SIGKILL)
    until(lambda: not any(_is_alive(process) for process in asleep), "no child is left behind")


def _submit(http: httpx.Client, *, epochs: int) -> int:
    spec = {
        "name": f"iris {uuid.uuid4().hex[:8]}",
        "dataset": "iris",
        "objectives": [{"metric": "roc_auc"}],
        "fixed": {"epochs": epochs},
        "sampler": {"name": "random", "seed": 1},
        "budget": {"trials": 1},
        "finalize": False,
        "limits": {"lease_s": 3600},
    }
    return int(http.post("/studies", json=spec).raise_for_status().json()["id"])


def _expired(engine: Engine) -> int:
    """Moves every lease into the past and reaps; a request that was on its way may renew one in between."""
    with engine.begin() as connection:
        connection.execute(
            text("update tuner.attempts set lease_until = now() - interval '1 s' where state = 'running'")
        )
    return reap.run_once(engine).expired


def _claim(http: httpx.Client, study_id: int) -> str:
    body = {"request_id": "heir", "worker_id": "heir", "study_id": study_id}
    held = http.post("/claims", json=body).raise_for_status().json()["attempts"]
    assert [attempt["trial"] for attempt in held] == [0]
    return str(held[0]["attempt_id"])


def _reports(engine: Engine, study_id: int | None = None) -> set[tuple[object, ...]]:
    query = text("""
        select r.trial_id, r.fold, r.step, r.attempt_id from tuner.reports r join tuner.trials t on t.id = r.trial_id
        where coalesce(t.study_id = :study_id, true)
    """)
    with engine.begin() as connection:
        return {tuple(row) for row in connection.execute(query, {"study_id": study_id})}


def _is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
