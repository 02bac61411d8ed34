"""States of studies, trials and attempts, the moves between them, and the reasons for which they end.

Owns the state machine: what a user may ask of a study in which state is `MOVES`, and nowhere else. What a study does by
itself: the first claim takes it from queued to running, a spent budget to finalizing, its last trial from there to its end.
The store's CHECK constraints are written from these enums.
"""

from __future__ import annotations

from enum import StrEnum

from tuner.domain.errors import WrongStateError


class StudyState(StrEnum):
    QUEUED = "queued"  # accepted, nothing claimed yet
    RUNNING = "running"  # at least one trial was claimed
    PAUSED = "paused"  # nothing new starts
    FINALIZING = "finalizing"  # the budget is spent; running trials finish
    COMPLETED = "completed"
    FAILED = "failed"  # too many failed trials
    CANCELLED = "cancelled"


class Move(StrEnum):
    """What a user asks of a study."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    EXTEND = "extend"
    RETRY = "retry"
    CHANGE = "change"  # of priority or parallelism
    ENQUEUE = "enqueue"


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

_OPEN = (StudyState.QUEUED, StudyState.RUNNING, StudyState.PAUSED)
_STAYS = {state: state for state in _OPEN}
_GOES_ON = dict.fromkeys((StudyState.FINALIZING, StudyState.COMPLETED, StudyState.FAILED), StudyState.RUNNING)

# From which state a move leads to which; a state that is not there refuses it. A move sent twice finds the state that it
# leads to, and leaves it as it is.
MOVES: dict[Move, dict[StudyState, StudyState]] = {
    Move.PAUSE: dict.fromkeys(_OPEN, StudyState.PAUSED),
    # to queued, where nothing was claimed before the pause
    Move.RESUME: _STAYS | {StudyState.PAUSED: StudyState.RUNNING},
    Move.CANCEL: dict.fromkeys((*_OPEN, StudyState.FINALIZING, StudyState.CANCELLED), StudyState.CANCELLED),
    Move.EXTEND: _STAYS | _GOES_ON,
    Move.RETRY: _STAYS | _GOES_ON,
    Move.CHANGE: _STAYS | {StudyState.FINALIZING: StudyState.FINALIZING},
    Move.ENQUEUE: _STAYS,
}

_CURES = {
    StudyState.FINALIZING: "nothing new starts and what runs finishes; extend it, or cancel it",
    StudyState.COMPLETED: "it has ended; extend it, and it goes on with all it has learnt",
    StudyState.FAILED: "it has ended; extend it or retry its failed trials, and it goes on with all it has learnt",
    StudyState.CANCELLED: "it stays so; submit another, which may start with its history (POST /studies/import)",
}


def moved(study_name: str, state: str, move: Move) -> StudyState:
    """The state to which a move takes a study.

    Raises:
        WrongStateError: it is not allowed there; the text says what is.
    """
    here = StudyState(state)
    if here in MOVES[move]:
        return MOVES[move][here]
    cure = "there is nothing to cancel" if move is Move.CANCEL else _CURES[here]
    raise WrongStateError(f"study {study_name} is {here} and takes no {move}: {cure}")


# These kinds are tried again, up to `limits.max_attempts`: they say something of the machine, not of the trial.
RETRIED = frozenset({TrialEnd.LOST, TrialEnd.CHILD_DIED, TrialEnd.DEVICE_FATAL})


def final_state(reason: StudyEnd) -> StudyState:
    """The state in which a study ends for this reason."""
    if reason is StudyEnd.MAX_FAILURES:
        return StudyState.FAILED
    if reason is StudyEnd.CANCELLED:
        return StudyState.CANCELLED
    return StudyState.COMPLETED
