"""What an attempt has reported and printed and the control plane has not acknowledged yet; nothing leaves it before.

Owns the order of reports and their age, which the control plane turns into times of its own clock.
"""

from __future__ import annotations

import time
from typing import Literal
from uuid import UUID

from tuner.client import Client
from tuner.wire import MAX_LOG_TEXT, MAX_METRICS, MAX_REPORTS, LogBody, ReportBody
from tuner.worker.messages import Reported
from tuner.worker.meter import Meter
from tuner.worker.trial_log import TrialLog

GATHER_S = 0.1
LOG_EVERY_S = 1.0
MAX_LOG_BYTES = MAX_LOG_TEXT // 2  # of one piece


class Outbox:
    """The reports of one attempt, and what of its log the control plane has."""

    def __init__(self, client: Client, attempt_id: UUID, log: TrialLog, meter: Meter) -> None:
        self._client = client
        self._attempt_id = attempt_id
        self._log = log
        self._meter = meter
        self._log_sent = 0  # bytes
        self._log_sent_s = time.monotonic()
        self._waiting: list[Reported] = []

    def add(self, message: Reported) -> None:
        """Takes a report; an epoch's gets what the trial uses of the machine, where a sample is due and there is room."""
        used = self._meter.sample() if message.step > 0 and len(message.metrics) < MAX_METRICS - 10 else {}
        self._waiting.append(message.model_copy(update={"metrics": {**used, **message.metrics}}))

    def due_s(self, heartbeat_s: float) -> float:
        """How long after the last request the next one is to be sent; each costs the control plane a transaction."""
        if self._waiting:
            return GATHER_S
        return min(LOG_EVERY_S, heartbeat_s) if self._has_log else heartbeat_s

    @property
    def is_empty(self) -> bool:
        """Whether every report that was added is acknowledged."""
        return not self._waiting

    @property
    def _has_log(self) -> bool:
        return len(self._log) > self._log_sent

    def send(self) -> Literal["continue", "prune"]:
        """Sends what waits, with a piece of the log, or a heartbeat; what is not acknowledged waits on.

        Raises:
            ClientError: no answer, or a refusal.
        """
        now_s = time.monotonic()
        batch = [
            ReportBody(fold=each.fold, step=each.step, metrics=each.metrics, age_s=max(0.0, now_s - each.at_s))
            for each in self._waiting[:MAX_REPORTS]
        ]
        answer = self._client.report(self._attempt_id, batch, self._printed())
        del self._waiting[: len(batch)]
        self._log_sent = self._log_sent if answer.log_bytes is None else answer.log_bytes
        return answer.decision

    def send_log(self) -> None:
        """Sends a piece of the log, if there is more of it, at most once a second.

        Raises:
            ClientError: no answer, or a refusal.
        """
        now_s = time.monotonic()
        if self._has_log and now_s - self._log_sent_s >= LOG_EVERY_S:
            self._log_sent_s = now_s
            self.send()

    def _printed(self) -> LogBody | None:
        text = self._log.piece(self._log_sent, MAX_LOG_BYTES) if self._has_log else ""
        return LogBody(position=self._log_sent, text=text) if text else None

    def flush(self, *, with_log: bool) -> None:
        """Sends every report that waits, and the log where nobody will upload it.

        Raises:
            ClientError: no answer, or a refusal.
        """
        while self._waiting or (with_log and self._has_log):
            self.send()
