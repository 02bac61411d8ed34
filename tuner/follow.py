"""Following what a trial prints, at a control plane that may be restarted meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from tuner.client import Client
from tuner.patience import until_answered
from tuner.wire import LogPiece

POLL_S = 0.5
FINISHED = ("complete", "pruned", "failed", "cancelled")


def log(client: Client, study_id: int, number: int, attempt: int | None) -> Iterator[bytes]:
    """What an attempt has printed so far; the last one's if `attempt` is None."""
    after = 0
    while True:
        piece = client.logs(study_id, number, attempt=attempt, after=after)
        attempt, after = piece.attempt, piece.next
        if not piece.text:
            return
        yield piece.text


def logs(
    client: Client, study_id: int, number: int, attempt: int | None, say: Callable[[str], None]
) -> Iterator[bytes]:
    """What a trial prints until it has ended, through all its further attempts; with `attempt`, that one's alone."""
    current, after = attempt, 0
    while True:
        piece: LogPiece = until_answered(lambda: client.logs(study_id, number, attempt=current, after=after), say)  # noqa: B023
        current, after = piece.attempt, piece.next
        yield piece.text
        if not piece.ended:
            if not piece.text:
                time.sleep(POLL_S)
            continue
        following = None if attempt is not None else _next(client, study_id, number, current, say)
        if following is None:
            return
        say(f"attempt {following}")
        current, after = following, 0


def _next(client: Client, study_id: int, number: int, after: int | None, say: Callable[[str], None]) -> int | None:
    """The number of the attempt that follows, once it is there; None: the trial has ended."""
    while True:
        trial = until_answered(lambda: client.trial(study_id, number), say)
        later = [attempt.number for attempt in trial.attempts if attempt.number > (after or 0)]
        if later:
            return min(later)
        if trial.state in FINISHED:
            return None
        time.sleep(POLL_S)
