"""The warm training process: messages in on stdin, messages out on stdout, trial after trial.

Owns the pipes and the watch. The watch starts before torch is imported: the process ends when its stdin closes, so it
never outlives its agent. Whatever a trainer prints goes to stderr, which is the trial's log.
"""

from __future__ import annotations

import importlib
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Literal

from trainers.contract import TrialPruned, TrialStopped
from tuner.worker.messages import Decide, Ready, Reported, Run, ToChild, Told
from tuner.worker.narration import Narration


def main() -> None:
    """Serves until stdin closes."""
    pipe = _take_stdout()
    inbox: queue.SimpleQueue[Run] = queue.SimpleQueue()
    decision = Decision()
    threading.Thread(target=_listen, args=(inbox, decision), daemon=True).start()
    training = importlib.import_module("tuner.worker.training")
    profiling = importlib.import_module("tuner.worker.profiling")
    saving = importlib.import_module("tuner.worker.saving")
    device = training.warm_up(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    _send(pipe, Ready())

    while True:
        run = inbox.get()
        narration = Narration(run.attempt, device)
        states = saving.Saving(run, lambda: decision.wants_checkpoint, partial(_send, pipe))
        narration.resume(states.found)
        outcome = profiling.run_trial(run, device, _teller(pipe, decision, narration), states)
        narration.end(outcome)
        _send(pipe, outcome)


def _teller(pipe: IO[str], decision: Decision, narration: Narration) -> Callable[[int, int, Mapping[str, float]], None]:
    def tell(fold: int, step: int, metrics: Mapping[str, float]) -> None:
        _send(pipe, Reported(fold=fold, step=step, metrics=dict(metrics), at_s=time.monotonic()))
        narration.report(fold, step, metrics)
        decision.enforce()

    return tell


class Decision:
    """What the agent wants of the running trial; set by the listening thread, enforced at every report."""

    def __init__(self) -> None:
        self.wanted: Literal["prune", "stop"] | None = None
        self.wants_checkpoint = False

    def take(self, message: Decide) -> None:
        self.wants_checkpoint = message.checkpoint  # first: the training thread looks at it once the other is set
        self.wanted = message.decision

    def clear(self) -> None:
        self.wanted = None
        self.wants_checkpoint = False

    def enforce(self) -> None:
        """Ends the trial if so decided.

        Raises:
            TrialPruned: the pruner says so.
            TrialStopped: the attempt is no longer ours, or given back.
        """
        if self.wanted == "prune":
            raise TrialPruned
        if self.wanted == "stop":
            raise TrialStopped


def _take_stdout() -> IO[str]:
    """Keeps stdout for messages alone: prints of trainers and libraries go to stderr from here on."""
    sys.stdout.flush()
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return pipe


def _listen(inbox: queue.SimpleQueue[Run], decision: Decision) -> None:
    for line in sys.stdin.buffer:
        message = ToChild.validate_json(line)
        if isinstance(message, Decide):
            decision.take(message)
        else:
            decision.clear()  # here, where messages are read in order: what comes after is meant for this run
            inbox.put(message)
    # the agent is gone: nobody wants the rest, nor what trainers have started
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _send(pipe: IO[str], message: Told) -> None:
    pipe.write(message.model_dump_json() + "\n")
    pipe.flush()


if __name__ == "__main__":
    main()
