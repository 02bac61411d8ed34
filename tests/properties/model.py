"""What studies, trials and attempts must be after every move, in plain Python: no SQL, no service, no clock.

Owns the rules as they are promised: who is given which trial, what an attempt's end makes of it, when a study ends and why.
The machine makes each move on the service and here, and compares.
"""

from __future__ import annotations

import dataclasses
import itertools
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tuner.domain.spec import StudySpec
from tuner.wire_attempts import ClaimedAttempt, CompleteBody

OPEN = {"queued", "running"}  # something new may start
PLANNED = {*OPEN, "paused"}  # takes points and more budget as it is
ENDED = {"completed", "failed", "cancelled"}
RETRIED = {"lost", "child-died", "device-fatal"}
FINISHED = {"complete", "pruned", "failed", "cancelled"}

Params = dict[str, Any]


@dataclass(eq=False)
class Attempt:
    """One execution of a trial; one that is over may still be written to by a zombie."""

    id: uuid.UUID
    trial: Trial
    worker: str
    request: str
    state: str = "running"
    end_reason: str | None = None
    accepted: CompleteBody | None = None


@dataclass(eq=False)
class Trial:
    """A trial; `fixed` is the point that a user enqueued, `params` is empty until it was sampled."""

    study: Study
    number: int
    fixed: Params = field(default_factory=dict)
    params: Params = field(default_factory=dict)
    state: str = "waiting"
    end_reason: str | None = None
    used_attempts: int = 0
    retry_of: Trial | None = None
    was_started: bool = False
    value: float | None = None
    attempts: list[Attempt] = field(default_factory=list)
    reports: dict[int, tuple[float, uuid.UUID]] = field(default_factory=dict)  # by step: the value, and who reported it

    @property
    def live(self) -> Attempt | None:
        return next((attempt for attempt in self.attempts if attempt.state == "running"), None)


@dataclass(eq=False)
class Study:
    """A study and its trials by number."""

    id: int
    spec: StudySpec
    budget_trials: int | None
    trials: list[Trial] = field(default_factory=list)
    state: str = "queued"
    end_reason: str | None = None
    is_past_deadline: bool = False
    is_past_target: bool = False  # it was extended after its target was reached
    has_no_point: bool = False  # every point of the grid is out
    n_forgiven: int = 0  # failures before it was extended
    best: Trial | None = None
    ended_since_best: int = 0

    # ---- what there is -------------------------------------------------------------------------------------------

    def live(self) -> list[Attempt]:
        return [trial.live for trial in self.trials if trial.live is not None]

    def free(self) -> list[Trial]:
        """Waiting trials that no attempt holds."""
        return [trial for trial in self.trials if trial.state == "waiting" and trial.live is None]

    def begun(self) -> bool:
        """Whether a trial was lost or given back after it had started."""
        return any(trial.was_started for trial in self.free())

    def count(self, *states: str) -> int:
        return sum(trial.state in states for trial in self.trials)

    def has_work(self) -> bool:
        parallel = self.spec.budget.max_parallel
        has_room = self.budget_trials is None or len(self.trials) < self.budget_trials
        return (
            self.state in OPEN
            and not self.is_past_deadline
            and (parallel is None or len(self.live()) < parallel)
            and (has_room or bool(self.free()))
        )

    # ---- a grid --------------------------------------------------------------------------------------------------

    @property
    def is_grid(self) -> bool:
        return self.spec.sampler.name == "grid"

    def free_cells(self, tried: Sequence[Trial]) -> list[Params]:
        """Points of a grid that none of the trials has."""
        space = self.spec.search_space or {}
        values = [range(parameter.low, parameter.high + 1) for parameter in space.values()]  # type: ignore[union-attr]
        cells = [dict(zip(space, point, strict=True)) for point in itertools.product(*values)]
        return [cell for cell in cells if all(trial.params != cell for trial in tried)]

    # ---- moves ---------------------------------------------------------------------------------------------------

    def hold(self, worker: str, request: str, attempt_id: uuid.UUID) -> Attempt:
        """The next trial for a claim: the waiting one with the lowest number, or a new one."""
        free = self.free()
        if not free:
            self.trials.append(Trial(self, len(self.trials)))
        trial = free[0] if free else self.trials[-1]
        attempt = Attempt(attempt_id, trial, worker, request)
        trial.attempts.append(attempt)
        self.state = "running"
        return attempt

    def start(self, attempt: Attempt, params: Params) -> None:
        """A held trial runs with these parameters, which must be those it had, or allowed ones."""
        trial = attempt.trial
        if trial.params:
            assert params == trial.params, "a trial goes on with its parameters"
        elif self.is_grid and not trial.fixed:
            free = self.free_cells([other for other in self.trials if other is not trial])
            assert params in free, "a point of the grid is given out once"
            if len(free) == 1:
                self._close_numbers()
        assert set(params) == set(self.spec.search_space or {})
        assert trial.fixed.items() <= params.items(), "an enqueued point is kept"
        trial.params, trial.state, trial.was_started = params, "running", True

    def give_up(self, attempt: Attempt) -> None:
        """A held trial for which the grid has no point."""
        others = [trial for trial in self.trials if trial is not attempt.trial]
        assert self.is_grid, "only a finite space has no point"
        assert not attempt.trial.params
        assert not attempt.trial.fixed
        assert not self.free_cells(others)
        self._close_numbers()
        self._end(attempt, "released", "cancelled")
        self._finish(attempt.trial, "cancelled", "cancelled")
        if not self.live() and not self.free():
            self.settle(exhausted=True)

    def complete(self, attempt: Attempt, body: CompleteBody) -> None:
        trial = attempt.trial
        self._end(attempt, "succeeded", body.state)
        attempt.accepted = body
        exhausted = self._is_exhausted_with(trial)
        self._finish(trial, body.state, body.state)
        if body.state == "complete":
            trial.value = body.metrics["y"]
            if self.best is None or trial.value < (self.best.value or 0.0):
                self.best, self.ended_since_best = trial, 0
        self.settle(exhausted=exhausted)

    def end_without_result(self, attempt: Attempt, state: str, reason: str) -> None:
        """A failure, a release or a lost lease: the trial waits again, or fails."""
        trial = attempt.trial
        self._end(attempt, state, reason)
        is_free = reason == "released" or (reason == "lost" and trial.state == "waiting")
        if is_free or (reason in RETRIED and trial.used_attempts + 1 < self.spec.limits.max_attempts):
            trial.state = "waiting"
            trial.used_attempts += not is_free
            self.settle()
            return
        exhausted = self._is_exhausted_with(trial)
        self._finish(trial, "failed", reason)
        self.settle(exhausted=exhausted)

    def cancel(self) -> None:
        for attempt in self.live():
            self._end(attempt, "released", "cancelled")
            self._finish(attempt.trial, "cancelled", "cancelled")
        self._cancel_free()
        self.state = self.end_reason = "cancelled"

    def pause(self) -> None:
        self.state = "paused"

    def resume(self) -> None:
        if self.state == "paused":
            self.state = "running" if any(trial.attempts for trial in self.trials) else "queued"

    def extend(self, trials: int, hours: float) -> bool:
        """Whether it was done: a study that has ended must have something to start then."""
        before = dataclasses.replace(self)
        self.budget_trials = None if self.budget_trials is None else self.budget_trials + trials
        self.is_past_deadline = self.is_past_deadline and not hours
        return self.end_reason is None or self._reopen(before)

    def retry(self, failures: Sequence[Trial]) -> bool:
        """Whether it was done."""
        before = dataclasses.replace(self, trials=list(self.trials))
        numbers = range(len(self.trials), len(self.trials) + len(failures))
        self.trials += [
            Trial(self, number, fixed=failed.fixed, params=failed.params, retry_of=failed)
            for number, failed in zip(numbers, failures, strict=True)
        ]
        self.budget_trials = None if self.budget_trials is None else self.budget_trials + len(failures)
        self.n_forgiven = min(self.n_forgiven + len(failures), self.count("failed"))
        return self.end_reason is None or self._reopen(before)

    def failures(self) -> list[Trial]:
        """Failed trials that were not tried again."""
        again = [trial.retry_of for trial in self.trials]
        return [trial for trial in self.trials if trial.state == "failed" and trial not in again]

    def _reopen(self, before: Study) -> bool:
        """A closed study goes on, and what had ended it counts anew; if nothing could start, it stays as it was before."""
        self.is_past_target = self.is_past_target or self.end_reason == "target-reached"
        self.state, self.end_reason = "running", None
        self.n_forgiven, self.ended_since_best = self.count("failed"), 0
        has_all = self.budget_trials is not None and len(self.trials) >= self.budget_trials
        if self._reason(exhausted=False) is None and (self.free() or not has_all):
            return True
        vars(self).update(vars(before))
        return False

    def _close_numbers(self) -> None:
        self.budget_trials, self.has_no_point = len(self.trials), True

    def settle(self, *, exhausted: bool = False) -> None:
        """Closes the study where a budget is spent, and ends it where nothing runs."""
        if self.state in ENDED:
            return
        self.end_reason = self.end_reason or self._reason(exhausted=exhausted)
        if self.end_reason is None:
            return
        self.state = "finalizing"
        self._cancel_free()
        if not self.live():
            self.state = "failed" if self.end_reason == "max-failures" else "completed"

    def _reason(self, *, exhausted: bool) -> str | None:
        budget = self.spec.budget
        finished = self.count(*FINISHED)
        reached = self.best is not None and budget.target is not None and (self.best.value or 0.0) <= budget.target
        n_failed = self.count("failed") - self.n_forgiven
        reasons = {
            "max-failures": budget.max_failures is not None and n_failed >= budget.max_failures,
            "target-reached": reached and not self.is_past_target,
            "search-space-exhausted": exhausted and not self.live() and not self.free(),
            "trials": self.budget_trials is not None and finished >= self.budget_trials,
            "no-improvement": (
                budget.no_improvement is not None
                and self.best is not None
                and self.ended_since_best >= budget.no_improvement
            ),
            "hours": self.is_past_deadline,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    def _is_exhausted_with(self, trial: Trial) -> bool:
        """Whether this end is that of the last point of a grid."""
        if not self.is_grid or not trial.params:
            return False
        return not self.free_cells([other for other in self.trials if other.state in FINISHED or other is trial])

    def _end(self, attempt: Attempt, state: str, reason: str) -> None:
        assert attempt.state == "running"
        attempt.state, attempt.end_reason = state, reason

    def _finish(self, trial: Trial, state: str, reason: str) -> None:
        trial.state, trial.end_reason = state, reason
        self.ended_since_best += self.best is not None

    def _cancel_free(self) -> None:
        for trial in self.free():
            self._finish(trial, "cancelled", "cancelled")


@dataclass
class Model:
    """Every study, and the leases that have run out, in the order in which they did."""

    studies: dict[int, Study] = field(default_factory=dict)
    expired: list[Attempt] = field(default_factory=list)
    gone: list[uuid.UUID] = field(default_factory=list)  # attempts of deleted studies

    def attempts(self) -> Iterator[Attempt]:
        for study in self.studies.values():
            for trial in study.trials:
                yield from trial.attempts

    def live(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts() if attempt.state == "running"]

    def dead(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts() if attempt.state != "running"]

    def next_study(self, study_id: int | None) -> Study | None:
        """The study that a claim is served from: by priority, then where a trial goes on, then by fewest live trials."""
        able = [study for study in self.studies.values() if study.has_work() and study_id in {None, study.id}]
        return min(
            able, key=lambda study: (-study.spec.priority, not study.begun(), len(study.live()), study.id), default=None
        )

    def hold(self, worker: str, request: str, slots: int, study_id: int | None) -> list[Attempt]:
        """What a claim holds before its trials are sampled: what the same request holds already, or the next trials."""
        held = [attempt for attempt in self.live() if (attempt.worker, attempt.request) == (worker, request)]
        if held:
            return held
        while len(held) < slots and (study := self.next_study(study_id)) is not None:
            held.append(study.hold(worker, request, uuid.uuid4()))
        return held

    def start(self, held: Sequence[Attempt], answers: Sequence[ClaimedAttempt]) -> None:
        """Takes a claim's answer: each is the next of what was held, and what is not among them had no point left."""
        by_trial = {(attempt.trial.study.id, attempt.trial.number): attempt for attempt in held}
        for answer in answers:
            attempt = by_trial.pop((answer.study_id, answer.trial), None)
            assert attempt is not None, "a claim gives the trials that are next"
            attempt.id = answer.attempt_id
            if attempt.trial.state == "waiting":
                self.renew(attempt)
            attempt.trial.study.start(attempt, dict(answer.params))
        for attempt in by_trial.values():
            attempt.trial.study.give_up(attempt)

    def renew(self, attempt: Attempt) -> None:
        if attempt in self.expired:
            self.expired.remove(attempt)

    def reap(self) -> int:
        """Ends what ran out; how many attempts."""
        for study in self.studies.values():
            if study.is_past_deadline and study.state in OPEN:
                study.settle()
        lost = [attempt for attempt in self.expired if attempt.state == "running"]
        for attempt in lost:
            attempt.trial.study.end_without_result(attempt, "lost", "lost")
        self.expired.clear()
        return len(lost)
