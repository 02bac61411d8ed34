"""Handing in how an attempt ended: its reports, then its files, then the word that counts; tried until there is an answer.

Owns the order and the patience.
"""

from __future__ import annotations

import tarfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from tuner.client import Client, ClientError
from tuner.wire_attempts import ClaimedAttempt, CompleteBody, FailBody, TrialEnded
from tuner.worker.checkpoints import Checkpoints
from tuner.worker.lease import RETRY_S, Lease, raise_if_stale
from tuner.worker.messages import Done, Failed, Outcome, Stopped
from tuner.worker.outbox import Outbox
from tuner.worker.process import Child

LOG_TIMEOUT_S = 2.0  # within which the last of what a child has printed is read
LAST_CHECKPOINT_S = 10.0  # within which it is sent, before a trial is given back
FULL_PAUSE_S = 5.0  # before files are sent again to a control plane whose disk was full
NO_ROOM = 507
WAITED_FOR = frozenset({0, 429, 502, 503, 504, NO_ROOM})  # however long it takes
BROKEN_S = 120.0  # of nothing but other errors of the control plane's own

T = TypeVar("T")

log = structlog.get_logger()


def hand_in(
    client: Client,
    attempt: ClaimedAttempt,
    lease: Lease,
    outcome: Outcome | FailBody | None,
    child: Child,
    folder: Path,
    outbox: Outbox,
    checkpoints: Checkpoints,
) -> None:
    """Tells the control plane how an attempt ended; None: it is given back.

    Args:
        client: of the control plane.
        attempt: which is ours as far as we know.
        lease: kept meanwhile, since large files take longer than one.
        outcome: what the child said, or why the slot ended it.
        child: which has trained it, alive or not.
        folder: with the trial's files.
        outbox: with reports that may still wait.
        checkpoints: of which the last may still wait, for who goes on with the trial.

    Raises:
        StaleError: the attempt is no longer ours.
        ClientError: the result is refused, or nothing but errors of the control plane's own came for minutes.
        OSError: the files cannot be packed.
    """
    is_given_back = outcome is None or isinstance(outcome, Stopped)
    insist = partial(_insist, attempt, lease)
    insist(partial(outbox.flush, with_log=is_given_back))
    if _may_go_on(outcome):
        checkpoints.finish(LAST_CHECKPOINT_S)
    if outcome is None or isinstance(outcome, Stopped):
        insist(partial(client.release, attempt.attempt_id))
        return
    tar = _packed(child, folder)
    insist(partial(client.upload, attempt.attempt_id, tar))
    ended = insist(partial(_end, client, attempt, outcome))
    log.info("trial ended", study=attempt.study, trial=attempt.trial, state=ended.state)


def _may_go_on(outcome: Outcome | FailBody | None) -> bool:
    """Whether the trial may be tried again, and then goes on from its last checkpoint."""
    if isinstance(outcome, Failed):
        return outcome.broken
    return not isinstance(outcome, Done)


def _insist(attempt: ClaimedAttempt, lease: Lease, call: Callable[[], T]) -> T:
    """Calls until there is an answer; a control plane that is away, busy, or has no room for files, is none.

    An error of its own may pass as well; one that does not is a refusal in the end.
    """
    broken_since_s: float | None = None
    while True:
        lease.check()
        try:
            return call()
        except ClientError as error:
            raise_if_stale(error)
            if error.status in WAITED_FOR:
                broken_since_s = None
            elif error.status < 500:
                raise
            else:
                broken_since_s = broken_since_s or time.monotonic()
                if time.monotonic() - broken_since_s >= BROKEN_S:
                    raise
            log.warning("the result waits", study=attempt.study, trial=attempt.trial, error=str(error))
            time.sleep(FULL_PAUSE_S if error.status == NO_ROOM else RETRY_S)


def _end(client: Client, attempt: ClaimedAttempt, outcome: Done | Failed | FailBody) -> TrialEnded:
    if isinstance(outcome, Done):
        body = CompleteBody(**outcome.model_dump(exclude={"type"}))
        return client.complete(attempt.attempt_id, body)
    return client.fail(attempt.attempt_id, _failure(outcome))


def _failure(outcome: Failed | FailBody) -> FailBody:
    if isinstance(outcome, FailBody):
        return outcome
    return FailBody(**outcome.model_dump(exclude={"type", "broken"}))


def _packed(child: Child, folder: Path) -> Path:
    """A tar of the trial's files with its log, beside their folder."""
    child.log.wait_for_end(LOG_TIMEOUT_S if child.is_alive() else 0.0)
    (folder / "log.txt").write_bytes(child.log.whole())
    tar = folder.with_suffix(".tar")
    with tarfile.open(tar, mode="w") as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.add(file, arcname=file.relative_to(folder).as_posix())
    return tar


def give_back(client: Client, attempt: ClaimedAttempt) -> None:
    """Gives back an attempt that this machine cannot go on with, once: otherwise its lease expires."""
    _once(attempt, partial(client.release, attempt.attempt_id))


def tell_failure(client: Client, attempt: ClaimedAttempt, error: str) -> None:
    """Fails an attempt that the slot itself could not bring to its end, so that its user sees why."""
    _once(attempt, partial(client.fail, attempt.attempt_id, FailBody(reason="trainer-error", error=error)))


def _once(attempt: ClaimedAttempt, call: Callable[[], TrialEnded]) -> None:
    try:
        call()
    except ClientError as refusal:
        log.warning("the lease will expire", attempt=str(attempt.attempt_id), error=str(refusal))
