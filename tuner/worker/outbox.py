"""What an attempt has reported and printed and the control plane has not acknowledged yet; nothing leaves it before.

Owns the order of reports and their age, which the control plane turns into times of its own clock. Reports wait on the
disk, so that an outage may last.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal
from uuid import UUID

from tuner.client import Client, ClientError
from tuner.wire_attempts import MAX_LOG_TEXT, MAX_METRICS, MAX_REPORTS, LogBody, ReportBody
from tuner.worker.messages import Reported
from tuner.worker.meter import Meter
from tuner.worker.spool import Spool
from tuner.worker.trial_log import TrialLog

GATHER_S = 0.1
RETRY_S = 1.0  # after a request without an answer
LOG_EVERY_S = 1.0
MAX_LOG_BYTES = MAX_LOG_TEXT // 2  # of one piece


class Outbox:
    """The reports of one attempt, and what of its log the control plane has.

    Args:
        client: of the control plane.
        attempt_id: whose reports these are.
        lease_s: its lease, within which a request must have been answered.
        log: what the trial prints.
        meter: what it uses of the machine.
        file: where reports wait; made if there are some, and removed by whoever owns its folder.
    """

    def __init__(
        self, client: Client, attempt_id: UUID, lease_s: float, log: TrialLog, meter: Meter, file: Path
    ) -> None:
        self._client = client
        self._attempt_id = attempt_id
        self._lease_s = lease_s
        self._log = log
        self._meter = meter
        self._log_sent = 0  # bytes
        self._log_sent_s = time.monotonic()
        self._waiting = Spool(file)
        self._is_answered = True  # the last request was

    def close(self) -> None:
        """Lets the file go."""
        self._waiting.close()

    def add(self, message: Reported) -> None:
        """Takes a report; an epoch's gets what the trial uses of the machine, where a sample is due and there is room.

        Raises:
            OSError: the disk is full.
        """
        used = self._meter.sample() if message.step > 0 and len(message.metrics) < MAX_METRICS - 10 else {}
        report = message.model_copy(update={"metrics": {**used, **message.metrics}})
        self._waiting.add(report.model_dump_json().encode())

    def due_s(self, heartbeat_s: float) -> float:
        """How long after the last request the next one is to be sent; each costs the control plane a transaction."""
        if not self._is_answered:
            return min(RETRY_S, heartbeat_s)
        if not self._waiting.is_empty:
            return GATHER_S
        return min(LOG_EVERY_S, heartbeat_s) if self._has_log else heartbeat_s

    @property
    def is_empty(self) -> bool:
        """Whether every report that was added is acknowledged."""
        return self._waiting.is_empty

    @property
    def _has_log(self) -> bool:
        return len(self._log) > self._log_sent

    def send(self) -> Literal["continue", "prune", "pause"]:
        """Sends what waits, with a piece of the log, or a heartbeat; what is not acknowledged waits on.

        Raises:
            ClientError: no answer, or a refusal.
        """
        lines = self._waiting.first(MAX_REPORTS)
        batch = [_body(line) for line in lines]
        try:
            answer = self._client.report(self._attempt_id, batch, self._printed(), lease_s=self._lease_s)
        except ClientError:
            self._is_answered = False
            raise
        self._is_answered = True
        self._waiting.drop(lines)
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
        while not self._waiting.is_empty or (with_log and self._has_log):
            self.send()


def _body(line: bytes) -> ReportBody:
    each = Reported.model_validate_json(line)
    age_s = max(0.0, time.monotonic() - each.at_s)
    return ReportBody(fold=each.fold, step=each.step, metrics=each.metrics, age_s=age_s)
