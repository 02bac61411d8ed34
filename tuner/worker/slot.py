"""One slot: claims a trial, has its child train it, sends what it reports, hands in the result; again and again.

Owns an attempt's life on the worker. Training never waits for the network: the child's messages gather while a request is
under way. The lease is kept by whatever is sent; an attempt that the control plane no longer knows is stopped.
"""

from __future__ import annotations

import queue
import shutil
import tarfile
import threading
import time
import traceback
import uuid
from concurrent.futures import wait
from pathlib import Path

import structlog

from tuner.client import Client, ClientError
from tuner.dataset_folder import BrokenFolderError
from tuner.wire import ClaimBody, ClaimedAttempt, CompleteBody, FailBody
from tuner.worker.data_cache import DataCache
from tuner.worker.devices import Device
from tuner.worker.messages import Decide, Done, Failed, Outcome, Ready, Reported, Run, Stopped
from tuner.worker.meter import Meter
from tuner.worker.outbox import GATHER_S, Outbox
from tuner.worker.process import Child

CLAIM_WAIT_S = 20.0
RETRY_S = 1.0
NO_ROOM_PAUSE_S = 10.0  # before the next claim of a machine that could not keep a data set
LOG_TIMEOUT_S = 2.0  # within which the last of what a child has printed is read
STOP_TIMEOUT_S = 10.0  # within which a child must have reached its next report

log = structlog.get_logger()


class StaleError(Exception):
    """The attempt is no longer ours."""


class Slot:
    """A thread with one child. `drain` makes it give back what it runs and end."""

    def __init__(
        self, client: Client, worker_id: str, device: Device, trainers: list[str], scratch: Path, cache: DataCache
    ) -> None:
        self._client = client
        self._cache = cache
        self._worker_id = worker_id
        self._device = device
        self._trainers = trainers
        self._scratch = scratch
        self._draining = threading.Event()
        self._child: Child | None = None
        self._is_training = False
        self._has_room = True
        self.thread = threading.Thread(target=self._run, name=f"slot-{device.name}", daemon=True)

    def drain(self) -> None:
        self._draining.set()

    def _run(self) -> None:
        try:
            while not self._draining.is_set():
                try:
                    self._warm_child()
                    for attempt in self._claim():
                        self._serve(attempt)
                except Exception:
                    log.exception("slot failed")  # no space for a folder, no process to be had: both may pass
                    self._draining.wait(RETRY_S)
        finally:
            if self._child is not None:
                self._child.stop()

    def _warm_child(self) -> Child:
        if self._child is None or not self._child.is_alive():
            self._child = Child(self._device)
        return self._child

    def _claim(self) -> list[ClaimedAttempt]:
        body = ClaimBody(
            request_id=uuid.uuid4().hex,
            worker_id=self._worker_id,
            slots=1,
            trainers=self._trainers,
            wait_s=CLAIM_WAIT_S,
        )
        try:
            return self._client.claim(body)
        except ClientError as error:
            if not self._draining.is_set():
                log.warning("cannot claim", error=str(error))
                self._draining.wait(RETRY_S)
            return []

    # ---- one attempt ---------------------------------------------------------------------------------------------

    def _serve(self, attempt: ClaimedAttempt) -> None:
        log.info("trial starts", study=attempt.study, trial=attempt.trial, attempt=str(attempt.attempt_id))
        folder = self._scratch / str(attempt.attempt_id)
        child = self._warm_child()
        outbox = Outbox(self._client, attempt.attempt_id, child.log, Meter(child.pid, self._device))
        try:
            folder.mkdir()
            child.log.clear()
            with self._cache.held(attempt.dataset_files):
                outcome = self._train(attempt, child, outbox, folder)
            self._hand_in(attempt, outcome, child, folder, outbox)
            if not self._has_room:
                self._draining.wait(NO_ROOM_PAUSE_S)  # for another machine to claim it
                self._has_room = True
        except StaleError:
            log.info("attempt is no longer ours", study=attempt.study, trial=attempt.trial)
            self._stop_training(child)
        except (ClientError, BrokenFolderError) as error:  # they tell people what to do
            log.exception("attempt is refused", study=attempt.study, trial=attempt.trial)
            self._stop_training(child)
            self._tell_failure(attempt, str(error))
        except Exception:
            log.exception("attempt failed on this side", study=attempt.study, trial=attempt.trial)
            self._stop_training(child)
            self._tell_failure(attempt, traceback.format_exc())
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            folder.with_suffix(".tar").unlink(missing_ok=True)

    def _train(self, attempt: ClaimedAttempt, child: Child, outbox: Outbox, folder: Path) -> Outcome | FailBody | None:
        """Has the child train, once the data set is here; None: it is given back."""
        data_folder = None
        if attempt.dataset_files is not None:
            data_folder = self._fetch(attempt, child, outbox)
            if data_folder is None:
                return None
        child.send(Run(attempt=attempt, folder=str(folder), data_folder=data_folder))
        self._is_training = True
        return self._follow(attempt, child, _Watch(attempt), outbox)

    def _fetch(self, attempt: ClaimedAttempt, child: Child, outbox: Outbox) -> str | None:
        """The data set's folder; heartbeats keep the lease until it is here.

        None: the slot drains, or this machine cannot hold the data set, which another may: the trial is given back.
        """
        fetching = self._cache.fetch(attempt)
        last_send_s = time.monotonic()
        try:
            while not self._draining.is_set():
                wait([fetching], GATHER_S)
                if fetching.done():
                    return str(fetching.result())
                if time.monotonic() - last_send_s >= attempt.lease_s / 3:
                    last_send_s = time.monotonic()
                    self._send(attempt, child, outbox)
        except OSError:
            log.exception("the data set cannot be kept here", study=attempt.study, dataset=attempt.dataset)
            self._has_room = False
        finally:
            fetching.cancel()
        return None

    def _tell_failure(self, attempt: ClaimedAttempt, error: str) -> None:
        """Fails an attempt that the slot itself could not bring to its end, so that its user sees why."""
        try:
            self._client.fail(attempt.attempt_id, FailBody(reason="trainer-error", error=error[-50_000:]))
        except ClientError as refusal:
            log.warning("the lease will expire", attempt=str(attempt.attempt_id), error=str(refusal))

    def _follow(
        self, attempt: ClaimedAttempt, child: Child, watch: _Watch, outbox: Outbox
    ) -> Outcome | FailBody | None:
        """Passes on what the child says until it is done; None: it is given back. Failures seen here are FailBodies."""
        last_send_s = time.monotonic()
        heartbeat_s = attempt.lease_s / 3
        outcome: Outcome | FailBody | None = None
        while outcome is None:
            if self._draining.is_set():
                self._stop_training(child)
                return None
            outcome = self._listen(child, watch, outbox, timeout_s=min(GATHER_S, heartbeat_s))
            if outcome is None and time.monotonic() - last_send_s >= outbox.due_s(heartbeat_s):
                last_send_s = time.monotonic()
                self._send(attempt, child, outbox)
        return outcome

    def _listen(self, child: Child, watch: _Watch, outbox: Outbox, *, timeout_s: float) -> Outcome | FailBody | None:
        """Takes the child's next message, if one comes in time; gives how the trial ended, if it did."""
        try:
            message = child.inbox.get(timeout=timeout_s)
        except queue.Empty:
            return self._over_limit(watch, child)
        watch.heard()
        if isinstance(message, Reported):
            outbox.add(message)
            return self._over_limit(watch, child)
        if message is None:
            self._child, self._is_training = None, False
            death = child.describe_death()
            return FailBody(
                reason="child-died", error=f"{death}\n{child.log.whole()[-10_000:].decode(errors='replace')}"
            )
        if isinstance(message, Ready):
            return None
        self._is_training = False
        return message

    def _send(self, attempt: ClaimedAttempt, child: Child, outbox: Outbox) -> None:
        """Sends reports or a heartbeat and obeys the answer; without one, training goes on."""
        try:
            decision = outbox.send()
        except ClientError as error:
            _raise_if_stale(error)
            log.warning("reports wait", study=attempt.study, trial=attempt.trial, error=str(error))
        else:
            if decision == "prune":
                child.send(Decide(decision="prune"))

    def _over_limit(self, watch: _Watch, child: Child) -> FailBody | None:
        failure = watch.over_limit()
        if failure is not None:
            child.kill()
            self._child = None
        return failure

    def _stop_training(self, child: Child) -> None:
        """Lets a healthy child come to its next report and stay warm; replaces one that does not."""
        if self._child is None or not self._is_training:
            return
        self._is_training = False
        child.send(Decide(decision="stop"))
        deadline_s = time.monotonic() + STOP_TIMEOUT_S
        while time.monotonic() < deadline_s:
            try:
                message = child.inbox.get(timeout=0.2)
            except queue.Empty:
                continue
            if message is None or isinstance(message, Done | Failed | Stopped):
                return
        child.kill()
        self._child = None

    # ---- the result ----------------------------------------------------------------------------------------------

    def _hand_in(
        self,
        attempt: ClaimedAttempt,
        outcome: Outcome | FailBody | None,
        child: Child,
        folder: Path,
        outbox: Outbox,
    ) -> None:
        while True:
            try:
                outbox.flush(with_log=outcome is None or isinstance(outcome, Stopped))
                self._hand_in_once(attempt, outcome, child, folder)
            except ClientError as error:
                _raise_if_stale(error)
                if error.status and error.status < 500:
                    raise
                log.warning("the result waits", study=attempt.study, trial=attempt.trial, error=str(error))
                time.sleep(RETRY_S)
            else:
                return

    def _hand_in_once(
        self, attempt: ClaimedAttempt, outcome: Outcome | FailBody | None, child: Child, folder: Path
    ) -> None:
        if outcome is None or isinstance(outcome, Stopped):
            self._client.release(attempt.attempt_id)
            return
        if not (folder / "log.txt").exists():
            child.log.wait_for_end(LOG_TIMEOUT_S if child.is_alive() else 0.0)
            (folder / "log.txt").write_bytes(child.log.whole())
        tar = folder.with_suffix(".tar")
        _pack(folder, tar)
        self._client.upload(attempt.attempt_id, tar)
        if isinstance(outcome, Done):
            body = CompleteBody(state=outcome.state, metrics=outcome.metrics, best_step=outcome.best_step)
            ended = self._client.complete(attempt.attempt_id, body)
        else:
            ended = self._client.fail(attempt.attempt_id, _failure(outcome))
            if isinstance(outcome, Failed) and outcome.broken and self._child is not None:
                self._child.kill()
                self._child = None
        log.info("trial ended", study=attempt.study, trial=attempt.trial, state=ended.state)


class _Watch:
    """A trial's limits of time: the whole, and without a word."""

    def __init__(self, attempt: ClaimedAttempt) -> None:
        self._trial_s = None if attempt.trial_minutes is None else attempt.trial_minutes * 60
        self._silent_s = None if attempt.no_progress_minutes is None else attempt.no_progress_minutes * 60
        self._started_s = self._heard_s = time.monotonic()

    def heard(self) -> None:
        self._heard_s = time.monotonic()

    def over_limit(self) -> FailBody | None:
        now_s = time.monotonic()
        if self._trial_s is not None and now_s - self._started_s > self._trial_s:
            return FailBody(reason="timeout", error=f"not done after limits.trial_minutes, {self._trial_s / 60:g}")
        if self._silent_s is not None and now_s - self._heard_s > self._silent_s:
            return FailBody(
                reason="no-progress", error=f"no report for limits.no_progress_minutes, {self._silent_s / 60:g}"
            )
        return None


def _failure(outcome: Failed | FailBody) -> FailBody:
    if isinstance(outcome, FailBody):
        return outcome
    return FailBody(reason=outcome.reason, error=outcome.error[-50_000:], step=outcome.step, metric=outcome.metric)


def _raise_if_stale(error: ClientError) -> None:
    if error.type == "stale-attempt":
        raise StaleError from error


def _pack(folder: Path, tar: Path) -> None:
    with tarfile.open(tar, mode="w") as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.add(file, arcname=file.relative_to(folder).as_posix())
