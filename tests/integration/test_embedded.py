"""The embedded PostgreSQL starts on what a dead one left behind, and keeps what was committed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, text

from tests.acceptance.waiting import until
from tests.folders import data_folder
from tuner import embedded

KEEP = "create table kept as select 7 as number"
KEPT = "select number from kept"


@pytest.fixture
def folder() -> Iterator[Path]:
    with data_folder() as folder:
        yield folder


def execute(server: embedded.EmbeddedPostgres, statement: str) -> object:
    engine = create_engine(server.url)
    try:
        with engine.begin() as connection:
            result = connection.execute(text(statement))
            return result.scalar() if result.returns_rows else None
    finally:
        engine.dispose()


def test_it_starts_beside_a_killed_one_that_nobody_has_waited_for(folder: Path) -> None:
    killed = embedded.start(folder)
    execute(killed, KEEP)
    os.kill(killed.process.pid, signal.SIGKILL)
    until(lambda: psutil.Process(killed.process.pid).status() == psutil.STATUS_ZOMBIE, "it is dead")
    killed.lock.close()  # as its owner's death does

    with embedded.running(folder) as server:
        assert execute(server, KEPT) == 7

    assert killed.process.wait() == -signal.SIGKILL


def test_it_starts_where_another_process_has_the_number_of_a_dead_one(folder: Path) -> None:
    with embedded.running(folder) as server:
        execute(server, KEEP)
        sockets = server.socket_folder
        lock = (sockets / ".s.PGSQL.5432.lock").read_text()
        pid_file = (server.cluster / "postmaster.pid").read_text()
    sockets.mkdir(mode=0o700)
    owner = server.cluster.stat().st_uid
    for file, content in ((sockets / ".s.PGSQL.5432.lock", lock), (server.cluster / "postmaster.pid", pid_file)):
        file.write_text(f"{os.getpid()}\n{content.partition(chr(10))[2]}")
        os.chown(file, owner, -1)
    os.chown(sockets, owner, -1)

    with embedded.running(folder) as server:
        assert execute(server, KEPT) == 7
