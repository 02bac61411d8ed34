"""The agent's end of a child: start, send, receive, log, kill.

Owns the pipes. Two threads read them, so the child never waits for whoever is slow here.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tuner.domain.ends import Memory
from tuner.settings import child_environment
from tuner.wire_attempts import FailBody
from tuner.worker.devices import Device
from tuner.worker.kernel import Kills, children_peak_bytes
from tuner.worker.messages import Decide, FromChild, Run, Told
from tuner.worker.trial_log import TrialLog

MAX_LINE_BYTES = 2**16  # of a longer line, the pieces
STOP_TIMEOUT_S = 5.0
LAST_WORDS_BYTES = 10_000  # of the log, told with a death
# a trial's log is what its trainer prints, at once, without the progress bars of saving the model
QUIET = {"PYTHONUNBUFFERED": "1", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_LOGGING_LEVEL": "WARNING"}

Received = Told | None


class Child:
    """A training process. `inbox` gets its messages, and None once when it has died.

    Args:
        device: that it trains on.
        weights: the folder of files that trials may begin from.
    """

    def __init__(self, device: Device, weights: Path | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tuner.worker.child", *([] if weights is None else [str(weights.absolute())])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment("TUNER_", **QUIET, **device.environment),
            start_new_session=True,  # Ctrl-C is for the agent, which ends the child in its own way
        )
        self.inbox: queue.SimpleQueue[Received] = queue.SimpleQueue()
        self.log = TrialLog()
        self._kills = Kills(self.pid)
        self._peak_before_bytes = children_peak_bytes()
        self._threads = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._read_log, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def send(self, message: Run | Decide) -> None:
        """Sends a message; a child that is dead is noticed by its inbox, not here."""
        assert self._process.stdin is not None
        if isinstance(message, Run):
            self._kills = Kills(self.pid)
        try:
            self._process.stdin.write(message.model_dump_json().encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._process.wait()

    def tell_death(self) -> FailBody:
        """How it ended, with its last words; one that has only stopped talking is killed."""
        death = self._describe_death()
        self._close_stdin()
        last_words = self.log.whole()[-LAST_WORDS_BYTES:].decode(errors="replace")
        if self._process.returncode == -signal.SIGKILL and self._kills.happened():
            peak_bytes = children_peak_bytes()
            known = peak_bytes if peak_bytes > self._peak_before_bytes else None  # otherwise another child's
            return FailBody(
                reason="out-of-memory",
                error=f"{death}: the kernel was out of memory\n{last_words}",
                memory=Memory(where="host", killed=True, peak_bytes=known),
            )
        return FailBody(reason="child-died", error=f"{death}\n{last_words}")

    def _describe_death(self) -> str:
        try:
            code = self._process.wait(STOP_TIMEOUT_S)
            self._kill_group()  # what its trainers have started, which may hold the log open
            self._threads[1].join(STOP_TIMEOUT_S)  # its last words are in the log then
        except subprocess.TimeoutExpired:
            self.kill()
            return "the training process stopped talking and was killed"
        return (
            f"the training process died by signal {-code}" if code < 0 else f"the training process exited with {code}"
        )

    def kill(self) -> None:
        """Ends it now, with what its trainers have started, and reaps it."""
        self._kill_group()
        self._process.wait()
        self._close_stdin()
        for thread in self._threads:
            thread.join(STOP_TIMEOUT_S)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _close_stdin(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is gone, and what was meant for it with it
            self._process.stdin.close()

    def stop(self) -> None:
        """Closes its stdin, at which it exits; kills it if it does not."""
        self._close_stdin()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            with self._process.stdout as lines:
                for line in lines:
                    self.inbox.put(FromChild.validate_json(line))
        finally:
            self.inbox.put(None)  # whoever reads it kills what may still be there

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as printed:
            while line := printed.readline(MAX_LINE_BYTES):
                self.log.add(line)
