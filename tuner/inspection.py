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
from typing import IO, Any, NoReturn

import structlog

from trainers.data.faults import short
from trainers.data.info import DatasetInfo, from_json
from tuner.domain.errors import FieldError, InvalidError
from tuner.limited import OUT_OF_MEMORY
from tuner.settings import child_environment

MODULE = "trainers.data.inspect"
MAX_FAULTS = 50
TOLD_BYTES = 2_000  # of what it says of its death
NO_MEMORY = ("memoryerror", "bad_alloc", "failed to map segment", "cannot allocate memory", "memory allocation")
# threads of BLAS and Arrow reserve address space of their own, and secrets are of no use to a reader of files
SECRETS = ("TUNER_", "MLFLOW_", "_MLFLOW_", "PG", "AWS_")
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


class ReaderError(Exception):
    """The process that reads data sets has failed by itself: a mistake of ours; the text is the end of its traceback."""


def inspect(folder: Path, name: str, limits: Limits) -> Inspected:
    """Waits for the process, up to the limit.

    Raises:
        InvalidError: for what is wrong, with row and column, or that it is too large or too slow to read.
        ReaderError: it failed by itself.
    """
    answer = _run(folder, limits)
    if "faults" in answer:
        raise InvalidError([_fault(each) for each in answer["faults"][:MAX_FAULTS]])
    return Inspected(from_json({**answer["info"], "name": name}), list(answer["notes"]))


def _fault(fault: dict[str, Any]) -> FieldError:
    part = Path((fault.get("file") or "").partition(",")[0]).stem  # of several files the first
    row, column = fault.get("row"), fault.get("column")
    place = [f"row {row}"] if row is not None else []
    place += [f"column {short(column)!r}"] if column is not None else []
    detail = f"{', '.join(place)}: {fault['detail']}" if place else str(fault["detail"])
    return FieldError(f"/{part}" if part else "", detail, row=row, column=column)


def _run(folder: Path, limits: Limits) -> dict[str, Any]:
    """The process's answer."""
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
        if code != 0:
            _tell_death(code, _tail(err), limits)
        out.seek(0)
        answer: dict[str, Any] = json.load(out)
        return answer


def _tell_death(code: int | None, error: str, limits: Limits) -> NoReturn:
    """Tells apart what ended the process: its limits, a file on which its libraries died, or a mistake of ours."""
    log.warning("a data set could not be read", code=code, error=error)
    memory = f"{limits.memory_bytes // 2**20} MB of memory"
    less = "Send fewer rows or columns, or raise {} of the control plane"
    if code is None or code == -signal.SIGXCPU:
        detail = f"too slow to read: it has {limits.time_s} s. {less.format('TUNER_INSPECT_S')}"
    elif code in {OUT_OF_MEMORY, -signal.SIGKILL} or any(words in error.lower() for words in NO_MEMORY):
        detail = f"too large to read: it has {memory}. {less.format('TUNER_INSPECT_MEMORY_MB')}"
    elif code < 0:
        name = signal.Signals(-code).name
        detail = f"what reads it has died of it ({name}): it is damaged, or needs more than {memory}. Write it anew"
    else:
        raise ReaderError(f"exit code {code}: {error}")
    raise InvalidError([FieldError("", detail)])


def _tail(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - TOLD_BYTES))
    return file.read().decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kills whatever is left of it, with what it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
