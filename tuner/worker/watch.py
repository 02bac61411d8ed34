"""A trial's limits of time on its worker: the whole of it, and without a word."""

from __future__ import annotations

import time

from tuner.wire_attempts import ClaimedAttempt, FailBody


class Watch:
    """Begins with the attempt, so that what comes before its training counts as well."""

    def __init__(self, attempt: ClaimedAttempt) -> None:
        self._trial_s = None if attempt.trial_minutes is None else attempt.trial_minutes * 60
        self._silent_s = None if attempt.no_progress_minutes is None else attempt.no_progress_minutes * 60
        self._started_s = self._heard_s = time.monotonic()

    def heard(self) -> None:
        self._heard_s = time.monotonic()

    def over_limit(self) -> FailBody | None:
        """How the trial failed, if it did."""
        now_s = time.monotonic()
        if self._trial_s is not None and now_s - self._started_s > self._trial_s:
            return FailBody(reason="timeout", error=f"not done after limits.trial_minutes, {self._trial_s / 60:g}")
        if self._silent_s is not None and now_s - self._heard_s > self._silent_s:
            return FailBody(
                reason="no-progress", error=f"no report for limits.no_progress_minutes, {self._silent_s / 60:g}"
            )
        return None
