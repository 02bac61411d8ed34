"""What an attempt has reported and the control plane has not acknowledged yet; nothing leaves it before.

Owns the order of reports and their age, which the control plane turns into times of its own clock.
"""

from __future__ import annotations

import time
from typing import Literal
from uuid import UUID

from tuner.client import Client
from tuner.wire import MAX_REPORTS, ReportBody
from tuner.worker.messages import Reported


class Outbox:
    """The reports of one attempt."""

    def __init__(self, client: Client, attempt_id: UUID) -> None:
        self._client = client
        self._attempt_id = attempt_id
        self._waiting: list[Reported] = []

    def add(self, message: Reported) -> None:
        self._waiting.append(message)

    @property
    def is_empty(self) -> bool:
        return not self._waiting

    def send(self) -> Literal["continue", "prune"]:
        """Sends what waits, or a heartbeat; what is not acknowledged waits on.

        Raises:
            ClientError: no answer, or a refusal.
        """
        now_s = time.monotonic()
        batch = [
            ReportBody(fold=each.fold, step=each.step, metrics=each.metrics, age_s=max(0.0, now_s - each.at_s))
            for each in self._waiting[:MAX_REPORTS]
        ]
        answer = self._client.report(self._attempt_id, batch)
        del self._waiting[: len(batch)]
        return answer.decision

    def flush(self) -> None:
        """Sends all that waits.

        Raises:
            ClientError: no answer, or a refusal.
        """
        while self._waiting:
            self.send()
