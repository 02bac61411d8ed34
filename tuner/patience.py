"""Asking a control plane that may be away, be restarted, or be too busy just now.

Owns what is asked again (no answer; 429, 502, 503, 504) and what is a refusal, and that people are told once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tuner.transport import RETRIED_STATUS, ClientError

T = TypeVar("T")

PAUSE_S = 1.0


def until_answered(ask: Callable[[], T], say: Callable[[str], None]) -> T:
    """Asks until there is an answer.

    Args:
        ask: a request that may be repeated.
        say: told one line when there is none, and one when there is one again.

    Raises:
        ClientError: a refusal, which is an answer.
    """
    is_told = False
    while True:
        try:
            answer = ask()
        except ClientError as error:
            if error.status != 0 and error.status not in RETRIED_STATUS:
                raise
            if not is_told:
                say(f"{error} (waiting: it goes on by itself)")
            is_told = True
            time.sleep(max(error.retry_after_s, PAUSE_S))
        else:
            if is_told:
                say("the control plane is back")
            return answer
