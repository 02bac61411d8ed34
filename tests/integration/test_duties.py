"""The duty of reaping passes from a process that is stopped, and so renews nothing, to another before a lost trial waits long."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from sqlalchemy import Engine, text

from tests import studying
from tests.acceptance.waiting import until
from tuner.settings import child_environment
from tuner.store.database import transaction

WAIT_S = 5.0  # of the ten in which a trial goes on after its lease


@contextmanager
def maintenance(url: str, data: Path) -> Iterator[psutil.Process]:
    environment = child_environment("TUNER_", TUNER_DATABASE_URL=url, TUNER_DATA=str(data))
    with (data / "maintenance.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "tuner.cli", "maintenance"], env=environment, stderr=log)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


def test_another_process_reaps_soon_where_one_is_stopped(engine: Engine, database_url: str, tmp_path: Path) -> None:
    with maintenance(database_url, tmp_path) as first:
        until(lambda: _holder(engine).endswith(f"-{first.pid}"), "the first holds the duty")
        with maintenance(database_url, tmp_path) as second:
            first.send_signal(signal.SIGSTOP)
            until(lambda: first.status() == psutil.STATUS_STOPPED, "it is stopped")
            assert _hold_left_s(engine) < WAIT_S, "by the database's clock, whatever this machine has to do"
            held = studying.claim(engine, studying.submit(engine))[0]
            with transaction(engine) as connection:
                connection.execute(text("update tuner.attempts set lease_until = clock_timestamp()"))

            until(lambda: _holder(engine).endswith(f"-{second.pid}"), "the second takes the duty")
            until(lambda: _state(engine, str(held.attempt_id)) == "lost", "and reaps")


def _holder(engine: Engine) -> str:
    return _one(engine, "select coalesce((select holder from tuner.duties where name = 'reap'), '')")


def _hold_left_s(engine: Engine) -> float:
    left = "select extract(epoch from until - clock_timestamp()) from tuner.duties where name = 'reap'"
    return float(_one(engine, left))


def _state(engine: Engine, attempt_id: str) -> str:
    return _one(engine, f"select state from tuner.attempts where id = '{attempt_id}'")


def _one(engine: Engine, query: str) -> str:
    with transaction(engine) as connection:
        return str(connection.execute(text(query)).scalar_one())
