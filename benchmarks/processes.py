"""Starts a module of ours as a process of its own, gives it JSON and takes JSON back.

Owns the words between them: `ready` when imports and warm-up are done, `go`, then one line of JSON as the answer. So
every side starts in a fresh interpreter, and its imports are on nobody's clock.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

READY = "ready"
GO = "go"
REMOVE_TRIES = 20


class Peer:
    """A process that measures or works for us; whatever it prints besides goes to its log."""

    def __init__(self, module: str, task: dict[str, Any], log: Path, **environment: str) -> None:
        self._log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, json.dumps(task)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **environment},
                start_new_session=True,
                text=True,
            )

    def wait_until_ready(self) -> None:
        self._expect(READY)

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{GO}\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        return json.loads(self._expect("{"))

    def close(self) -> None:
        """Ends it, and everything that it started in its session."""
        try:
            self.process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _expect(self, beginning: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(beginning):
                return line
        end = "\n".join(self._log.read_text(errors="replace").splitlines()[-12:])
        raise RuntimeError(f"{self.process.args} ended with {self.process.wait()}; the end of its log:\n{end}")


def task() -> dict[str, Any]:
    """What this process was asked to do; stdout is kept for words of ours, prints go to stderr."""
    given: dict[str, Any] = json.loads(sys.argv[1])
    os.set_inheritable(1, False)
    pipe = os.dup(1)
    os.dup2(2, 1)
    given["_pipe"] = pipe
    return given


def say_ready(given: dict[str, Any]) -> None:
    """Tells that the clock may start, and waits for it."""
    os.write(given["_pipe"], f"{READY}\n".encode())
    assert sys.stdin.readline().strip() == GO


def say_answer(given: dict[str, Any], answer: dict[str, Any]) -> None:
    os.write(given["_pipe"], f"{json.dumps(answer)}\n".encode())


@contextlib.contextmanager
def folder(prefix: str) -> Iterator[Path]:
    """A short temporary folder that an embedded PostgreSQL's user can get into; removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix=f"bench-{prefix}-"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        for _ in range(REMOVE_TRIES):  # whoever wrote into it may be ending still
            shutil.rmtree(path, ignore_errors=True)
            if not path.exists():
                break
            time.sleep(0.5)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
