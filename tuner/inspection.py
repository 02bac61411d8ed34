"""Reads an uploaded data set once, in a process with limits on memory and time, and says what it holds or what is wrong.

Owns that process. The control plane itself never parses a user's file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from trainers.data.info import DatasetInfo, from_json
from tuner.domain.errors import FieldError, InvalidError
from tuner.settings import child_environment

MODULE = "trainers.data.inspect"
MAX_FAULTS = 50
# threads of BLAS and Arrow reserve address space of their own, and secrets are of no use to a reader of files
SECRETS = ("TUNER_", "MLFLOW_", "PG", "AWS_")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_IO_THREADS"), "1")

log = structlog.get_logger()


@dataclass(frozen=True)
class Limits:
    """Of one upload.

    Attributes:
        upload_bytes: of all files together.
        memory_bytes: address space of the process that reads them.
        time_s: for reading them.
        min_free_bytes: that the disk must have before an upload begins.
    """

    upload_bytes: int
    memory_bytes: int
    time_s: int
    min_free_bytes: int


@dataclass(frozen=True)
class Inspected:
    """An accepted data set: what it holds, and what was inferred, in words."""

    info: DatasetInfo
    notes: list[str]


def inspect(folder: Path, name: str, limits: Limits) -> Inspected:
    """Waits for the process, up to the limit.

    Raises:
        InvalidError: for what is wrong, with row and column, or that it is too large or too slow to read.
    """
    answer = _run(folder, limits)
    if answer is None:
        detail = (
            f"too large or too slow to read: it has {limits.time_s} s and {limits.memory_bytes // 2**20} MB of memory. "
            "Send fewer rows or columns, or raise TUNER_INSPECT_S or TUNER_INSPECT_MEMORY_MB of the control plane"
        )
        raise InvalidError([FieldError("", detail)])
    if "faults" in answer:
        raise InvalidError([_fault(each) for each in answer["faults"][:MAX_FAULTS]])
    return Inspected(from_json({**answer["info"], "name": name}), list(answer["notes"]))


def _fault(fault: dict[str, Any]) -> FieldError:
    part = Path(fault.get("file") or "").stem
    row, column = fault.get("row"), fault.get("column")
    place = [f"row {row}"] if row is not None else []
    place += [f"column {column!r}"] if column is not None else []
    detail = f"{', '.join(place)}: {fault['detail']}" if place else str(fault["detail"])
    return FieldError(f"/{part}" if part else "", detail, row=row, column=column)


def _run(folder: Path, limits: Limits) -> dict[str, Any] | None:
    """The process's answer; None where it gave none."""
    command = [sys.executable, "-m", "tuner.limited", str(limits.memory_bytes), str(limits.time_s), MODULE, str(folder)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=child_environment(*SECRETS, **ONE_THREAD, ARROW_DEFAULT_MEMORY_POOL="system"),
            start_new_session=True,
        )
        try:
            code = process.wait(limits.time_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
        out.seek(0)
        if code == 0:
            answer: dict[str, Any] = json.load(out)
            return answer
        err.seek(0)
        tail = err.read()[-2_000:].decode(errors="replace")
        log.warning("a data set could not be read", code=code, error=tail)
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kills whatever is left of it, with what it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
