"""An attempt's lease, kept in the background while its slot is busy with something long: packing, uploading, waiting.

Owns the thread, and the word that the attempt is no longer ours.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import structlog

from tuner.client import Client, ClientError
from tuner.wire import ClaimedAttempt

RETRY_S = 1.0

log = structlog.get_logger()


class StaleError(Exception):
    """The attempt is no longer ours."""


def raise_if_stale(error: ClientError) -> None:
    """Raises StaleError where the control plane says so."""
    if error.type == "stale-attempt":
        raise StaleError from error


class Lease:
    """Renewed every third of its length as long as the block lasts."""

    def __init__(self, client: Client, attempt: ClaimedAttempt) -> None:
        self._client = client
        self._attempt = attempt
        self._is_lost = False
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
        third_s = self._attempt.lease_s / 3
        pause_s = third_s
        while not self._ended.wait(pause_s):
            pause_s = third_s
            try:
                self._client.report(self._attempt.attempt_id, [], lease_s=self._attempt.lease_s)
            except ClientError as error:
                if error.type == "stale-attempt":
                    self._is_lost = True
                    return
                log.warning("the lease was not renewed", attempt=str(self._attempt.attempt_id), error=str(error))
                pause_s = min(RETRY_S, third_s)
