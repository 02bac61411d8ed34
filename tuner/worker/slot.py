"""One slot: claims a trial, has its child train it, sends what it reports, hands in the result; again and again.

Owns an attempt's life on the worker. Training never waits for the network: the child's messages gather while a request is
under way, and reports wait on the disk. The lease is kept by whatever is sent; an attempt that the control plane no longer
knows is stopped.
"""

from __future__ import annotations

import queue
import shutil
import threading
import time
from pathlib import Path
from typing import Literal

import structlog

from tuner import disk
from tuner.client import Client, ClientError
from tuner.dataset_folder import BrokenFolderError
from tuner.tracebacks import told
from tuner.wire_attempts import ClaimedAttempt, FailBody
from tuner.worker import needs, results
from tuner.worker.checkpoints import Checkpoints
from tuner.worker.claimer import Claimer
from tuner.worker.data_cache import DataCache
from tuner.worker.devices import Device
from tuner.worker.lease import RETRY_S, Lease, StaleError, heartbeat_s, raise_if_stale
from tuner.worker.messages import Decide, Done, Failed, Outcome, Ready, Reported, Resumed, Run, Saved, Stopped
from tuner.worker.meter import Meter
from tuner.worker.outbox import GATHER_S, Outbox
from tuner.worker.process import Child
from tuner.worker.room import Room
from tuner.worker.watch import Watch

NO_ROOM_PAUSE_S = 10.0  # before the next claim of a machine that could not keep a data set, or a trial's files
STOP_TIMEOUT_S = 10.0  # within which a child must have reached its next report
CANCEL_TIMEOUT_S = 7.0  # the same of a trial that is no longer ours: 10 s with the heartbeat that told so

Ended = Outcome | FailBody | Literal["dead"]
"""What a child has said last, why the slot has had enough of it, or that it is dead."""

log = structlog.get_logger()


class Slot:
    """A thread with one child. `drain` makes it give back what it runs and end.

    Args:
        client: of the control plane.
        worker_id: the agent's.
        device: to train on.
        trainers: name@version of those that are here.
        scratch: folder for the files of trials.
        cache: the agent's data sets.
        room: on the disk of `scratch`; without it nothing is claimed.
    """

    def __init__(
        self,
        client: Client,
        worker_id: str,
        device: Device,
        trainers: list[str],
        scratch: Path,
        cache: DataCache,
        room: Room,
        weights: Path | None = None,
    ) -> None:
        self._client = client
        self._cache = cache
        self._device = device
        self._scratch = scratch
        self._draining = threading.Event()
        self._room = room
        self._weights = weights
        self._claimer = Claimer(client, worker_id, trainers, room, self._draining)
        self._child: Child | None = None
        self._checkpoints: Checkpoints | None = None  # of the attempt that is served
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
                    for attempt in self._claimer.claim():
                        self._serve(attempt)
                    if not self._has_room:
                        self._draining.wait(NO_ROOM_PAUSE_S)  # for another machine to claim it
                        self._has_room = True
                except Exception:
                    log.exception("slot failed")  # no space for a folder, no process to be had: both may pass
                    self._draining.wait(RETRY_S)
        finally:
            if self._child is not None:
                self._child.stop()

    def _warm_child(self) -> Child:
        if self._child is not None and not self._child.is_alive():
            self._drop(self._child)  # what its trainers have started may live on
        if self._child is None:
            self._child = Child(self._device, self._weights)
        return self._child

    # ---- one attempt ---------------------------------------------------------------------------------------------

    def _serve(self, attempt: ClaimedAttempt) -> None:
        log.info("trial starts", study=attempt.study, trial=attempt.trial, attempt=str(attempt.attempt_id))
        folder = self._scratch / str(attempt.attempt_id)
        child = self._warm_child()
        meter, waiting = Meter(child.pid, self._device), folder.with_suffix(".reports")
        outbox = Outbox(self._client, attempt.attempt_id, attempt.lease_s, child.log, meter, waiting)
        try:
            folder.mkdir()
            self._checkpoints = Checkpoints(self._client, attempt, folder.with_suffix(".checkpoints"))
            child.log.clear()
            with self._cache.held(attempt.dataset_files):
                end = self._train(attempt, child, outbox, folder)
            with Lease(self._client, attempt) as lease:
                outcome = self._unless_full(attempt, self._concluded(child, end, outbox))
                results.hand_in(self._client, attempt, lease, outcome, child, folder, outbox, self._checkpoints)
        except StaleError:
            log.info("attempt is no longer ours", study=attempt.study, trial=attempt.trial)
            self._stop_training(child, CANCEL_TIMEOUT_S)
        except Exception as error:
            log.exception("attempt failed on this side", study=attempt.study, trial=attempt.trial)
            with Lease(self._client, attempt):
                self._stop_training(child)
                self._tell(attempt, error)
        finally:
            outbox.close()
            if self._checkpoints is not None:
                self._checkpoints.forget()
                self._checkpoints = None
            shutil.rmtree(folder, ignore_errors=True)
            for beside in (".tar", ".reports"):
                folder.with_suffix(beside).unlink(missing_ok=True)

    def _tell(self, attempt: ClaimedAttempt, error: Exception) -> None:
        """Gives back what this machine's disk has no room for; fails what else did not go well on this side."""
        if disk.is_full(error):
            self._make_room()
            results.give_back(self._client, attempt)
        elif isinstance(error, ClientError | BrokenFolderError):  # they tell people what to do
            results.tell_failure(self._client, attempt, str(error))
        else:
            results.tell_failure(self._client, attempt, told(error, self._client.key))

    def _make_room(self) -> None:
        self._cache.evict()
        self._has_room = False

    def _unless_full(self, attempt: ClaimedAttempt, outcome: Outcome | FailBody | None) -> Outcome | FailBody | None:
        """How the trial ended; None, given back, where it failed because this machine's disk is full."""
        trial = (attempt.study_id, attempt.trial)
        if not isinstance(outcome, Failed) or not self._room.explains(trial, outcome.error):
            return outcome
        log.error("a trial failed on a full disk", study=attempt.study, trial=attempt.trial, error=outcome.error[-500:])
        self._make_room()
        return None

    def _train(self, attempt: ClaimedAttempt, child: Child, outbox: Outbox, folder: Path) -> Ended | None:
        """Has the child train, once all that it needs is here; None: the trial is to be given back."""
        assert self._checkpoints is not None
        watch = Watch(attempt)
        found = needs.fetch(self._client, attempt, self._cache, self._checkpoints, watch, self._draining)
        if not isinstance(found, needs.Needs):
            return found
        watch.heard()
        self._is_training = True
        child.send(
            Run(
                attempt=attempt,
                folder=str(folder),
                data_folder=None if found.data_folder is None else str(found.data_folder),
                checkpoint=None if found.checkpoint is None else str(found.checkpoint),
                # a final fit killed halfway begins again: a claim names no checkpoints of it
                checkpoint_folder=None if attempt.is_final else str(self._checkpoints.folder),
            )
        )
        return self._follow(attempt, child, watch, outbox)

    def _follow(self, attempt: ClaimedAttempt, child: Child, watch: Watch, outbox: Outbox) -> Ended | None:
        """Passes on what the child says until it is done; None: the trial is to be given back."""
        last_send_s = time.monotonic()
        every_s = heartbeat_s(attempt)
        end: Ended | None = None
        is_paused = False
        while end is None:
            if self._draining.is_set() or is_paused:
                return None
            end = self._listen(child, watch, outbox, timeout_s=min(GATHER_S, every_s))
            for _ in range(child.inbox.qsize()):  # all that has gathered while the last request waited for its answer
                end = end or self._listen(child, watch, outbox, timeout_s=0.0)
            if end is None and time.monotonic() - last_send_s >= outbox.due_s(every_s):
                last_send_s = time.monotonic()
                is_paused = self._send(attempt, child, outbox) == "pause"
            if self._checkpoints is not None and outbox.is_empty:
                self._checkpoints.send()
        return end

    def _listen(self, child: Child, watch: Watch, outbox: Outbox, *, timeout_s: float) -> Ended | None:
        """Takes the child's next message, if one comes in time; gives how the trial ended, if it did."""
        try:
            message = child.inbox.get(timeout=timeout_s)
        except queue.Empty:
            return watch.over_limit()
        watch.heard()
        if isinstance(message, Reported | Saved | Resumed):
            self._note(message, outbox)
            return watch.over_limit()
        if message is None:
            return "dead"
        if isinstance(message, Ready):
            return None
        self._is_training = False
        return message

    def _concluded(self, child: Child, end: Ended | None, outbox: Outbox) -> Outcome | FailBody | None:
        """How a trial ended, once its child is warm for the next one or gone; None: it is given back."""
        if end is None:
            return self._stop_training(child, outbox=outbox)
        if end == "dead":
            self._child, self._is_training = None, False
            return child.tell_death()
        if self._is_training or (isinstance(end, Failed) and end.broken):  # over a limit, or of no more use
            self._drop(child)
        return end

    def _note(self, message: Reported | Saved | Resumed, outbox: Outbox) -> None:
        assert self._checkpoints is not None
        if isinstance(message, Reported):
            outbox.add(message)
        elif isinstance(message, Saved):
            self._checkpoints.take(message)
        else:
            self._checkpoints.resumed(message)

    def _send(self, attempt: ClaimedAttempt, child: Child, outbox: Outbox) -> Literal["continue", "prune", "pause"]:
        """Sends reports or a heartbeat, tells the child to prune, and gives the decision; without one, training goes on."""
        try:
            decision = outbox.send()
        except ClientError as error:
            raise_if_stale(error)
            log.warning("reports wait", study=attempt.study, trial=attempt.trial, error=str(error))
            return "continue"
        if decision == "prune":
            child.send(Decide(decision="prune"))
        return decision

    def _stop_training(
        self, child: Child, timeout_s: float = STOP_TIMEOUT_S, *, outbox: Outbox | None = None
    ) -> Done | None:
        """Lets a healthy child come to its next report and stay warm; replaces one that does not.

        With an outbox the trial is to go on elsewhere: the child saves a last checkpoint, and what it has reported is kept.
        Gives the result if it was done just then.
        """
        if self._child is None or not self._is_training:
            return None
        try:
            child.send(Decide(decision="stop", checkpoint=outbox is not None))
            ended = self._await_end(child, timeout_s, outbox)
        except BaseException:
            self._drop(child)  # it may still train, and what it says would be taken for the next trial's
            raise
        self._is_training = False
        if ended is None or (isinstance(ended, Failed) and ended.broken):
            self._drop(child)
        return ended if isinstance(ended, Done) else None

    def _await_end(self, child: Child, timeout_s: float, outbox: Outbox | None) -> Outcome | None:
        """How the child ended the trial; None: it is dead, or did not in time."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            try:
                message = child.inbox.get(timeout=0.2)
            except queue.Empty:
                continue
            if isinstance(message, Reported | Saved | Resumed) and outbox is not None:
                self._note(message, outbox)
            if message is None or isinstance(message, Done | Failed | Stopped):
                return message
        return None

    def _drop(self, child: Child) -> None:
        """Ends a child that is of no more use; the next trial gets another."""
        self._child, self._is_training = None, False
        child.kill()
