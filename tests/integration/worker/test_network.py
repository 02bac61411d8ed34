"""A real worker process behind a bad network: slow, resetting, half-open, cut. Nothing twice, nothing for good.

The control plane runs in this process, and leases are reaped as maintenance does it.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from api.app import rest_app
from api.gate import Gate
from tests.acceptance.waiting import until
from tests.auditor import audit, audit_files
from tests.network import Proxy, proxied
from tests.serving import serving
from tuner import keys
from tuner.client import Client
from tuner.maintenance import reap
from tuner.settings import Settings, child_environment

ADMIN, WORKER = "admin-key-for-this-test-only", "worker-key-for-this-test-only"
EPOCHS = 120
PATIENCE_S = 120.0


@pytest.fixture
def url(engine: Engine, tmp_path: Path) -> Iterator[str]:
    ring = keys.ring(admin_key=ADMIN, worker_key=WORKER)
    gate = Gate(rest_app(Settings(data=tmp_path), engine), ring=ring, port=1, max_body_bytes=4 * 2**20)
    with serving(gate) as address, reaping(engine):
        yield address


@contextlib.contextmanager
def reaping(engine: Engine) -> Iterator[None]:
    done = threading.Event()

    def rounds() -> None:
        while not done.wait(0.3):
            reap.run_once(engine)

    thread = threading.Thread(target=rounds)
    thread.start()
    yield
    done.set()
    thread.join()


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, ADMIN) as opened:
        yield opened


@pytest.fixture
def network(url: str) -> Iterator[Proxy]:
    port = httpx.URL(url).port
    assert port is not None
    with proxied(port) as proxy:
        yield proxy


@pytest.fixture
def worker(network: Proxy, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with one slot that has only the bad network."""
    environment = child_environment("TUNER_", TUNER_URL=network.url, TUNER_KEY=WORKER, TUNER_DATA=str(tmp_path))
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tuner.cli", "worker", "--slots", "1"],
            env=environment,
            stderr=log,
            start_new_session=True,
        )
    yield process
    process.kill()
    process.wait()


def submit(client: Client, **changes: Any) -> int:
    spec = {
        "name": f"digits {uuid.uuid4().hex[:8]}",
        "dataset": "digits",
        "fixed": {"epochs": EPOCHS},
        "sampler": {"name": "random", "seed": 3},
        "pruner": {"name": "none"},
        "budget": {"trials": 2},
        "finalize": False,
        "limits": {"lease_s": 12},
    }
    return client.submit(spec | changes).id


def is_over(client: Client, study_id: int) -> Callable[[], bool]:
    return lambda: client.study(study_id).state in {"completed", "failed"}


def is_training(client: Client, study_id: int) -> Callable[[], bool]:
    return lambda: client.study(study_id).progress.running == 1 and len(client.reports(study_id, 0).items) > 0


def states(client: Client, study_id: int) -> list[list[str]]:
    """Of the attempts of each trial."""
    numbers = [trial.number for trial in client.trials(study_id)]
    return [[attempt.state for attempt in client.trial(study_id, number).attempts] for number in numbers]


def assert_whole(client: Client, engine: Engine, data: Path, study_id: int) -> None:
    study = client.study(study_id)
    assert (study.state, study.progress.complete) == ("completed", 2)
    for number in (0, 1):
        steps = [report.step for report in client.reports(study_id, number).items]
        assert steps == list(range(1, EPOCHS + 1)), "every report once"
    audit(engine)
    audit_files(engine, Settings(data=data).artifacts)


def test_connections_that_break_again_and_again_cost_no_trial(
    client: Client, engine: Engine, network: Proxy, worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    study_id = submit(client)
    over = is_over(client, study_id)
    breaks = 0
    end_s = time.monotonic() + 2 * PATIENCE_S
    while not over():
        assert time.monotonic() < end_s, "the study ends"
        network.reset()
        breaks += 1
        time.sleep(0.3)

    assert breaks > 10
    assert states(client, study_id) == [["succeeded"], ["succeeded"]]
    assert_whole(client, engine, tmp_path, study_id)


def test_two_seconds_each_way_cost_no_trial_and_hold_no_training_up(
    client: Client, engine: Engine, network: Proxy, worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    study_id = submit(client)
    until(is_training(client, study_id), "it trains")

    network.latency_s = 2.0

    until(is_over(client, study_id), "the study ends")
    assert states(client, study_id) == [["succeeded"], ["succeeded"]]
    assert_whole(client, engine, tmp_path, study_id)


def test_a_half_open_connection_does_not_outlive_the_lease(
    client: Client, engine: Engine, network: Proxy, worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    study_id = submit(client, limits={"lease_s": 9})
    until(is_training(client, study_id), "it trains")

    network.half_open()

    until(is_over(client, study_id), "the study ends", 240)
    assert states(client, study_id) == [["succeeded"], ["succeeded"]]
    assert_whole(client, engine, tmp_path, study_id)


def test_a_worker_that_was_cut_off_is_refused_and_its_trial_is_done_once(
    client: Client, engine: Engine, network: Proxy, worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    study_id = submit(client, limits={"lease_s": 2})
    until(is_training(client, study_id), "it trains")

    network.is_cut = True
    until(lambda: states(client, study_id)[0] == ["lost"], "its lease is over")
    network.is_cut = False

    until(is_over(client, study_id), "the study ends", 240)
    assert states(client, study_id)[0] == ["lost", "succeeded"]
    assert_whole(client, engine, tmp_path, study_id)
