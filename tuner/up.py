"""Everything on one machine: PostgreSQL, control plane, maintenance, worker, each a process of its own.

Owns starting them in order, starting one again that died, and ending all of them. A process that loses us ends by itself:
its stdin closes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tuner import embedded, keys
from tuner.client import Client
from tuner.settings import Settings, child_environment

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 35.0
RESTART_PAUSE_S = 1.0


class StartError(Exception):
    """The service could not be started; the text says what to do."""


@dataclass
class Service:
    """What runs.

    Attributes:
        settings: of the processes, with the database's address.
        admin_key: opens everything.
        listener: the control plane's socket; it stays open while that is started again.
    """

    settings: Settings
    admin_key: str
    listener: socket.socket
    postgres: embedded.EmbeddedPostgres | None = None
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def restart_dead(self) -> None:
        """Starts again whatever has died."""
        if self.postgres is not None:
            self.postgres.restart_if_dead()
        for name, process in list(self.processes.items()):
            if process.poll() is not None:
                time.sleep(RESTART_PAUSE_S)
                _stop(process)
                self.start(name, *process.args[4:])  # type: ignore[index]  # we gave a list

    def start_server(self) -> None:
        self.start("server", "--with-parent", "--listen-fd", str(self.listener.fileno()))

    def start(self, name: str, *arguments: str) -> None:
        log = self.settings.data / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "tuner.cli", name, *arguments],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env=_worker_environment(self.settings) if name == "worker" else _environment(self.settings),
                start_new_session=True,
                pass_fds=[self.listener.fileno()] if name == "server" else [],
            )

    def stop(self) -> None:
        """Workers first, so that they can still hand in what they have."""
        for name in ("worker", "maintenance", "server"):
            process = self.processes.pop(name, None)
            if process is not None:
                _stop(process)


@contextlib.contextmanager
def running(settings: Settings, *, slots: int | None) -> Iterator[Service]:
    """Starts everything, waits until it is ready, and ends it afterwards.

    Where no port was chosen and the usual one is taken, as by another checkout's service, a free one serves; commands with
    the same data folder find it.

    Raises:
        StartError: the port is in use, or a process does not start.
        EmbeddedPostgresError: the data folder is in use, or PostgreSQL does not start.
    """
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listener(settings))
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})
        # as root, PostgreSQL runs as another user, who must get through
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
        admin_key = settings.admin_key or keys.load_or_make(settings.data, keys.Role.ADMIN)
        keys.load_or_make(settings.data, keys.Role.WORKER)
        postgres = None
        if settings.database_url is None:
            postgres = stack.enter_context(embedded.running(settings.data / "postgres"))
            settings = settings.model_copy(update={"database_url": postgres.url})
        service = Service(settings, admin_key, listener, postgres)
        stack.callback(service.stop)
        service.start_server()
        slot_arguments = [] if slots is None else ["--slots", str(slots)]
        service.start("worker", "--with-parent", *slot_arguments)  # it waits for the server while it imports
        _wait_until_ready(service)
        service.start("maintenance", "--with-parent")
        stack.callback(settings.url_file.unlink, missing_ok=True)
        settings.url_file.write_text(settings.base_url)
        yield service


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with process.stdin:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment(settings: Settings) -> dict[str, str]:
    assert settings.database_url is not None
    return child_environment(
        TUNER_DATA=str(settings.data.absolute()),
        TUNER_DATABASE_URL=settings.database_url,
        TUNER_HOST=settings.host,
        TUNER_PORT=str(settings.port),
        TUNER_URL=settings.base_url,
    )


def _worker_environment(settings: Settings) -> dict[str, str]:
    """A worker knows where the control plane is and its own key: neither the database nor the admin key."""
    return child_environment(
        "TUNER_DATABASE_URL",
        "TUNER_ADMIN_KEY",
        "TUNER_KEY",
        "TUNER_MLFLOW_TOKEN",
        TUNER_DATA=str(settings.data.absolute()),
        TUNER_URL=settings.base_url,
    )


def _listener(settings: Settings) -> socket.socket:
    """Listens where the control plane will: from here on the port is ours, and who comes early waits.

    Raises:
        StartError: the port that was chosen cannot be listened on.
    """
    try:
        return _listening(settings.host, settings.port)
    except OSError as error:
        if "port" not in settings.model_fields_set and error.errno == errno.EADDRINUSE:
            return _listening(settings.host, 0)
        raise StartError(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): "
            "stop what uses it, or choose another with --port or TUNER_PORT"
        ) from None


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def _wait_until_ready(service: Service) -> None:
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    with Client(service.settings.base_url, service.admin_key) as client:
        while not client.is_ready():
            log = service.settings.data / "logs" / "server.log"
            if service.processes["server"].poll() is not None:
                raise StartError(f"the control plane did not start; the end of {log}:\n{_tail(log)}")
            if time.monotonic() > deadline_s:
                raise StartError(f"the control plane was not ready after {READY_TIMEOUT_S:g} s; see {log}")
            time.sleep(0.05)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-8:])
