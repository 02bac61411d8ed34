"""A hypothesis state machine: moves of workers and users, made on the real use cases and on the model, compared after each.

Owns the rules and what is compared. Time moves by shifting the stored times. A worker that crashes only stops renewing; what
it sends later, as a zombie, is a rule of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import Engine, text

from tests.auditor import audit
from tests.properties import stored
from tests.properties.model import ENDED, PLANNED, Attempt, Model, Study, Trial
from tests.studying import external
from tuner import attempts, claims, lifecycle, studies
from tuner.domain.errors import (
    IdempotencyMismatchError,
    InvalidError,
    StaleAttemptError,
    WrongStateError,
)
from tuner.domain.spec import StudySpec
from tuner.maintenance import reap
from tuner.store import queue
from tuner.store.database import transaction
from tuner.wire_attempts import PROTOCOL, CompleteBody, FailBody, ReportBody
from tuner.wire_lifecycle import ExtendBody

MAX_STUDIES = 3
WORKERS = ("ann", "bob", "cy")
GRID = {"a": {"type": "int", "low": 0, "high": 1}, "b": {"type": "int", "low": 0, "high": 1}}
POINTS = {"grid": [{"a": 0, "b": 1}, {"a": 1}], "random": [{"x": 0.5, "n": 3}, {"n": 4}]}

which = st.integers(0, 99)  # one of what there is
values = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
reasons = st.sampled_from(["trainer-error", "non-finite", "out-of-memory", "device-fatal", "child-died", "timeout"])
budgets = st.fixed_dictionaries(
    {
        "trials": st.integers(2, 6),
        "max_parallel": st.none() | st.integers(1, 3),
        "max_failures": st.none() | st.integers(1, 3),
        "no_improvement": st.none() | st.integers(2, 4),
        "target": st.none() | st.just(0.0),
    }
)


class Lifecycle(RuleBasedStateMachine):
    """Up to three studies at once, three workers, and their zombies."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.model = Model()
        self.bodies: dict[str, tuple[StudySpec, int]] = {}  # by Idempotency-Key
        self._sql("delete from tuner.studies")

    def _sql(self, statement: str, **values: Any) -> None:
        with transaction(self.engine) as connection:
            connection.execute(text(statement), values)

    # ---- users ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.model.studies) < MAX_STUDIES)
    @rule(
        budget=budgets,
        hours=st.sampled_from([None, None, 1.0]),
        sampler=st.sampled_from(["random", "grid", "tpe"]),
        n_points=st.integers(0, 2),
        priority=st.integers(0, 1),
        max_attempts=st.integers(1, 3),
    )
    def submit(
        self,
        budget: dict[str, Any],
        hours: float | None,
        sampler: str,
        n_points: int,
        priority: int,
        max_attempts: int,
    ) -> None:
        points = POINTS["grid" if sampler == "grid" else "random"][:n_points]
        options = {"n_startup_trials": 1} if sampler == "tpe" else {}
        spec = external(
            budget=budget | {"hours": hours},
            sampler={"name": sampler, "seed": 1, **options},
            priority=priority,
            limits={"max_attempts": max_attempts},
            enqueue=points or None,
            **({"search_space": GRID} if sampler == "grid" else {}),
        )
        body, key = StudySpec.model_validate(spec), uuid.uuid4().hex
        study_id = studies.submit(self.engine, body, key)
        assert study_id not in self.model.studies
        made = Study(study_id, body, budget["trials"])
        made.trials += [Trial(made, number, fixed=point) for number, point in enumerate(points)]
        self.model.studies[study_id] = made
        self.bodies[key] = (body, study_id)

    @precondition(lambda self: self.bodies)
    @rule(one=which, is_changed=st.booleans())
    def submit_again(self, one: int, is_changed: bool) -> None:  # noqa: FBT001
        key, (body, study_id) = _pick(list(self.bodies.items()), one)
        if not is_changed:
            assert studies.submit(self.engine, body, key) == study_id
            return
        with pytest.raises(IdempotencyMismatchError):
            studies.submit(self.engine, body.model_copy(update={"notes": "another"}), key)

    @precondition(lambda self: self.model.studies)
    @rule(one=which, n_points=st.integers(1, 2))
    def enqueue(self, one: int, n_points: int) -> None:
        study = _pick(list(self.model.studies.values()), one)
        points = POINTS["grid" if study.is_grid else "random"][:n_points]
        has_room = study.budget_trials is None or len(study.trials) + n_points <= study.budget_trials
        if study.state not in PLANNED or not has_room:
            with pytest.raises(InvalidError if study.state in PLANNED else WrongStateError):
                studies.enqueue(self.engine, study.id, points)
            return
        numbers = list(range(len(study.trials), len(study.trials) + n_points))
        assert studies.enqueue(self.engine, study.id, points) == numbers
        study.trials += [Trial(study, *each) for each in zip(numbers, points, strict=True)]

    @precondition(lambda self: self.model.studies)
    @rule(one=which)
    def cancel(self, one: int) -> None:
        study = _pick(list(self.model.studies.values()), one)
        if study.state in {"completed", "failed"}:
            with pytest.raises(WrongStateError):
                lifecycle.cancel(self.engine, study.id)
            return
        lifecycle.cancel(self.engine, study.id)
        if study.state != "cancelled":
            study.cancel()

    @precondition(lambda self: self.model.studies)
    @rule(one=which, is_paused=st.booleans())
    def pause_or_resume(self, one: int, is_paused: bool) -> None:  # noqa: FBT001
        study = _pick(list(self.model.studies.values()), one)
        move = lifecycle.pause if is_paused else lifecycle.resume
        if study.state not in PLANNED:
            with pytest.raises(WrongStateError):
                move(self.engine, study.id)
            return
        move(self.engine, study.id)
        study.pause() if is_paused else study.resume()

    @precondition(lambda self: self.model.studies)
    @rule(one=which, body=st.builds(ExtendBody, trials=st.integers(1, 3), hours=st.sampled_from([None, None, 1.0])))
    def extend(self, one: int, body: ExtendBody) -> None:
        study = _pick(list(self.model.studies.values()), one)
        if study.state == "cancelled" or study.has_no_point or study.end_reason == "search-space-exhausted":
            refusal: type[Exception] | None = WrongStateError
        elif body.hours is not None and study.spec.budget.hours is None:
            refusal = InvalidError
        else:
            refusal = None if study.extend(body.trials or 0, body.hours or 0.0) else WrongStateError
        if refusal is None:
            lifecycle.extend(self.engine, study.id, body)
            return
        with pytest.raises(refusal):
            lifecycle.extend(self.engine, study.id, body)

    @precondition(lambda self: self.model.studies)
    @rule(one=which)
    def retry_all(self, one: int) -> None:
        study = _pick(list(self.model.studies.values()), one)
        failures, first = study.failures(), len(study.trials)
        if study.state == "cancelled" or not failures or not study.retry(failures):
            with pytest.raises(WrongStateError):
                lifecycle.retry(self.engine, study.id, None)
            return
        made = lifecycle.retry(self.engine, study.id, None)
        assert made == list(range(first, first + len(failures)))

    @precondition(lambda self: self._with_failures())
    @rule(one=which, another=which)
    def retry_one(self, one: int, another: int) -> None:
        """One failed trial, and then once more, which is refused."""
        study = _pick(self._with_failures(), one)
        failed = _pick(study.failures(), another)
        if not study.retry([failed]):
            with pytest.raises(WrongStateError):
                lifecycle.retry(self.engine, study.id, [failed.number])
            return
        assert lifecycle.retry(self.engine, study.id, [failed.number]) == [len(study.trials) - 1]
        with pytest.raises(InvalidError):
            lifecycle.retry(self.engine, study.id, [failed.number])

    @precondition(lambda self: self.model.studies)
    @rule(one=which)
    def delete(self, one: int) -> None:
        study = _pick(list(self.model.studies.values()), one)
        if study.state not in ENDED:
            with pytest.raises(WrongStateError):
                studies.delete(self.engine, study.id)
            return
        studies.delete(self.engine, study.id)
        del self.model.studies[study.id]
        self.model.gone += [attempt.id for trial in study.trials for attempt in trial.attempts]
        self.bodies = {key: known for key, known in self.bodies.items() if known[1] != study.id}

    # ---- workers -------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.studies)
    @rule(worker=st.sampled_from(WORKERS), slots=st.integers(1, 3), one=st.none() | which)
    def claim(self, worker: str, slots: int, one: int | None) -> None:
        study_id = None if one is None else _pick(list(self.model.studies), one)
        self._claim(worker, uuid.uuid4().hex, slots, study_id)

    @precondition(lambda self: any(self.model.attempts()))
    @rule(one=which, slots=st.integers(1, 3))
    def claim_again(self, one: int, slots: int) -> None:
        """The same request once more, which nobody has answered as far as its worker knows."""
        before = _pick(list(self.model.attempts()), one)
        self._claim(before.worker, before.request, slots, None)

    def _claim(self, worker: str, request: str, slots: int, study_id: int | None) -> None:
        held = self.model.hold(worker, request, slots, study_id)
        answers = claims.claim(
            self.engine,
            worker_id=worker,
            request_id=request,
            slots=slots,
            trainers=["external"],
            study_id=study_id,
        )
        self.model.start(held, answers or [])

    @precondition(lambda self: self.model.next_study(None) is not None)
    @rule(worker=st.sampled_from(WORKERS))
    def claim_cut_off(self, worker: str) -> None:
        """The server dies between the claim's two transactions."""
        claimant = queue.Claimant(worker, uuid.uuid4().hex, ["external"], None, PROTOCOL)
        expected = self.model.hold(worker, claimant.request_id, 1, None)[0]
        with transaction(self.engine) as connection:
            study = queue.next_study(connection, claimant, is_another=False)
            held = claims._hold(connection, study, claimant, is_another=False)
        assert held is not None
        assert (study.id, held.trial_number) == (expected.trial.study.id, expected.trial.number)  # type: ignore[union-attr]
        expected.id = held.attempt_id

    @precondition(lambda self: self.model.live())
    @rule(one=which, first=st.integers(1, 3), n_steps=st.integers(0, 2), value=values)
    def report(self, one: int, first: int, n_steps: int, value: float) -> None:
        """Reports, some of them for the second time, or a heartbeat."""
        attempt = _pick(self.model.live(), one)
        steps = range(first, first + n_steps)
        sent = [ReportBody(step=step, metrics={"y": value}) for step in steps]
        word = "pause" if attempt.trial.study.state == "paused" else "continue"
        assert attempts.report(self.engine, attempt.id, sent).decision == word
        self.model.renew(attempt)
        for step in steps:
            attempt.trial.reports.setdefault(step, (value, attempt.id))

    @precondition(lambda self: self._running())
    @rule(one=which, value=values, state=st.sampled_from(["complete", "complete", "pruned"]))
    def complete(self, one: int, value: float, state: Any) -> None:
        attempt = _pick(self._running(), one)
        body = CompleteBody(state=state, metrics={"y": value})
        assert attempts.complete(self.engine, attempt.id, body).state == state
        attempt.trial.study.complete(attempt, body)

    @precondition(lambda self: self.model.live())
    @rule(one=which)
    def complete_without_a_value(self, one: int) -> None:
        """Refused, and the attempt lives on."""
        attempt = _pick(self.model.live(), one)
        with pytest.raises(InvalidError):
            attempts.complete(self.engine, attempt.id, CompleteBody(metrics={"z": 1.0}))

    @precondition(lambda self: self._running())
    @rule(one=which, reason=reasons)
    def fail(self, one: int, reason: Any) -> None:
        attempt = _pick(self._running(), one)
        attempt.trial.study.end_without_result(attempt, "failed", reason)
        ended = attempts.fail(self.engine, attempt.id, FailBody(reason=reason, error="it broke"))
        assert ended.state == attempt.trial.state

    @precondition(lambda self: self.model.live())
    @rule(one=which)
    def release(self, one: int) -> None:
        attempt = _pick(self.model.live(), one)
        attempt.trial.study.end_without_result(attempt, "released", "released")
        assert attempts.release(self.engine, attempt.id).state == attempt.trial.state

    @precondition(lambda self: self.model.dead() or self.model.gone)
    @rule(one=which, write=st.sampled_from(["heartbeat", "report", "complete", "no value", "fail", "release"]))
    def zombie_writes(self, one: int, write: str) -> None:
        """Refused, and nothing of it is taken: the comparison sees to that."""
        again = self._given_back() if write == "release" else []
        dead = [attempt.id for attempt in self.model.dead() if attempt not in again] + self.model.gone
        if not dead:
            return
        attempt_id = _pick(dead, one)
        writes: dict[str, Callable[[], Any]] = {
            "heartbeat": lambda: attempts.report(self.engine, attempt_id, []),
            "report": lambda: attempts.report(self.engine, attempt_id, [ReportBody(step=9, metrics={"y": -1.0})]),
            "complete": lambda: attempts.complete(self.engine, attempt_id, CompleteBody(metrics={"y": -1.0})),
            "no value": lambda: attempts.complete(self.engine, attempt_id, CompleteBody(metrics={"z": -1.0})),
            "fail": lambda: attempts.fail(self.engine, attempt_id, FailBody(reason="child-died")),
            "release": lambda: attempts.release(self.engine, attempt_id),
        }
        with pytest.raises(StaleAttemptError):
            writes[write]()

    @precondition(lambda self: self._given_back())
    @rule(one=which)
    def release_again(self, one: int) -> None:
        attempt = _pick(self._given_back(), one)
        assert attempts.release(self.engine, attempt.id).state == attempt.trial.state

    @precondition(lambda self: self._accepted())
    @rule(one=which)
    def complete_again(self, one: int) -> None:
        """The same result from the same attempt is answered alike."""
        attempt = _pick(self._accepted(), one)
        assert attempt.accepted is not None
        assert attempts.complete(self.engine, attempt.id, attempt.accepted).state == attempt.trial.state

    # ---- time ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self._unexpired())
    @rule(one=which)
    def expire(self, one: int) -> None:
        self._expire([_pick(self._unexpired(), one)])

    @precondition(lambda self: self._unexpired())
    @rule(one=which)
    def crash(self, one: int) -> None:
        """A worker forgets everything: none of its leases is renewed any more."""
        worker = _pick(self._unexpired(), one).worker
        self._expire([attempt for attempt in self._unexpired() if attempt.worker == worker])

    def _expire(self, lost: list[Attempt]) -> None:
        for attempt in lost:
            shift = "update tuner.attempts set lease_until = clock_timestamp() - interval '1 s' where id = :id"
            self._sql(shift, id=attempt.id)
            self.model.expired.append(attempt)

    @precondition(lambda self: self._with_hours())
    @rule(one=which)
    def run_out_of_hours(self, one: int) -> None:
        study = _pick(self._with_hours(), one)
        self._sql("update tuner.studies set deadline = now() - interval '1 s' where id = :id", id=study.id)
        study.is_past_deadline = True

    @rule()
    def reap(self) -> None:
        assert reap.run_once(self.engine).expired == self.model.reap()

    # ---- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def the_rows_are_as_the_model_says(self) -> None:
        found = stored.rows(self.engine)
        for table, expected in stored.predicted(self.model).items():
            assert found[table] == expected, table

    @invariant()
    def the_auditor_agrees(self) -> None:
        audit(self.engine)

    # ---- what there is -------------------------------------------------------------------------------------------

    def _running(self) -> list[Attempt]:
        """Live attempts whose trials have parameters."""
        return [attempt for attempt in self.model.live() if attempt.trial.state == "running"]

    def _unexpired(self) -> list[Attempt]:
        return [attempt for attempt in self.model.live() if attempt not in self.model.expired]

    def _accepted(self) -> list[Attempt]:
        return [attempt for attempt in self.model.dead() if attempt.accepted is not None]

    def _given_back(self) -> list[Attempt]:
        return [attempt for attempt in self.model.dead() if attempt.end_reason == "released"]

    def _with_failures(self) -> list[Study]:
        return [study for study in self.model.studies.values() if study.state != "cancelled" and study.failures()]

    def _with_hours(self) -> list[Study]:
        return [
            study
            for study in self.model.studies.values()
            if study.spec.budget.hours is not None and study.state == "running" and not study.is_past_deadline
        ]


def _pick(items: list[Any], one: int) -> Any:
    return items[one % len(items)]
