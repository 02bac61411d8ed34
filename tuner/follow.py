"""Following what goes on at a control plane that may be restarted meanwhile.

Owns patience: a request that gets no answer is repeated until one comes, and people are told once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from tuner.client import RETRIED_STATUS, Client, ClientError
from tuner.wire import LogPiece

T = TypeVar("T")

POLL_S = 0.5
FINISHED = ("complete", "pruned", "failed", "cancelled")


def patiently(ask: Callable[[], T], say: Callable[[str], None]) -> T:
    """Asks until there is an answer.

    Args:
        ask: a request that may be repeated.
        say: told one line when there is none, and one when there is one again.

    Raises:
        ClientError: the control plane refuses.
    """
    is_away = False
    while True:
        try:
            answer = ask()
        except ClientError as error:
            if error.status != 0 and error.status not in RETRIED_STATUS:
                raise
            if not is_away:
                say("no answer from the control plane: it goes on here once there is one (Ctrl-C ends this alone)")
            is_away = True
            time.sleep(POLL_S)
        else:
            if is_away:
                say("the control plane is back")
            return answer


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
        piece: LogPiece = patiently(lambda: client.logs(study_id, number, attempt=current, after=after), say)  # noqa: B023
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
        trial = patiently(lambda: client.trial(study_id, number), say)
        later = [attempt.number for attempt in trial.attempts if attempt.number > (after or 0)]
        if later:
            return min(later)
        if trial.state in FINISHED:
            return None
        time.sleep(POLL_S)
