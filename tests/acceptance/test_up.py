"""`tuner up` and `tuner demo` as a person runs them: what they start, they end; what they keep is there the next time."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance.waiting import until
from tests.folders import data_folder
from tests.whole import free_port
from tuner import keys
from tuner.client import Client
from tuner.settings import child_environment

SPEC = """
name: small
dataset: iris
fixed: {epochs: 2}
budget: {trials: 3}
"""


class Started:
    """A `tuner` process of its own, with a data folder and a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.data = folder / "data"
        self.named = "data"  # relative, as the default is
        self.output = folder / "output.txt"
        self.processes: list[subprocess.Popen[bytes]] = []

    def run(self, *arguments: str, says_port: bool = True) -> subprocess.Popen[bytes]:
        chosen = {"TUNER_PORT": str(self.port)} if says_port else {}
        environment = child_environment("TUNER_", TUNER_DATA=self.named, **chosen)
        with self.output.open("wb") as out:
            command = [sys.executable, "-m", "tuner.cli", *arguments, "--slots", "1"]
            process = subprocess.Popen(
                command, env=environment, stdout=out, stderr=out, start_new_session=True, cwd=self.folder
            )
        self.processes.append(process)
        return process

    def is_ready(self) -> bool:
        file = keys.key_file(self.data, keys.Role.ADMIN)
        if not file.exists():
            return False
        with Client(f"http://127.0.0.1:{self.port}", file.read_text().strip()) as client:
            return client.is_ready() and "Ctrl-C" in self.output.read_text()

    def left_over(self) -> list[str]:
        """Processes that know the data folder: by command line or by environment."""
        found = []
        for process in psutil.process_iter():
            try:
                if str(self.data) in " ".join(process.cmdline()) or process.environ().get("TUNER_DATA") == str(
                    self.data
                ):
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue  # it ended while we looked
        return found

    def kill_left_over(self) -> None:
        for started in self.processes:
            started.kill()
            started.wait()
        for process in psutil.process_iter():
            try:
                if process.environ().get("TUNER_DATA") == str(self.data):
                    process.kill()
                    process.wait(10)
            except psutil.Error:
                continue


@pytest.fixture
def started() -> Iterator[Started]:
    with data_folder() as folder:
        service = Started(folder)
        yield service
        service.kill_left_over()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_ends_everything_that_it_started(started: Started, number: signal.Signals) -> None:
    process = started.run("up")
    until(started.is_ready, "it is ready", 60)
    family = psutil.Process(process.pid).children(recursive=True)
    commands = " ".join(" ".join(each.cmdline()) for each in family)
    for name in ("postgres", "tuner.cli server", "tuner.cli maintenance", "tuner.cli worker", "tuner.worker.child"):
        assert name in commands

    process.send_signal(number)

    assert process.wait(40) == 0
    assert started.left_over() == []
    assert not [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def test_workers_and_their_children_know_neither_the_database_nor_the_admin_key(started: Started) -> None:
    process = started.run("up")
    until(started.is_ready, "it is ready", 60)

    family = psutil.Process(process.pid).children(recursive=True)
    known = {}
    for each in family:
        command = " ".join(each.cmdline())
        if "-m tuner.cli worker" in command or "-m tuner.worker.child" in command:
            known[command] = each.environ()

    assert len(known) == 2
    for environment in known.values():
        assert not {"TUNER_DATABASE_URL", "TUNER_ADMIN_KEY"} & set(environment)
    process.terminate()
    assert process.wait(40) == 0


def test_a_killed_up_takes_its_processes_along_and_starts_again_with_its_data(started: Started) -> None:
    process = started.run("up")
    until(started.is_ready, "it is ready", 60)
    key = keys.key_file(started.data, keys.Role.ADMIN).read_text()
    with Client(f"http://127.0.0.1:{started.port}", key.strip()) as client:
        client.submit({"name": "kept", "dataset": "iris", "fixed": {"epochs": 2}, "budget": {"trials": 1}})

    process.kill()
    process.wait()
    until(lambda: not [each for each in started.left_over() if "-m tuner" in each], "all but PostgreSQL are gone", 40)

    again = started.run("up")
    until(started.is_ready, "it is ready again", 60)
    assert keys.key_file(started.data, keys.Role.ADMIN).read_text() == key
    with Client(f"http://127.0.0.1:{started.port}", key.strip()) as client:
        assert [study.name for study in client.studies()] == ["kept"]
    again.terminate()
    assert again.wait(40) == 0
    assert started.left_over() == []


def test_a_killed_postgresql_is_started_again(started: Started) -> None:
    process = started.run("up")
    until(started.is_ready, "it is ready", 60)
    postmaster = int((started.data / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])

    os.kill(postmaster, signal.SIGKILL)

    until(lambda: not started.is_ready(), "the database is gone", 20)
    until(started.is_ready, "it is ready again", 60)
    process.terminate()
    assert process.wait(40) == 0
    assert started.left_over() == []


def test_keys_are_for_their_owner_alone(started: Started) -> None:
    keys.load_or_make(started.data, keys.Role.ADMIN)

    assert keys.key_file(started.data, keys.Role.ADMIN).stat().st_mode & 0o777 == 0o600


def test_demo_without_a_terminal_shows_the_result_and_ends(started: Started) -> None:
    file = started.folder / "small.yaml"
    file.write_text(SPEC)

    for _ in range(2):
        assert started.run("demo", str(file)).wait(120) == 0, started.output.read_text()

    shown = started.output.read_text()
    assert "small-2" in shown  # the second demo keeps the first one's data
    assert "3/3 done" in shown
    assert "best (trial" in shown
    assert "defaults (trial 0)" in shown
    assert "/login?key=" in shown
    assert started.left_over() == []


def test_two_services_on_one_machine_do_not_collide() -> None:
    with contextlib.ExitStack() as stack:
        services = [Started(stack.enter_context(data_folder())) for _ in range(2)]
        for service in services:
            stack.callback(service.kill_left_over)
            service.run("up", says_port=False)
        for service in services:
            until(lambda service=service: (service.data / "url").exists(), "it serves", 60)

        assert len({(service.data / "url").read_text() for service in services}) == 2
        for service in services:
            found = subprocess.run(
                [sys.executable, "-m", "tuner.cli", "studies", "--json"],
                env=child_environment("TUNER_", TUNER_DATA=str(service.data)),
                capture_output=True,
                text=True,
                check=False,
            )
            assert (found.returncode, found.stdout) == (0, "[]\n"), found.stderr
            service.processes[0].send_signal(signal.SIGTERM)
            assert service.processes[0].wait(40) == 0
            assert not (service.data / "url").exists()


def test_a_port_that_was_chosen_and_is_in_use_is_told(started: Started) -> None:
    with socket.create_server(("127.0.0.1", started.port)):
        process = started.run("up")

        assert process.wait(30) == 1
    said = started.output.read_text()
    assert (said.count("\n"), "--port" in said) == (1, True), said
