"""A slot's claims: one after the other, each of which may be sent again until there is an answer.

Owns the request's id. A claim whose answer was lost is repeated as it was, so the trial that it was given is not lost.
"""

from __future__ import annotations

import threading
import uuid

import structlog

from tuner.client import Client, ClientError
from tuner.wire_attempts import PROTOCOL, ClaimBody, ClaimedAttempt
from tuner.worker.lease import RETRY_S
from tuner.worker.room import Room

WAIT_S = 20.0

log = structlog.get_logger()


class Claimer:
    """Claims for one slot.

    Args:
        client: of the control plane.
        worker_id: the agent's.
        trainers: name@version of those that are here.
        room: on the disk; without it nothing is claimed.
        draining: set when nothing more is wanted.
    """

    def __init__(
        self, client: Client, worker_id: str, trainers: list[str], room: Room, draining: threading.Event
    ) -> None:
        self._client = client
        self._worker_id = worker_id
        self._trainers = trainers
        self._room = room
        self._draining = draining
        self._request_id = uuid.uuid4().hex

    def claim(self) -> list[ClaimedAttempt]:
        """What there is to run, waited for a while; nothing where there is none, or no answer, or no room."""
        if not self._room.is_there():
            self._draining.wait(RETRY_S)
            return []
        body = ClaimBody(
            request_id=self._request_id,
            worker_id=self._worker_id,
            slots=1,
            trainers=self._trainers,
            protocol=PROTOCOL,
            wait_s=WAIT_S,
        )
        try:
            claimed = self._client.claim(body)
        except ClientError as error:
            if not self._draining.is_set():
                log.warning("cannot claim", error=str(error))
                self._draining.wait(RETRY_S)
            return []
        self._request_id = uuid.uuid4().hex
        return claimed
