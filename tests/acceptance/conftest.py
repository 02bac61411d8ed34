"""A control plane alone, as a process on a database of its own: no worker runs what is made in it, no other test sees it."""

from __future__ import annotations

import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from tests.acceptance.waiting import until
from tuner.client import Client
from tuner.settings import child_environment


@dataclass(frozen=True)
class LoneServer:
    """Where it serves, its keys, and the file of its log."""

    url: str
    admin_key: str
    worker_key: str
    log: Path


@pytest.fixture(scope="session")
def lone_server(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneServer]:
    name = f"alone_{uuid.uuid4().hex[:12]}"
    admin = create_engine(make_url(postgres).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database {name}"))
    folder = tmp_path_factory.mktemp("alone")
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = LoneServer(url, f"admin-{uuid.uuid4()}", f"worker-{uuid.uuid4()}", folder / "server.log")
        environment = child_environment(
            "TUNER_",
            TUNER_DATA=str(folder),
            TUNER_DATABASE_URL=make_url(postgres).set(database=name).render_as_string(hide_password=False),
            TUNER_ADMIN_KEY=server.admin_key,
            TUNER_WORKER_KEY=server.worker_key,
        )
        command = [sys.executable, "-m", "tuner.cli", "server", "--listen-fd", str(listener.fileno())]
        with server.log.open("wb") as log:
            process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, pass_fds=[listener.fileno()], start_new_session=True
            )
        try:
            with Client(url, server.admin_key) as client:
                until(lambda: client.is_ready() or process.poll() is not None, "the control plane is ready", 60)
            assert process.poll() is None, server.log.read_text()
            yield server
        finally:
            process.terminate()
            process.wait(30)
    with admin.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))
    admin.dispose()
