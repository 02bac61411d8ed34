"""An attempt's checkpoints on the agent: the newest good one is fetched before it trains, new ones are sent while it does.

Owns the folder that the training process writes into, and a thread that uploads. Training and reports never wait for it; of
several that wait only the newest is sent, and none before the reports that belong to it are acknowledged.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from pathlib import Path

import structlog

from tuner.client import Client, ClientError
from tuner.wire_attempts import ClaimedAttempt
from tuner.wire_checkpoints import CheckpointOut
from tuner.worker.lease import raise_if_stale
from tuner.worker.messages import Resumed, Saved

EVERY_S = 2.0  # at most, for the control plane's sake
RETRY_S = 1.0
GONE = 404
NO_ANSWER = frozenset({0, 429, 502, 503, 504})

log = structlog.get_logger()


class Checkpoints:
    """Of one attempt, in a folder that is made here and removed by `forget`."""

    def __init__(self, client: Client, attempt: ClaimedAttempt, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._client = client
        self._attempt = attempt
        self._taken: Saved | None = None  # its reports are on their way
        self._changed = threading.Condition()  # of the four below
        self._ready: Saved | None = None
        self._is_busy = False
        self._is_hurried = False
        self._is_over = False
        self._thread: threading.Thread | None = None

    def fetch(self) -> Future[Path | None]:
        """Starts to fetch the file to go on from: the newest whose checksum is right; None: begin at the beginning.

        A control plane that does not answer is asked again until the future is cancelled; what the disk or the control plane
        refuses is the future's error, since it says nothing of the checkpoint.
        """
        future: Future[Path | None] = Future()
        threading.Thread(target=self._fetch_newest, args=(future,), daemon=True).start()
        return future

    def take(self, message: Saved) -> None:
        """Notes the newest; it goes with the next `send`."""
        self._taken = message

    def send(self) -> None:
        """Sends what was taken, in the background: every report that came before it is acknowledged."""
        if self._taken is None:
            return
        with self._changed:
            self._ready, self._taken = self._taken, None
            self._changed.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, daemon=True)
            self._thread.start()

    def finish(self, timeout_s: float) -> None:
        """Sends what was taken and waits until it is there, or the time is over."""
        self.send()
        with self._changed:
            self._is_hurried = True
            self._changed.notify_all()
            if not self._changed.wait_for(self._is_idle, timeout_s):
                log.warning("the last checkpoint is not sent", attempt=str(self._attempt.attempt_id))

    def resumed(self, message: Resumed) -> None:
        """Tells the control plane, and people, that training goes on from a checkpoint."""
        log.info(
            "trial goes on",
            study=self._attempt.study,
            trial=self._attempt.trial,
            attempt=str(self._attempt.attempt_id),
            fold=message.fold,
            step=message.step,
        )
        threading.Thread(target=self._tell_resumed, args=(message.step,), daemon=True).start()

    def forget(self) -> None:
        """Ends the thread and removes the folder."""
        with self._changed:
            self._is_over = True
            self._ready = None
            self._changed.notify_all()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- before --------------------------------------------------------------------------------------------------

    def _fetch_newest(self, future: Future[Path | None]) -> None:
        found = None
        try:
            for offered in self._attempt.checkpoints:
                found = found or self._fetch_one(offered, future)
        except Exception as error:
            with suppress(InvalidStateError):  # cancelled meanwhile
                future.set_exception(error)
        else:
            with suppress(InvalidStateError):
                future.set_result(found)

    def _fetch_one(self, offered: CheckpointOut, future: Future[Path | None]) -> Path | None:
        """A checkpoint's file; None where it is gone or not what was saved, or nobody waits for it any more."""
        about = {"study": self._attempt.study, "trial": self._attempt.trial, "step": offered.step}
        while not future.cancelled():
            try:
                return self._download(offered)
            except ClientError as error:
                raise_if_stale(error)
                if error.status == GONE:
                    log.warning("a checkpoint is gone, so the one before is used", **about, error=str(error))
                    return None
                if error.status not in NO_ANSWER and error.status < 500:
                    raise
                log.warning("a checkpoint is waited for", **about, error=str(error))
                time.sleep(RETRY_S)
            except ValueError as error:
                log.warning("a checkpoint is bad, so the one before is used", **about, error=str(error))
                return None
        return None

    def _download(self, offered: CheckpointOut) -> Path:
        file = self.folder / f"{offered.sha256}.fetched"
        try:
            with file.open("wb") as opened:
                self._client.download_checkpoint(self._attempt.attempt_id, offered.sha256, opened)
        except BaseException:
            file.unlink(missing_ok=True)  # a part of it would only take up room
            raise
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        if found != offered.sha256:
            raise ValueError(f"its checksum is {found}")
        return file

    # ---- while it trains -----------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._ready is not None or self._is_over)
                if self._ready is None:
                    return
                message, self._ready, self._is_busy = self._ready, None, True
            self._upload(message)

    def _upload(self, message: Saved) -> None:
        """Sends one; without an answer it waits to be sent again, unless there is a newer one."""
        attempt_id, pause_s = self._attempt.attempt_id, EVERY_S
        try:
            self._client.save_checkpoint(attempt_id, message.fold, message.step, message.sha256, Path(message.file))
        except FileNotFoundError:
            return  # two newer ones were saved meanwhile
        except ClientError as error:
            log.warning("a checkpoint is not taken", attempt=str(attempt_id), step=message.step, error=str(error))
            if error.status in NO_ANSWER:
                pause_s = RETRY_S
                with self._changed:
                    self._ready = None if self._is_over else self._ready or message
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or (self._is_hurried and pause_s == EVERY_S), pause_s)

    def _is_idle(self) -> bool:
        return self._is_over or (self._ready is None and not self._is_busy)

    def _tell_resumed(self, step: int) -> None:
        try:
            self._client.resumed(self._attempt.attempt_id, step)
        except ClientError as error:
            log.warning("not told that it goes on", attempt=str(self._attempt.attempt_id), error=str(error))
