"""A look inside one trial: which operators its training spends its time on, as torch's profiler sees them.

Owns how much is looked at: a few epochs after the first, which warms up, and so many calls of layers at most, since a trace
of a whole training would be larger than its model.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.profiler import ProfilerActivity

from tuner.worker import training
from tuner.worker.messages import Done, Outcome, Run
from tuner.worker.saving import Saving

FOLDER = "profile"
EPOCHS = 2
MAX_CALLS = 2_000  # of layers: some ten operators each, forwards and backwards, or 300 bytes each in the trace, zipped
MAX_OPERATORS = 40  # in the table


def run_trial(run: Run, device: str, tell: training.Tell, saving: Saving) -> Outcome:
    """As `training.run_trial`; a trial that is to be profiled and completes has `profile/…` among its files."""
    if not run.attempt.profile:
        return training.run_trial(run, device, tell, saving)
    profile = Profile(device)
    if {**run.attempt.fixed, **run.attempt.params}.get("epochs") == 1:
        profile.start()

    def tell_and_look(fold: int, step: int, metrics: Mapping[str, float]) -> None:
        profile.epoch_ended()
        tell(fold, step, metrics)

    try:
        outcome = training.run_trial(run, device, tell_and_look, saving)
    finally:
        profile.stop()
    if isinstance(outcome, Done) and outcome.state == "complete":
        try:
            profile.write(Path(run.folder, FOLDER))
        except Exception:  # the trial is complete all the same: looking at it must not fail it
            sys.stderr.write(f"no profile: {traceback.format_exc()}")
    return outcome


class Profile:
    """Of one training, in the thread that trains."""

    def __init__(self, device: str) -> None:
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * device.startswith("cuda")
        self._profiler = torch.profiler.profile(activities=activities)
        self._sort_by = "self_device_time_total" if device.startswith("cuda") else "self_cpu_time_total"
        self._epochs = 0
        self._calls = 0
        self._hook: Any = None

    def start(self) -> None:
        self._profiler.start()
        self._hook = register_module_forward_pre_hook(self._called)

    def stop(self) -> None:
        """Ends the look, if it is not over."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
            self._profiler.stop()

    def epoch_ended(self) -> None:
        self._epochs += 1
        if self._epochs == 1 and self._hook is None:
            self.start()
        elif self._epochs > EPOCHS:
            self.stop()

    def _called(self, *_: Any) -> None:
        self._calls += 1
        if self._calls >= MAX_CALLS:
            self.stop()

    def write(self, folder: Path) -> None:
        """Writes `trace.json.gz`, for chrome://tracing and Perfetto, and `operators.txt`."""
        folder.mkdir()
        self._profiler.export_chrome_trace(str(folder / "trace.json.gz"))
        table = self._profiler.key_averages().table(sort_by=self._sort_by, row_limit=MAX_OPERATORS)
        (folder / "operators.txt").write_text(table)
