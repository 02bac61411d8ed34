"""The training process's end of checkpoints: when a state is saved, where, and what of it an attempt goes on from.

Owns the cadence: saving takes at most a fiftieth of the time, begins once a trial is worth it, and always happens when the
agent asks for it. A trial of several rounds (folds, repeats) keeps what its earlier rounds came to.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from trainers import checkpoint
from trainers.contract import State
from tuner.worker.messages import Resumed, Run, Saved

FIRST_S = 2.0  # of a trial: before, doing it again costs less than saving it
SHARE = 0.02  # of the time that saving may take
RETRY_S = 30.0  # after a disk that is full
KEPT = 2
KEYS = {"fold", "rounds", "first", "state"}


class Saving:
    """The checkpoints of one attempt.

    Args:
        run: what the attempt is.
        is_wanted: whether the agent, which stops the trial, wants a last checkpoint.
        tell: says to the agent what was saved, or found.
    """

    def __init__(self, run: Run, is_wanted: Callable[[], bool], tell: Callable[[Saved | Resumed], None]) -> None:
        self._folder = None if run.checkpoint_folder is None else Path(run.checkpoint_folder)
        self._is_wanted = is_wanted
        self._tell = tell
        self._next_s = perf_counter() + FIRST_S
        self._files: list[Path] = []  # the newest last
        self._rounds: list[dict[str, float]] = []  # metrics and facts of those that are over
        self._first: State | None = None  # the end of round 0, whose model is exported
        self._found = _read(run.checkpoint)

    @property
    def found(self) -> tuple[int, int] | None:
        """Round and epoch after which training goes on."""
        return None if self._found is None else (self._found["fold"], self._found["state"]["step"])

    def is_over(self, fold: int) -> bool:
        """Whether an earlier attempt has finished this round."""
        return self._found is not None and fold < self._found["fold"]

    def metrics_of(self, fold: int) -> dict[str, float]:
        """What a round came to that is over."""
        assert self._found is not None
        metrics: dict[str, float] = self._found["rounds"][fold]
        return metrics

    def note(self, metrics: dict[str, float]) -> None:
        """Notes what the next round came to."""
        self._rounds.append(metrics)

    def load(self, fold: int) -> State | None:
        """The state that a round goes on from; of one that is over, its end."""
        if self._found is None or fold > self._found["fold"]:
            return None
        if self.is_over(fold):
            first: State | None = self._found["first"]
            return first
        state: State = self._found["state"]
        self._tell(Resumed(fold=fold, step=state["step"]))
        return state

    def offer(self, fold: int, step: int, state: Callable[[], State], *, stopping: bool) -> None:
        """Saves a round's state if that is due."""
        if self._folder is None:
            return
        if self._is_wanted() if stopping else perf_counter() >= self._next_s:
            self._save(self._folder, fold, step, state)

    def end(self, fold: int, state: Callable[[], State]) -> None:
        """Keeps the end of the first round."""
        if fold == 0:
            self._first = state()

    def _save(self, folder: Path, fold: int, step: int, state: Callable[[], State]) -> None:
        began_s = perf_counter()
        number = int(self._files[-1].stem) + 1 if self._files else 1
        whole = {"fold": fold, "rounds": self._rounds, "first": self._first, "state": state()}
        try:
            written = checkpoint.write(folder / f"{number}.checkpoint", whole)
        except OSError as error:  # training goes on without
            self._next_s = perf_counter() + RETRY_S
            sys.stderr.write(f"no checkpoint of epoch {step}: {error}\n")
            return
        self._files.append(written.file)
        for old in self._files[:-KEPT]:
            old.unlink(missing_ok=True)
        del self._files[:-KEPT]
        self._tell(Saved(fold=fold, step=step, file=str(written.file), sha256=written.sha256))
        now_s = perf_counter()
        self._next_s = now_s + (now_s - began_s) / SHARE


@dataclass(frozen=True)
class Round:
    """What a trainer is given in one round: a `trainers.contract.Checkpoint`."""

    saving: Saving
    fold: int

    def load(self) -> State | None:
        return self.saving.load(self.fold)

    def save(self, step: int, state: Callable[[], State], *, stopping: bool = False) -> None:
        self.saving.offer(self.fold, step, state, stopping=stopping)

    def end(self, state: Callable[[], State]) -> None:
        self.saving.end(self.fold, state)


def _read(file: str | None) -> dict[str, Any] | None:
    """What an earlier attempt saved; a file that is bad is told of, and training begins at the beginning."""
    if file is None:
        return None
    try:
        found = checkpoint.read(Path(file))
    except (checkpoint.BadCheckpointError, OSError) as error:
        sys.stderr.write(f"the checkpoint cannot be used: {error}\n")
        return None
    if found.keys() == KEYS:
        return found
    sys.stderr.write(f"the checkpoint cannot be used: {Path(file).name} is not one of a trial\n")
    return None
