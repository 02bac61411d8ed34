"""The process of a script's trial: what it is told, what it reports, how it ends.

Owns the folder with its parameters, reports and log, and the process group, of which nothing is left when it has ended.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tuner.reporting import PARAM, PARAMS_FILE, REPORTS_FILE
from tuner.settings import child_environment
from tuner.worker import leash
from tuner.worker.trial_log import TrialLog

STOP_TIMEOUT_S = leash.GRACE_S + 2.0
TAIL_BYTES = 10_000
# what of our own environment would lead the script elsewhere
_NOT_PASSED_ON = ("TUNER_", "MLFLOW_TRACKING_", "MLFLOW_EXPERIMENT_", "MLFLOW_RUN_")


class BadReportError(Exception):
    """A line of the reports' file is not a report."""


class Command:
    """A running command, in a session of its own.

    Args:
        folder: for its files; made here, and removed by `forget`.
        words: the user's command; each parameter is added as `--name=value`.
        params: of the trial, sampled and fixed.
        environment: what its environment has beside ours and the parameters.
    """

    def __init__(
        self, folder: Path, words: Sequence[str], params: Mapping[str, Any], environment: Mapping[str, str]
    ) -> None:
        folder.mkdir()
        self._folder = folder
        self._log = self._folder / "log.txt"
        self._packed = folder.with_suffix(".tar")  # beside what is the script's
        reports, written = self._folder / "reports.jsonl", self._folder / "params.json"
        reports.touch()
        written.write_text(json.dumps(dict(params)))
        self._reports = reports.open("rb")
        as_text = {name: _text(value) for name, value in params.items()}
        named = {PARAM + re.sub(r"\W", "_", name.upper()): value for name, value in as_text.items()}
        known = {REPORTS_FILE: str(reports), PARAMS_FILE: str(written), "PYTHONUNBUFFERED": "1"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", leash.__file__, *words, *(f"--{k}={v}" for k, v in as_text.items())],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=child_environment(*_NOT_PASSED_ON, **named, **known, **environment),
                start_new_session=True,  # Ctrl-C is for us, who end it in our own way
            )
        self._printed = self._log.open("rb")
        self.log = TrialLog()

    @property
    def pid(self) -> int:
        return self._process.pid

    def read_log(self) -> None:
        """Takes what it has printed since the last call into `log`, as far as there is room: it may print for ever."""
        while not self.log.is_full and (printed := self._printed.read(2**20)):
            self.log.add(printed)

    def reports(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Steps and metrics reported since the last call.

        Raises:
            BadReportError: a line is something else.
        """
        while True:
            start = self._reports.tell()
            line = self._reports.readline()
            if not line.endswith(b"\n"):
                self._reports.seek(start)  # it is being written
                return
            try:
                said = json.loads(line)
                yield int(said["step"]), {str(name): float(value) for name, value in said["metrics"].items()}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise BadReportError(f"not a report ({error!r}): {line[:200]!r}") from None

    def wait(self, timeout_s: float) -> int | None:
        """The exit code, negative for a signal; None while it runs on."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout_s)
        return None

    def let_go(self) -> None:
        """Begins to end the whole process group: SIGTERM, and SIGKILL for what does not go by itself."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def stop(self) -> None:
        """Ends the whole process group; nothing is left of it afterwards."""
        self.let_go()
        if self._process.returncode is None:
            self.wait(STOP_TIMEOUT_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def packed_log(self) -> Path:
        """A tar of what it printed."""
        self.read_log()
        log = self.log.whole()
        member = tarfile.TarInfo(self._log.name)
        member.size = len(log)
        with tarfile.open(self._packed, "w") as archive:
            archive.addfile(member, io.BytesIO(log))
        return self._packed

    def tail(self) -> str:
        """The end of what it printed; the script may have removed the file."""
        log = self._printed.fileno()
        last = os.pread(log, TAIL_BYTES, max(0, os.fstat(log).st_size - TAIL_BYTES))
        return last.decode(errors="replace").replace("\0", "")

    def forget(self) -> None:
        """Removes its folder."""
        self._reports.close()
        self._printed.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._packed.unlink(missing_ok=True)


def _text(value: Any) -> str:
    """Text as it is; numbers, true, false and null as in JSON."""
    return value if isinstance(value, str) else json.dumps(value)
