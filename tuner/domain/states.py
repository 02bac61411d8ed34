"""States of studies, trials and attempts, the moves between them, and the reasons for which they end.

Owns the state machine: what a user may ask of a study in which state is `MOVES`, and nowhere else. What a study does by
itself: the first claim takes it from queued to running, a spent budget to finalizing, its last trial from there to its end,
or to its final fit, whose end is the study's.
The store's CHECK constraints are written from these enums.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, NamedTuple

from tuner.domain.errors import WrongStateError


class StudyState(StrEnum):
    QUEUED = "queued"  # accepted, nothing claimed yet
    RUNNING = "running"  # at least one trial was claimed
    PAUSED = "paused"  # nothing new starts
    FINALIZING = "finalizing"  # the budget is spent; running trials finish, then the final model is made
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
    FINALIZE = "finalize"


class TrialState(StrEnum):
    WAITING = "waiting"  # has a number, and no sampled parameters on a live attempt
    RUNNING = "running"  # exactly one live attempt, parameters sampled
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    CANCELLED = "cancelled"


class FinalState(StrEnum):
    """Of a study's final fit: the best configuration on training and validation part together, scored on the test part."""

    WAITING = "waiting"  # no live attempt
    RUNNING = "running"  # exactly one live attempt
    COMPLETE = "complete"
    FAILED = "failed"  # the study is completed all the same
    CANCELLED = "cancelled"  # with its study, or since that goes on searching


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
    Move.FINALIZE: dict.fromkeys((StudyState.COMPLETED, StudyState.FINALIZING), StudyState.FINALIZING),
}

_CURES = {
    **dict.fromkeys(_OPEN, "it is still searching; ask again once it has completed"),
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


class Policy(NamedTuple):
    """What becomes of a trial whose attempt ended so.

    Attributes:
        retried: whether it is tried again: `never` (the end is the trial's), `always`, up to `limits.max_attempts`, or
            `once` at most.
        uses_attempt: whether the end counts towards `limits.max_attempts`.
        why: for people.
    """

    retried: Literal["never", "up to max_attempts", "once", "always"]
    uses_attempt: bool
    why: str


# Tried again is what says something of the machine, and not of the trial. `docs/endings.md` shows this table.
POLICIES = {
    TrialEnd.COMPLETE: Policy("never", False, "It has its result."),
    TrialEnd.PRUNED: Policy("never", False, "The pruner judged it: its value so far counts for the sampler."),
    TrialEnd.CANCELLED: Policy("never", False, "Its study was cancelled, or closed before it could start."),
    TrialEnd.TRAINER_ERROR: Policy("never", True, "The same code with the same parameters raises again."),
    TrialEnd.NON_FINITE: Policy("never", True, "The same parameters diverge again."),
    TrialEnd.OUT_OF_MEMORY: Policy(
        "once",
        True,
        "Only where the kernel killed the training process, since others may have used the memory. Where the trainer saw "
        "it, smaller pieces of the batch were tried at once, and what still does not fit is final.",
    ),
    TrialEnd.DEVICE_FATAL: Policy(
        "up to max_attempts", True, "The device broke; a new process, or another device, may do."
    ),
    TrialEnd.CHILD_DIED: Policy("up to max_attempts", True, "The training process died of something else than memory."),
    TrialEnd.TIMEOUT: Policy("never", True, "It would take as long again."),
    TrialEnd.NO_PROGRESS: Policy("never", True, "It hung, and would hang again."),
    TrialEnd.LOST: Policy(
        "up to max_attempts",
        True,
        "Its worker fell silent. One that was lost before it had parameters uses up nothing.",
    ),
    TrialEnd.RELEASED: Policy("always", False, "Its worker gave it back: it drains, or has no room."),
    TrialEnd.SAMPLER_ERROR: Policy("never", True, "No parameters could be drawn."),
    TrialEnd.IMPORTED: Policy("never", False, "It ran elsewhere, before this study."),
}


def is_retried(reason: TrialEnd, *, used: int, max_attempts: int, alike: int, by_kernel: bool) -> bool:
    """Whether a trial waits again after an attempt that ended for this reason.

    Args:
        reason: of the attempt.
        used: attempts used up, with this one.
        max_attempts: the study's limit.
        alike: attempts at this trial that ended for this reason, with this one.
        by_kernel: out of memory: whether the kernel killed the process.
    """
    retried = POLICIES[reason].retried
    if retried == "once":
        return by_kernel and alike <= 1 and used < max_attempts
    return retried == "always" or (retried == "up to max_attempts" and used < max_attempts)


def final_state(reason: StudyEnd) -> StudyState:
    """The state in which a study ends for this reason."""
    if reason is StudyEnd.MAX_FAILURES:
        return StudyState.FAILED
    if reason is StudyEnd.CANCELLED:
        return StudyState.CANCELLED
    return StudyState.COMPLETED
