"""A loop of the user's own over a study's trials: claims, keeps leases, reports, hands in results.

Owns `Study.trials` and `Trial`. A thread of the trial's keeps its lease while the loop's body works.

    for trial in client.study("boosting").trials():
        with trial:
            trial.report(step, val=...)
            trial.complete(val=...)
"""

from __future__ import annotations

import math
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, TypeVar

import structlog
from pydantic import PrivateAttr

from tuner.client import ClientError
from tuner.domain.redact import redacted
from tuner.patience import PAUSE_S, until_answered
from tuner.tracebacks import told
from tuner.wire import StudyOut
from tuner.wire_attempts import ClaimBody, ClaimedAttempt, CompleteBody, FailBody, ReportBody, TrialEnded
from tuner.wire_lifecycle import HEARTBEAT_S

if TYPE_CHECKING:
    from tuner.client import Client

T = TypeVar("T")
Reason = Literal["trainer-error", "out-of-memory", "device-fatal", "child-died", "timeout"]

CLAIM_WAIT_S = 5.0  # while others run the last trials: also how late a loop learns that the study has ended
MAX_ERROR = 50_000
SYSTEM = "system/"  # metrics of what the machine does, which are no result
ENDED = ("completed", "failed", "cancelled")

log = structlog.get_logger()


class TrialPruned(Exception):  # noqa: N818 - Optuna's own word
    """The pruner ends this trial; raised by `Trial.report`, taken by `with trial:`."""


class TrialStopped(Exception):  # noqa: N818 - beside TrialPruned
    """The trial is no longer ours to run: its study was paused or cancelled, or its lease was lost.

    Taken by `with trial:`, which gives the trial of a paused study back: it goes on when the study does.
    """


class NonFiniteError(ValueError):
    """A metric is NaN or infinite; in `with trial:` it fails the trial, and the loop goes on.

    Attributes:
        step: that of the report; None for the result's metrics.
        metric: the metric's name.
    """

    def __init__(self, metric: str, value: float, step: int | None) -> None:
        super().__init__(f"{metric} is {value}: only finite numbers can be compared")
        self.step = step
        self.metric = metric


class Study(StudyOut):
    """A study as `Client.study` gives it: what the service tells of it, and its trials to run."""

    _client: Client = PrivateAttr()

    def with_client(self, client: Client) -> Self:
        self._client = client
        return self

    def trials(self, holder: str | None = None) -> Iterator[Trial]:
        """Trials to run, one after the other, until the study has ended; for a study with `trainer: external`.

        A trial that is left without a result (by `break`, by an exception outside of `with trial:`) is given back and
        goes to whoever claims next; one that the loop goes on from without a result has failed.

        Args:
            holder: shown as the worker of these trials; left out: this machine's name and process.

        Raises:
            ValueError: the study's trials are trained by workers.
            ClientError: no answer, or a refusal.
        """
        if not self.spec.is_external:
            raise ValueError(
                f"{self.name} is trained by workers ({self.spec.trainer}): a loop of your own needs trainer: external"
            )
        return _trials(self._client, self, holder or f"{socket.gethostname()[:60]}-{os.getpid()}")


def _trials(client: Client, study: Study, holder: str) -> Iterator[Trial]:
    while (attempt := _claim(client, study.id, holder)) is not None:
        trial = Trial(client, attempt)
        try:
            yield trial
        except GeneratorExit:
            trial.leave()
            raise
        trial.require_end()


def _claim(client: Client, study_id: int, holder: str) -> ClaimedAttempt | None:
    """The next trial, waited for; None once the study has ended."""
    while True:
        body = ClaimBody(request_id=uuid.uuid4().hex, worker_id=holder, study_id=study_id, wait_s=CLAIM_WAIT_S)
        claimed = until_answered(partial(client.claim, body), log.warning)
        if claimed:
            return claimed[0]
        if until_answered(partial(client.study, study_id), log.warning).state in ENDED:
            return None


class Trial:
    """A trial that is ours to run, as long as its lease is kept.

    Attributes:
        number: in its study, from 0.
        params: the sampled parameters.
        fixed: the study's `fixed`.
        lease_s: how long it stays ours without a word to the control plane.
        seed: for whatever is random, from the study's seed and the number.
        attempt_id: of this execution.
        metrics: reported so far, each metric's last value.
    """

    def __init__(self, client: Client, attempt: ClaimedAttempt) -> None:
        self.number = attempt.trial
        self.study_id = attempt.study_id
        self.params = attempt.params
        self.fixed = attempt.fixed
        self.seed = attempt.seed
        self.objectives = [objective["metric"] for objective in attempt.objectives]
        self.trial_minutes = attempt.trial_minutes
        self.lease_s = attempt.lease_s
        self.attempt_id = attempt.attempt_id
        self.metrics: dict[str, float] = {}
        self._client = client
        self._is_lost = False
        self._is_pruned = False
        self._is_paused = False
        self._is_to_wait = False  # `report` has ended it for a pause
        self._ended = threading.Event()
        threading.Thread(target=self._keep, args=(attempt.lease_s,), name=f"lease-{self.number}", daemon=True).start()

    @property
    def has_ended(self) -> bool:
        """Whether it was handed in or given back, or is no longer ours."""
        return self._ended.is_set()

    @property
    def is_paused(self) -> bool:
        """Whether its study was paused while it ran: `report` says so, too, and the trial is then to be given back."""
        return self._is_paused and not self._ended.is_set()

    # ---- what the loop's body says -----------------------------------------------------------------------------------

    def report(self, step: int, metrics: Mapping[str, float] | None = None, /, **named: float) -> None:
        """Reports metrics after a step, counted from 1.

        Raises:
            TrialPruned: the pruner ends the trial.
            TrialStopped: it is no longer ours, or its study was paused.
            NonFiniteError: a metric is NaN or infinite.
        """
        self.report_all([(step, {**(metrics or {}), **named})])

    def report_all(self, reports: Iterable[tuple[int, Mapping[str, float]]]) -> int:
        """Reports several steps by one request, at most 1,000; gives how many. What comes before a fault is reported.

        Raises:
            TrialPruned, TrialStopped, NonFiniteError: see `report`.
        """
        sent: list[ReportBody] = []
        try:
            for step, metrics in reports:
                sent.append(ReportBody(step=step, metrics=_checked(metrics, step)))
        finally:
            if sent:
                self._send(sent)
        return len(sent)

    def complete(self, metrics: Mapping[str, float] | None = None, /, **named: float) -> str:
        """Hands in the result; gives the trial's state. It waits for a control plane that is away.

        Raises:
            TrialStopped: the trial is no longer ours, and the result was not taken.
            NonFiniteError: a metric is NaN or infinite.
            ClientError: the study's objectives are not all there.
        """
        body = CompleteBody(metrics=_checked({**(metrics or {}), **named}, None))
        return self._end(lambda: self._client.complete(self.attempt_id, body))

    def prune(self) -> str:
        """Ends the trial as pruned; what `report` asked for, or by a rule of your own."""
        body = CompleteBody(state="pruned", metrics=self.metrics)
        return self._end(lambda: self._client.complete(self.attempt_id, body))

    def fail(self, error: str = "", reason: Reason = "trainer-error") -> str:
        """Fails the trial, or has it tried again where the reason says nothing of it (`child-died`, `device-fatal`)."""
        return self._fail(FailBody(reason=reason, error=redacted(error, self._client.key)[-MAX_ERROR:]))

    def release(self) -> str:
        """Gives the trial back: whoever claims next runs it, with the same parameters."""
        return self._end(lambda: self._client.release(self.attempt_id))

    # ---- the body's end ----------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Ends the trial as the block ended; True where that was foreseen, and the loop goes on."""
        if error is None or self._ended.is_set():
            return isinstance(error, TrialPruned | TrialStopped)
        try:
            return self._end_by(error)
        except TrialStopped:
            return isinstance(error, NonFiniteError | TrialPruned | TrialStopped)

    def _end_by(self, error: BaseException) -> bool:
        if isinstance(error, TrialPruned):
            self.prune()
            return True
        if isinstance(error, TrialStopped):
            self.release()
            return True
        if isinstance(error, NonFiniteError):
            self._fail(FailBody(reason="non-finite", error=str(error), step=error.step, metric=error.metric))
            return True
        if isinstance(error, Exception):
            self.fail(told(error, self._client.key))
        else:  # Ctrl-C says nothing of the trial
            self.release()
        return False

    def leave(self) -> None:
        """The loop was left: a trial without a result is given back, one that was to be pruned is."""
        self._end_unless_ended(self.release)

    def require_end(self) -> None:
        """The loop went on: a trial without a result has failed."""
        error = "the loop went on without trial.complete(…): hand in a result, or say trial.fail(…)"
        self._end_unless_ended(self.release if self._is_to_wait else lambda: self.fail(error))

    def _end_unless_ended(self, end: Callable[[], str]) -> None:
        if self._ended.is_set():
            return
        try:
            self.prune() if self._is_pruned else end()
        except TrialStopped as stopped:
            log.info(str(stopped), study=self.study_id)

    # ---- the wire ----------------------------------------------------------------------------------------------------

    def _send(self, sent: list[ReportBody]) -> None:
        for each in sent:
            self.metrics |= {name: value for name, value in each.metrics.items() if not name.startswith(SYSTEM)}
        decision = self._insist(lambda: self._client.report(self.attempt_id, sent)).decision
        if decision == "prune":
            self._is_pruned = True
            raise TrialPruned
        self._is_paused = decision == "pause"
        if self._is_paused:
            self._is_to_wait = True
            raise TrialStopped(f"trial {self.number} waits: its study was paused")

    def _fail(self, body: FailBody) -> str:
        return self._end(lambda: self._client.fail(self.attempt_id, body))

    def _end(self, call: Callable[[], TrialEnded]) -> str:
        state = self._insist(call).state
        self._ended.set()
        return state

    def _insist(self, call: Callable[[], T]) -> T:
        """Calls until there is an answer.

        Raises:
            TrialStopped: the attempt is no longer ours.
            ClientError: another refusal.
        """
        try:
            if not self._is_lost:
                return until_answered(call, log.warning)
        except ClientError as error:
            if error.type != "stale-attempt":
                raise
        self._lose()
        raise TrialStopped(f"trial {self.number} is no longer ours: its study was cancelled, or its lease was lost")

    def _lose(self) -> None:
        self._is_lost = True
        self._ended.set()

    def _keep(self, lease_s: float) -> None:
        """Renews the lease until the trial ends, and learns of a pause; without an answer it tries again."""
        every_s = min(lease_s / 3, HEARTBEAT_S)
        pause_s = every_s
        while not self._ended.wait(pause_s):
            pause_s = every_s
            try:
                self._is_paused = self._client.report(self.attempt_id, [], lease_s=lease_s).decision == "pause"
            except ClientError as error:
                if error.type == "stale-attempt":
                    self._lose()
                    return
                log.warning("the lease was not renewed", trial=self.number, error=str(error))
                pause_s = min(PAUSE_S, every_s)


def _checked(metrics: Mapping[str, float], step: int | None) -> dict[str, float]:
    """Plain floats, also of numpy's and torch's numbers."""
    checked = {name: float(value) for name, value in metrics.items()}
    for name, value in checked.items():
        if not math.isfinite(value):
            raise NonFiniteError(name, value, step)
    return checked
