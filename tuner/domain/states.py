"""States of studies, trials and attempts, the moves between them, and the reasons for which they end.

Owns the state machine; the store's CHECK constraints are written from these enums.
"""

from __future__ import annotations

from enum import StrEnum


class StudyState(StrEnum):
    QUEUED = "queued"  # accepted, nothing claimed yet
    RUNNING = "running"  # at least one trial was claimed
    PAUSED = "paused"  # nothing new starts
    FINALIZING = "finalizing"  # the budget is spent; running trials finish
    COMPLETED = "completed"
    FAILED = "failed"  # too many failed trials
    CANCELLED = "cancelled"


class TrialState(StrEnum):
    WAITING = "waiting"  # has a number, and no sampled parameters on a live attempt
    RUNNING = "running"  # exactly one live attempt, parameters sampled
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    RUNNING = "running"  # holds a lease
    SUCCEEDED = "succeeded"  # its result, complete or pruned, was accepted
    FAILED = "failed"
    LOST = "lost"  # the lease expired
    RELEASED = "released"  # given back: drained, paused, cancelled


class StudyEnd(StrEnum):
    TRIALS = "trials"
    HOURS = "hours"
    EXHAUSTED = "search-space-exhausted"
    TARGET = "target-reached"
    NO_IMPROVEMENT = "no-improvement"
    MAX_FAILURES = "max-failures"
    CANCELLED = "cancelled"


class TrialEnd(StrEnum):
    """Why a trial or an attempt ended."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    CANCELLED = "cancelled"
    TRAINER_ERROR = "trainer-error"
    NON_FINITE = "non-finite"
    OUT_OF_MEMORY = "out-of-memory"
    DEVICE_FATAL = "device-fatal"
    CHILD_DIED = "child-died"
    TIMEOUT = "timeout"
    NO_PROGRESS = "no-progress"
    LOST = "lost"
    RELEASED = "released"
    SAMPLER_ERROR = "sampler-error"
    IMPORTED = "imported"  # it ran elsewhere, before this study


CLAIMABLE = frozenset({StudyState.QUEUED, StudyState.RUNNING})
ENDED = frozenset({StudyState.COMPLETED, StudyState.FAILED, StudyState.CANCELLED})
FINISHED = frozenset({TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED, TrialState.CANCELLED})

# These kinds are tried again, up to `limits.max_attempts`: they say something of the machine, not of the trial.
RETRIED = frozenset({TrialEnd.LOST, TrialEnd.CHILD_DIED, TrialEnd.DEVICE_FATAL})


def final_state(reason: StudyEnd) -> StudyState:
    """The state in which a study ends for this reason."""
    if reason is StudyEnd.MAX_FAILURES:
        return StudyState.FAILED
    if reason is StudyEnd.CANCELLED:
        return StudyState.CANCELLED
    return StudyState.COMPLETED
