"""What a trial prints, readable while it runs and afterwards: stored pieces first, the uploaded file once it is there.

Owns which of the two is read. Both are the same bytes, so a position in one is a position in the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from tuner.domain.errors import NotFoundError
from tuner.domain.states import FINISHED, AttemptState
from tuner.store import attempts, logs, trials
from tuner.uploads import LOG
from tuner.wire import LogPiece

MAX_PIECE = 2**20  # bytes in one answer


def read(
    connection: Connection, root: Path, study_id: int, number: int, *, attempt: int | None, after: int
) -> LogPiece:
    """A piece of what one attempt at a trial printed.

    Args:
        connection: for reading.
        root: the artifact folder.
        study_id: of the trial.
        number: the trial's.
        attempt: the attempt's number; None: the last one.
        after: bytes of the log to skip.

    Raises:
        NotFoundError: there is no such trial or attempt.
    """
    trial = trials.get(connection, study_id, number)
    found = _attempt(attempts.of_trial(connection, trial.id), attempt)
    if found is None:
        if attempt is not None:
            raise NotFoundError(f"trial {number} of study {study_id} has no attempt {attempt}")
        return LogPiece(text=b"", next=after, attempt=None, ended=trial.state in FINISHED)
    begin, stored = logs.read(connection, found.id, after)
    if not stored:
        begin, stored = after, _uploaded(root / "attempts" / str(found.id) / LOG, after)
    piece = stored[:MAX_PIECE]
    # the attempt was looked at first: once it has ended, its log has ended, too
    ended = found.state != AttemptState.RUNNING and len(piece) == len(stored)
    return LogPiece(text=piece, next=begin + len(piece), attempt=found.number, ended=ended)


def _attempt(listed: list[Any], number: int | None) -> Any:
    return next((each for each in reversed(listed) if number in {None, each.number}), None)


def _uploaded(file: Path, after: int) -> bytes:
    """A piece of the uploaded log and a byte that tells of more; nothing where the trial was lost before it came."""
    try:
        with file.open("rb") as log:
            log.seek(after)
            return log.read(MAX_PIECE + 1)
    except FileNotFoundError:
        return b""
