"""An attempt's lease, kept in the background while its slot is busy with something long: packing, uploading, waiting.

Owns the thread, and the word that the attempt is no longer ours.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import structlog

from tuner.client import Client, ClientError
from tuner.wire_attempts import ClaimedAttempt
from tuner.wire_lifecycle import HEARTBEAT_S

RETRY_S = 1.0

log = structlog.get_logger()


class StaleError(Exception):
    """The attempt is no longer ours."""


def raise_if_stale(error: ClientError) -> None:
    """Raises StaleError where the control plane says so."""
    if error.type == "stale-attempt":
        raise StaleError from error


def heartbeat_s(attempt: ClaimedAttempt) -> float:
    """How often to say that the attempt lives; also how late a pause or a cancellation is learnt."""
    return min(attempt.lease_s / 3, HEARTBEAT_S)


class Lease:
    """Renewed in time as long as the block lasts.

    Attributes:
        is_paused: the study was paused, and wants the trial back.
    """

    def __init__(self, client: Client, attempt: ClaimedAttempt) -> None:
        self._client = client
        self._attempt = attempt
        self._is_lost = False
        self.is_paused = False
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._keep, name=f"lease-{self._attempt.attempt_id}", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()

    def check(self) -> None:
        """Whether the attempt is still ours, as far as is known here.

        Raises:
            StaleError: it is not.
        """
        if self._is_lost:
            raise StaleError

    def _keep(self) -> None:
        every_s = heartbeat_s(self._attempt)
        pause_s = 0.0  # at once: who enters the block may have been busy before it
        while not self._ended.wait(pause_s):
            pause_s = every_s
            try:
                answer = self._client.report(self._attempt.attempt_id, [], lease_s=self._attempt.lease_s)
                self.is_paused = answer.decision == "pause"
            except ClientError as error:
                if error.type == "stale-attempt":
                    self._is_lost = True
                    return
                log.warning("the lease was not renewed", attempt=str(self._attempt.attempt_id), error=str(error))
                pause_s = min(RETRY_S, every_s)
