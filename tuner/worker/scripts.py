"""`tuner run`: a script of the user's own as the trainer of an external study, one process a trial, some at once.

Owns a trial's way from the claim to the script's exit. Leases are kept by `tuner.loop`; the code stays on this machine.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from tuner.client import Client, ClientError
from tuner.loop import CLAIM_WAIT_S, Reason, Study, Trial, TrialStopped
from tuner.patience import until_answered
from tuner.worker import devices
from tuner.worker.agent import new_scratch
from tuner.worker.command import BadReportError, Command
from tuner.worker.devices import Device
from tuner.worker.meter import Meter
from tuner.worker.outbox import Outbox

POLL_S = 0.1
REPORTS_AT_ONCE = 100  # even those with very many metrics fit into one request
GIVE_BACK_S = CLAIM_WAIT_S + 1.0  # what was being claimed is given back, too
MLFLOW_WAIT_S = 15.0  # for a trial's run; a script starts without it if MLflow is further behind

Say = Callable[[str], None]


class _InterruptedError(BaseException):
    """Ends a trial without a word on it, as Ctrl-C does: it is given back."""


def run(client: Client, study: Study, words: Sequence[str], *, slots: int | None, say: Say) -> None:
    """Runs trials until the study has ended. An interrupt ends the processes, gives back what ran, and is raised again.

    A control plane that is away then is not waited for: it takes back by itself what is not renewed.

    Args:
        client: with the admin key, which the script is given for MLflow.
        study: external.
        words: the command.
        slots: how many trials at once; None: one for every GPU, or core.
        say: prints a line for people.

    Raises:
        ClientError: a refusal by the control plane.
    """
    stop = threading.Event()
    holder = f"{socket.gethostname()[:60]}-run-{os.getpid()}"
    scratch = new_scratch()
    all_slots = [_Slot(client, study, words, device, scratch, stop, say) for device in devices.find(slots)]
    threads = [threading.Thread(target=slot.serve, args=(holder,), daemon=True) for slot in all_slots]
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(POLL_S)  # not join: in Python 3.11 one that is interrupted takes its thread for ended
    except BaseException:
        say("giving back what runs …")
        stop.set()
        _end_scripts(all_slots)
        if not _have_ended(threads, GIVE_BACK_S):
            say(
                "the control plane does not answer: leases of what ran here expire by themselves, and others run it then"
            )
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for slot in all_slots:
        if slot.error is not None:
            raise slot.error


def _end_scripts(all_slots: Sequence[_Slot]) -> None:
    """Ends what runs, also where a slot's thread waits for the control plane."""
    commands = [slot.command for slot in all_slots if slot.command is not None]
    for command in commands:
        command.let_go()
    for command in commands:
        command.stop()


def _have_ended(threads: Sequence[threading.Thread], timeout_s: float) -> bool:
    deadline_s = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


@dataclass(frozen=True)
class _Run:
    """A trial's run in MLflow, and the study's experiment there."""

    id: str
    experiment_id: str


@dataclass(frozen=True)
class _Failure:
    """Why a trial has no result."""

    error: str
    reason: Reason = "trainer-error"


class _Slot:
    """A device on which one trial runs at a time.

    Attributes:
        command: the process of the trial that runs.
        error: what ended the slot before the study's end.
    """

    def __init__(
        self,
        client: Client,
        study: Study,
        words: Sequence[str],
        device: Device,
        scratch: Path,
        stop: threading.Event,
        say: Say,
    ) -> None:
        self._client = client
        self._study = study
        self._words = words
        self._device = device
        self._scratch = scratch
        self._stop = stop
        self._say = say
        self.command: Command | None = None
        self.error: Exception | None = None

    def serve(self, holder: str) -> None:
        try:
            for trial in self._study.trials(holder):
                self._serve_one(trial)
        except _InterruptedError:
            pass
        except Exception as error:
            self.error = error
            self._stop.set()

    def _serve_one(self, trial: Trial) -> None:
        with trial:
            run = self._mlflow_run(trial)
            folder, params = self._scratch / str(trial.attempt_id), {**trial.fixed, **trial.params}
            command = self.command = Command(folder, self._words, params, self._environment(trial, run))
            try:
                try:
                    ending = self._follow(trial, command)
                finally:
                    command.stop()
                    self._upload(trial, command)
                self._hand_in(
                    trial, ending if isinstance(ending, _Failure) else self._result(trial, ending, run), command
                )
            finally:
                self.command = None
                command.forget()
        self._tell(trial)

    # ---- before ------------------------------------------------------------------------------------------------------

    def _mlflow_run(self, trial: Trial) -> _Run | None:
        """The trial's run, once its parameters are there: the script may then log to it."""
        deadline_s = time.monotonic() + MLFLOW_WAIT_S
        while time.monotonic() < deadline_s:
            self._check(trial)
            with contextlib.suppress(ClientError):  # an MLflow that is away keeps no trial waiting for good
                run_id = self._client.trial(trial.study_id, trial.number).run_id
                if run_id is not None and (found := self._client.mlflow_run(run_id))["data"].get("params"):
                    return _Run(run_id, found["info"]["experiment_id"])
            self._stop.wait(POLL_S)
        self._say(f"trial {trial.number}: MLflow is behind, so the script starts without a run of its own")
        return None

    def _environment(self, trial: Trial, run: _Run | None) -> dict[str, str]:
        return {
            **self._device.environment,
            "TUNER_STUDY": self._study.name,
            "TUNER_TRIAL": str(trial.number),
            "TUNER_SEED": str(trial.seed),
            "MLFLOW_TRACKING_URI": f"{self._client.url}/mlflow",
            "MLFLOW_TRACKING_TOKEN": self._client.key,
            # the experiment is for runs that the script opens below its trial's or after it
            **({} if run is None else {"MLFLOW_RUN_ID": run.id, "MLFLOW_EXPERIMENT_ID": run.experiment_id}),
        }

    # ---- while it runs -----------------------------------------------------------------------------------------------

    def _follow(self, trial: Trial, command: Command) -> int | _Failure:
        """Passes on what it reports until it exits; gives the exit code, or why it had to be ended.

        Raises:
            TrialPruned: the pruner ends it.
            TrialStopped: it is no longer ours.
            NonFiniteError: it reported a number that is not finite.
        """
        meter = Meter(command.pid, self._device)
        outbox = Outbox(self._client, trial.attempt_id, command.log, meter)
        limit_s = math.inf if trial.trial_minutes is None else trial.trial_minutes * 60
        deadline_s = time.monotonic() + limit_s
        try:
            while True:
                code = command.wait(POLL_S)
                self._pass_on(trial, command, meter)
                self._check(trial)  # before the code is believed: an interrupt has ended the script by our own hand
                if code is not None:
                    return code
                command.read_log()
                with contextlib.suppress(ClientError):  # it is sent again; whether the trial is ours, the lease tells
                    outbox.send_log()
                if time.monotonic() > deadline_s:
                    return _Failure(f"not done after limits.trial_minutes, {trial.trial_minutes:g}", "timeout")
        except (BadReportError, ValidationError) as error:
            return _Failure(str(error))

    def _pass_on(self, trial: Trial, command: Command, meter: Meter) -> None:
        """Passes on what was reported, many steps by one request: a script may report faster than each could be sent."""
        reports = ((step, {**meter.sample(), **metrics}) for step, metrics in command.reports())
        while trial.report_all(itertools.islice(reports, REPORTS_AT_ONCE)):
            self._check(trial)

    def _check(self, trial: Trial) -> None:
        if self._stop.is_set():
            raise _InterruptedError
        if trial.has_ended:
            raise TrialStopped

    # ---- after -------------------------------------------------------------------------------------------------------

    def _result(self, trial: Trial, code: int, run: _Run | None) -> dict[str, float] | _Failure:
        """What the script said of the study's objectives: each metric's last value."""
        if code < 0:
            return _Failure(f"ended by signal {-code}", "child-died")
        if code > 0:
            return _Failure(f"exit code {code}")
        wanted = [*trial.objectives, *(constraint.metric for constraint in self._study.spec.constraints)]
        if all(metric in trial.metrics for metric in wanted):
            return trial.metrics
        result = self._logged(run, wanted) | trial.metrics
        missing = [metric for metric in wanted if metric not in result]
        if not missing:
            return result
        cure = "call tuner.report(step, {…}) with it, or log it to the trial's run in MLflow"
        return _Failure(f"exit code 0, and not a word of {', '.join(missing)}: {cure}")

    def _logged(self, run: _Run | None, wanted: Sequence[str]) -> dict[str, float]:
        """Metrics that the script itself logged to MLflow."""
        if run is None:
            return {}
        points = until_answered(partial(self._client.mlflow_run, run.id), self._say)["data"].get("metrics", [])
        return {point["key"]: float(point["value"]) for point in points if point["key"] in wanted}

    def _hand_in(self, trial: Trial, result: dict[str, float] | _Failure, command: Command) -> None:
        if isinstance(result, _Failure):
            trial.fail(f"{result.error}\n{command.tail()}".strip(), result.reason)
        else:
            trial.complete(result)

    def _upload(self, trial: Trial, command: Command) -> None:
        if trial.has_ended:
            return
        try:
            self._client.upload(trial.attempt_id, command.packed_log())
        except ClientError as error:
            self._say(f"trial {trial.number}: its log was not taken: {error}")

    def _tell(self, trial: Trial) -> None:
        ended = until_answered(partial(self._client.trial, trial.study_id, trial.number), self._say)
        values = ", ".join(
            f"{name} {value:g}" for name, value in zip(trial.objectives, ended.values or [], strict=False)
        )
        lines = (ended.error or "").splitlines()
        why = f": {': '.join(dict.fromkeys([lines[0], lines[-1]]))}" if lines else ""
        self._say(f"trial {trial.number} {ended.state}{f': {values}' if values else why}")
