"""What a training process says of a trial in the trial's log: what it trains with, how it goes, how it ended.

Owns the words. They go to stderr, as whatever a trainer prints.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from tuner.wire_attempts import ClaimedAttempt
from tuner.worker.messages import Done, Failed, Outcome
from tuner.worker.trial_log import END_MARK

EVERY_S = 1.0  # epochs between two lines go without saying


class Narration:
    """Of one attempt."""

    def __init__(self, attempt: ClaimedAttempt, device: str) -> None:
        self._next_s = 0.0
        self._is_folded = attempt.folds * attempt.repeats > 1
        params = _listed({**attempt.fixed, **attempt.params})
        what = f"final fit of trial {attempt.trial}" if attempt.is_final else f"trial {attempt.trial}"
        _say(f"{what} of {attempt.study}: {attempt.trainer} on {attempt.dataset}, {device}")
        _say(f"with {params}")

    def resume(self, found: tuple[int, int] | None) -> None:
        """Tells after which fold and epoch it goes on, if an earlier attempt left a checkpoint."""
        if found is not None:
            where = f"fold {found[0]} " if self._is_folded else ""
            _say(f"goes on from the checkpoint of {where}epoch {found[1]}")

    def report(self, fold: int, step: int, metrics: Mapping[str, float]) -> None:
        """Tells of an epoch, at most once a second, and of every fold's end."""
        now_s = time.monotonic()
        if now_s < self._next_s and step > 0:
            return
        self._next_s = now_s + EVERY_S
        where = f"fold {fold} " if self._is_folded else ""
        _say(f"{where}{f'epoch {step}' if step else 'done'}: {_listed(metrics)}")

    def end(self, outcome: Outcome) -> None:
        """The last of the log."""
        if isinstance(outcome, Done):
            at = "" if outcome.best_step is None else f" at epoch {outcome.best_step}"
            _say(f"{outcome.state}{at}: {_listed(outcome.metrics)}")
        elif isinstance(outcome, Failed):
            _say(f"failed, {outcome.reason}: {outcome.error}")
        else:
            _say("stopped")
        sys.stderr.flush()
        sys.stderr.buffer.write(END_MARK)
        sys.stderr.buffer.flush()


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(
        f"{name}={value:.5g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items()
    )


def _say(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%d %H:%M:%SZ', time.gmtime())}  {text}", file=sys.stderr)  # noqa: T201 - the log
