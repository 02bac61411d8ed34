"""Reads data sets in processes with limits on memory and time, and says what they hold or what is wrong with them.

Owns those processes: one for an upload, one for a study that splits by a column. The control plane itself never parses a
user's file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

import structlog

from trainers.data.faults import short
from trainers.data.info import DatasetInfo, from_json
from tuner.domain.errors import FieldError, InvalidError, UnavailableError
from tuner.limited import OUT_OF_MEMORY
from tuner.settings import Settings, child_environment

MODULE = "trainers.data.inspect"
PREVIEW = "trainers.data.preview"
PREVIEWS = 2  # at once in this process
TURN_S = 2.0  # that one more waits
MAX_FAULTS = 50
TOLD_BYTES = 2_000  # of what it says of its death
NO_MEMORY = ("memoryerror", "bad_alloc", "failed to map segment", "cannot allocate memory", "memory allocation")
# threads of BLAS and Arrow reserve address space of their own, and secrets are of no use to a reader of files
SECRETS = ("TUNER_", "MLFLOW_", "_MLFLOW_", "PG", "AWS_")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_IO_THREADS"), "1")

log = structlog.get_logger()
_turns = threading.BoundedSemaphore(PREVIEWS)


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

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(
            upload_bytes=settings.max_upload_mb * 2**20,
            memory_bytes=settings.inspect_memory_mb * 2**20,
            time_s=settings.inspect_s,
            min_free_bytes=settings.min_free_mb * 2**20,
        )


@dataclass(frozen=True)
class Inspected:
    """An accepted data set: what it holds, what was inferred, in words, and its profile."""

    info: DatasetInfo
    notes: list[str]
    profile: dict[str, Any]


class ReaderError(Exception):
    """The process that reads data sets has failed by itself: a mistake of ours; the text is the end of its traceback."""


def inspect(folder: Path, name: str, limits: Limits) -> Inspected:
    """Waits for the process, up to the limit.

    Raises:
        InvalidError: for what is wrong, with row and column, or that it is too large or too slow to read.
        ReaderError: it failed by itself.
    """
    answer = _run(MODULE, [str(folder)], limits)
    if "faults" in answer:
        raise InvalidError([_fault(each, _part(each)) for each in answer["faults"][:MAX_FAULTS]])
    return Inspected(from_json({**answer["info"], "name": name}), list(answer["notes"]), dict(answer["profile"]))


def split_sizes(
    name: str, folder: Path | None, evaluation: dict[str, Any], limits: Limits, *, pointer: str
) -> dict[str, Any]:
    """How large the parts of a data set are that a study splits by a column, as `trainers.data.preview` tells.

    Args:
        name: of the data set.
        folder: of its files; None: it is built in.
        evaluation: of the study.
        limits: of memory and time.
        pointer: to what is wrong where it cannot be split so.

    Raises:
        InvalidError: for a column that is not there or of no use, and for rows that do not do.
        ReaderError: the process failed by itself.
    """
    with _turn():
        answer = _run(PREVIEW, [name, "" if folder is None else str(folder), json.dumps(evaluation)], limits)
    if "faults" in answer:
        raise InvalidError([_fault(each, pointer) for each in answer["faults"][:MAX_FAULTS]])
    sizes: dict[str, Any] = answer["split"]
    return sizes


@contextmanager
def _turn() -> Iterator[None]:
    """Waits a moment for its turn: who waits holds a thread of the control plane, of which heartbeats need some.

    Raises:
        UnavailableError: others are being read.
    """
    if not _turns.acquire(timeout=TURN_S):
        raise UnavailableError("other data sets are being read just now: try again in some seconds")
    try:
        yield
    finally:
        _turns.release()


def profile(name: str, folder: Path | None, limits: Limits) -> dict[str, Any]:
    """The profile of a data set that was uploaded before profiles were made, or is built in (`folder` is None).

    Raises:
        InvalidError: it is too large or too slow to read.
        ReaderError: the process failed by itself.
    """
    with _turn():
        seen: dict[str, Any] = _run(PREVIEW, [name, "" if folder is None else str(folder)], limits)["profile"]
    return seen


def _part(fault: dict[str, Any]) -> str:
    """The pointer to an uploaded file: to the first where a fault is of several."""
    part = Path((fault.get("file") or "").partition(",")[0]).stem
    return f"/{part}" if part else ""


def _fault(fault: dict[str, Any], pointer: str) -> FieldError:
    row, column = fault.get("row"), fault.get("column")
    place = [f"row {row}"] if row is not None else []
    place += [f"column {short(column)!r}"] if column is not None else []
    detail = f"{', '.join(place)}: {fault['detail']}" if place else str(fault["detail"])
    return FieldError(pointer, detail, row=row, column=column)


def _run(module: str, arguments: list[str], limits: Limits) -> dict[str, Any]:
    """The process's answer."""
    limited = [sys.executable, "-m", "tuner.limited", str(limits.memory_bytes), str(limits.time_s)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            [*limited, module, *arguments],
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
