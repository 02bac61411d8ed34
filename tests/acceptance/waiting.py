"""Waiting for what the service does by itself: polls with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

from tuner.client import Client
from tuner.wire import StudyOut

DEADLINE_S = 120.0


def until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Polls until the condition holds."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not after {deadline_s} s: {what}"
        time.sleep(0.05)


def ended(client: Client, study_id: int, deadline_s: float = DEADLINE_S) -> StudyOut:
    """The study once it has ended and MLflow shows all of it."""
    until(lambda: client.study(study_id).state in {"completed", "failed", "cancelled"}, "the study ends", deadline_s)
    until(lambda: client.study(study_id).tracking == "idle", "MLflow shows everything")
    return client.study(study_id)
