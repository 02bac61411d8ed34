"""What a trial needs on this machine before it trains: its data set, and the checkpoint that it goes on from.

Owns the waiting for them: the lease is kept, and a drain, a pause and the trial's limits of time are obeyed meanwhile.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.client import Client
from tuner.wire_attempts import ClaimedAttempt, FailBody
from tuner.worker.checkpoints import Checkpoints
from tuner.worker.data_cache import DataCache
from tuner.worker.lease import Lease
from tuner.worker.outbox import GATHER_S
from tuner.worker.watch import Watch


@dataclass(frozen=True)
class Needs:
    """What has been fetched.

    Attributes:
        data_folder: of the data set, if it was uploaded.
        checkpoint: the file to go on from; None: the trial begins at its beginning.
    """

    data_folder: Path | None = None
    checkpoint: Path | None = None


def fetch(
    client: Client,
    attempt: ClaimedAttempt,
    cache: DataCache,
    checkpoints: Checkpoints,
    watch: Watch,
    draining: threading.Event,
) -> Needs | FailBody | None:
    """Fetches what there is to fetch; gives how the trial failed over it, or None: it is given back.

    Raises:
        StaleError: the attempt is no longer ours.
        ClientError: the data set is refused.
        BrokenFolderError: it is not what the study was submitted on.
        OSError: this machine's disk does not take it.
    """
    fetches: list[tuple[str, Future[Any]]] = []
    if attempt.dataset_files is not None:
        fetches.append(("data set", cache.fetch(attempt)))
    if attempt.checkpoints:
        fetches.append(("checkpoint", checkpoints.fetch()))
    if not fetches:
        return None if draining.is_set() else Needs()
    try:
        with Lease(client, attempt) as lease:
            for what, fetching in fetches:
                while not fetching.done():
                    if draining.is_set() or lease.is_paused:
                        return None
                    if (failure := watch.over_limit()) is not None:
                        return failure.model_copy(update={"error": f"the {what} is not here yet: {failure.error}"})
                    lease.check()
                    wait([fetching], GATHER_S)
    finally:
        for _, fetching in fetches:
            fetching.cancel()
    if draining.is_set():
        return None
    found = {what: fetching.result() for what, fetching in fetches}
    return Needs(found.get("data set"), found.get("checkpoint"))
