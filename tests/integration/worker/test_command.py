"""The process of a script's trial, without a control plane: nothing of it is left, whatever it starts or prints."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.waiting import until
from tuner.worker.command import Command
from tuner.worker.trial_log import MAX_BYTES

# a process in a session of its own, deaf to SIGTERM, whose parent is gone at once
DAEMON = """
import os, pathlib, subprocess, sys, time
deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(999)"
if os.fork() == 0:
    os.setsid()
    child = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    child.stdout.readline()
    pathlib.Path("child.tmp").write_text(str(child.pid))
    os.rename("child.tmp", "child.pid")
    os._exit(0)
while not os.path.exists("child.pid"):
    time.sleep(0.01)
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.chdir(tmp_path)
    started: list[Command] = []

    def begin(script: str) -> Command:
        started.append(Command(tmp_path / "trial", [sys.executable, "-c", script], {}, {}))
        return started[-1]

    yield begin
    for command in started:
        command.stop()
        command.forget()


def daemon(folder: Path) -> psutil.Process:
    until((folder / "child.pid").exists, "the daemon is there")
    return psutil.Process(int((folder / "child.pid").read_text()))


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells who is below whom")
@pytest.mark.parametrize("goes_on", [True, False])
def test_what_has_left_the_scripts_session_ends_with_it(start: Any, tmp_path: Path, *, goes_on: bool) -> None:
    command = start(DAEMON + ("time.sleep(999)" if goes_on else ""))
    left = daemon(tmp_path)

    if goes_on:
        command.stop()
    else:
        until(lambda: command.wait(0.1) is not None, "the script ends")

    assert is_gone(left)
    assert (command.wait(0.0) == 0) is not goes_on


def test_a_script_that_prints_for_ever_is_read_as_far_as_there_is_room(start: Any) -> None:
    command = start("import os\nwhile True: os.write(1, b'\\xff\\0' * 500_000)")

    until(lambda: (tmp := (command._folder / "log.txt")).exists() and tmp.stat().st_size > 2 * MAX_BYTES, "it prints")
    command.read_log()

    assert MAX_BYTES / 2 < len(command.log) < MAX_BYTES + 1000
    assert command.log.is_full
    command.log.whole().decode()
