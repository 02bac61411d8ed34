"""Claims and attempts on a real PostgreSQL: budgets, fences, retries, endings; the auditor looks after every test."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from tests.auditor import audit
from tests.studying import claim, complete, fail, report, submit
from tuner import attempts, lifecycle, studies, trial_views, views
from tuner.domain.errors import InvalidError, StaleAttemptError, WrongStateError
from tuner.maintenance import reap
from tuner.wire import StudyOut
from tuner.wire_attempts import ClaimedAttempt, CompleteBody


@pytest.fixture(autouse=True)
def _audited(engine: Engine) -> Iterator[None]:
    yield
    audit(engine)


def shown(engine: Engine, study_id: int) -> StudyOut:
    with engine.begin() as connection:
        return views.study(connection, study_id)


def expire_leases(engine: Engine) -> None:
    """Moves every lease into the past: time is shifted in the rows, never slept."""
    with engine.begin() as connection:
        connection.execute(
            text("update tuner.attempts set lease_until = now() - interval '1 s' where state = 'running'")
        )


def test_a_study_goes_from_queued_to_completed_with_exactly_its_budget(engine: Engine) -> None:
    study_id = submit(engine)
    assert shown(engine, study_id).state == "queued"
    for i in range(5):
        attempt = claim(engine)[0]
        assert attempt.trial == i
        assert -1 <= attempt.params["x"] <= 1  # type: ignore[operator]  # a float by its search space
        report(engine, attempt, 1, float(i))
        complete(engine, attempt, float(abs(i - 2)))

    assert claim(engine) == []
    ended = shown(engine, study_id)
    assert (ended.state, ended.end_reason) == ("completed", "trials")
    assert ended.best is not None
    assert (ended.best.number, ended.best.value) == (2, 0.0)


def test_sixteen_claimers_at_once_get_each_trial_once(engine: Engine) -> None:
    study_id = submit(engine, budget={"trials": 40})
    barrier = threading.Barrier(16)

    def work() -> list[int]:
        barrier.wait()
        done = []
        while held := claim(engine, study_id):
            done.append(held[0].trial)
            complete(engine, held[0], float(held[0].trial))
        return done

    with ThreadPoolExecutor(16) as pool:
        numbers = [number for future in [pool.submit(work) for _ in range(16)] for number in future.result()]

    assert sorted(numbers) == list(range(40))
    assert shown(engine, study_id).state == "completed"


def test_the_same_request_gets_the_same_trials(engine: Engine) -> None:
    submit(engine)

    first = claim(engine, request_id="r1", slots=2)

    assert [a.attempt_id for a in claim(engine, request_id="r1", slots=2)] == [a.attempt_id for a in first]
    assert claim(engine, request_id="r2")[0].trial == 2


def test_max_parallel_bounds_live_trials(engine: Engine) -> None:
    submit(engine, budget={"trials": 5, "max_parallel": 2})

    held = claim(engine, slots=5)
    assert len(held) == 2
    complete(engine, held[0], 1.0)
    assert len(claim(engine, slots=5)) == 1


def test_priority_comes_first_and_then_the_study_with_fewest_live_trials(engine: Engine) -> None:
    low = submit(engine)
    urgent = submit(engine, priority=5, budget={"trials": 1})
    other = submit(engine)

    assert [claim(engine)[0].study_id for _ in range(5)] == [urgent, low, other, low, other]


def test_a_lost_trial_goes_on_before_a_study_with_fewer_live_trials_begins_one(engine: Engine) -> None:
    lost, other = submit(engine), submit(engine, budget={"trials": 9})
    mine = [claim(engine, lost)[0] for _ in range(3)]
    with engine.begin() as connection:
        shift = "update tuner.attempts set lease_until = now() - interval '1 s' where id = :id"
        connection.execute(text(shift), {"id": mine[1].attempt_id})
    assert reap.run_once(engine).expired == 1

    again = claim(engine)[0]

    assert (again.study_id, again.trial) == (lost, 1)
    assert claim(engine)[0].study_id == other, "and then it is the other's turn"


def test_a_result_is_accepted_once_and_repeated_alike(engine: Engine) -> None:
    submit(engine)
    attempt = claim(engine)[0]
    body = CompleteBody(metrics={"y": 1.0})

    first = attempts.complete(engine, attempt.attempt_id, body)

    assert attempts.complete(engine, attempt.attempt_id, body) == first
    with pytest.raises(StaleAttemptError):
        attempts.complete(engine, attempt.attempt_id, CompleteBody(metrics={"y": 2.0}))
    with pytest.raises(StaleAttemptError):
        fail(engine, attempt)
    with pytest.raises(StaleAttemptError):
        report(engine, attempt, 2, 1.0)


def test_nothing_of_an_unknown_attempt_is_taken(engine: Engine) -> None:
    with pytest.raises(StaleAttemptError):
        attempts.report(engine, uuid.uuid4(), [])
    with pytest.raises(StaleAttemptError):
        attempts.complete(engine, uuid.uuid4(), CompleteBody(metrics={}))
    with pytest.raises(StaleAttemptError):
        attempts.release(engine, uuid.uuid4())


def test_the_first_report_of_a_step_stands(engine: Engine) -> None:
    study_id = submit(engine)
    attempt = claim(engine)[0]
    report(engine, attempt, 1, 0.5)
    report(engine, attempt, 1, 0.7)

    with engine.begin() as connection:
        assert [r.value for r in trial_views.reports(connection, study_id, 0)] == [0.5]


def test_a_lost_trial_waits_with_its_parameters_and_the_zombie_is_refused(engine: Engine) -> None:
    submit(engine)
    lost = claim(engine)[0]
    expire_leases(engine)

    assert reap.run_once(engine).expired == 1

    with pytest.raises(StaleAttemptError):
        report(engine, lost, 1, 1.0)
    with pytest.raises(StaleAttemptError):
        complete(engine, lost, 1.0)
    again = claim(engine)[0]
    assert (again.trial, again.params) == (lost.trial, lost.params)
    assert complete(engine, again, 1.0) == "complete"


def test_a_renewed_lease_is_not_reaped(engine: Engine) -> None:
    submit(engine)
    attempt = claim(engine)[0]
    expire_leases(engine)
    attempts.report(engine, attempt.attempt_id, [])

    assert reap.run_once(engine).expired == 0


def test_a_trial_fails_for_good_after_max_attempts(engine: Engine) -> None:
    study_id = submit(engine, limits={"max_attempts": 2})
    states = []
    for _ in range(2):
        attempt = claim(engine)[0]
        assert attempt.trial == 0
        expire_leases(engine)
        reap.run_once(engine)
        with engine.begin() as connection:
            states.append(trial_views.trial(connection, study_id, 0).state)

    assert states == ["waiting", "failed"]
    with engine.begin() as connection:
        ended = trial_views.trial(connection, study_id, 0)
    assert ended.end_reason == "lost"
    assert [a.state for a in ended.attempts] == ["lost", "lost"]


def test_a_released_trial_uses_up_no_attempt(engine: Engine) -> None:
    submit(engine, limits={"max_attempts": 1})
    for _ in range(3):
        attempt = claim(engine)[0]
        assert attempt.trial == 0
        assert attempts.release(engine, attempt.attempt_id).state == "waiting"
    assert complete(engine, claim(engine)[0], 1.0) == "complete"


@pytest.mark.parametrize(
    ("reason", "state"), [("trainer-error", "failed"), ("child-died", "waiting"), ("non-finite", "failed")]
)
def test_the_kind_of_failure_decides_whether_it_is_tried_again(engine: Engine, reason: str, state: str) -> None:
    submit(engine)

    assert fail(engine, claim(engine)[0], reason) == state


def test_a_study_that_only_fails_ends_as_failed(engine: Engine) -> None:
    study_id = submit(engine, budget={"trials": 9, "max_failures": 3})
    held = claim(engine, slots=4)
    for attempt in held[:3]:
        fail(engine, attempt)

    closing = shown(engine, study_id)
    assert (closing.state, closing.end_reason) == ("finalizing", "max-failures")
    assert claim(engine) == []
    complete(engine, held[3], 1.0)
    assert shown(engine, study_id).state == "failed"


def test_a_study_ends_when_its_target_is_reached(engine: Engine) -> None:
    study_id = submit(engine, budget={"trials": 9, "target": 0.1})
    complete(engine, claim(engine)[0], 0.2)
    complete(engine, claim(engine)[0], 0.1)

    ended = shown(engine, study_id)
    assert (ended.state, ended.end_reason) == ("completed", "target-reached")


def test_a_study_ends_without_improvement(engine: Engine) -> None:
    study_id = submit(engine, budget={"trials": 9, "no_improvement": 2})
    for value in (3.0, 2.0, 2.0, 5.0):
        complete(engine, claim(engine)[0], value)

    assert shown(engine, study_id).end_reason == "no-improvement"


def test_a_study_out_of_hours_starts_nothing_new_and_lets_the_running_finish(engine: Engine) -> None:
    study_id = submit(engine, budget={"hours": 1})
    held = claim(engine, slots=2)
    with engine.begin() as connection:
        connection.execute(text("update tuner.studies set deadline = now() - interval '1 s'"))

    assert claim(engine) == []
    assert reap.run_once(engine).out_of_hours == 1
    assert shown(engine, study_id).state == "finalizing"
    for attempt in held:
        complete(engine, attempt, 1.0)
    ended = shown(engine, study_id)
    assert (ended.state, ended.end_reason) == ("completed", "hours")


def test_a_trial_lost_while_the_study_closes_is_cancelled(engine: Engine) -> None:
    study_id = submit(engine, budget={"trials": 9, "target": 0.5})
    held = claim(engine, slots=2)
    complete(engine, held[0], 0.1)
    expire_leases(engine)
    reap.run_once(engine)

    ended = shown(engine, study_id)
    assert (ended.state, ended.progress.cancelled) == ("completed", 1)


def test_cancelling_ends_everything_at_once(engine: Engine) -> None:
    study_id = submit(engine)
    attempt = claim(engine)[0]

    lifecycle.cancel(engine, study_id)
    lifecycle.cancel(engine, study_id)

    ended = shown(engine, study_id)
    assert (ended.state, ended.end_reason, ended.progress.cancelled) == ("cancelled", "cancelled", 1)
    with pytest.raises(StaleAttemptError):
        complete(engine, attempt, 1.0)


def race(engine: Engine, study_id: int, attempt: ClaimedAttempt) -> list[str]:
    """Hands in a result and cancels the study at the same moment; what each got."""
    barrier = threading.Barrier(2)

    def hand_in() -> str:
        barrier.wait()
        try:
            return complete(engine, attempt, 1.0)
        except StaleAttemptError:
            return "stale"

    def cancel() -> str:
        barrier.wait()
        try:
            lifecycle.cancel(engine, study_id)
        except WrongStateError:
            return "too late"
        return "cancelled"

    with ThreadPoolExecutor(2) as pool:
        return sorted(future.result() for future in (pool.submit(hand_in), pool.submit(cancel)))


def test_cancel_racing_complete_leaves_one_final_state(engine: Engine) -> None:
    for _ in range(30):
        study_id = submit(engine, budget={"trials": 1})

        outcomes = race(engine, study_id, claim(engine, study_id)[0])

        assert outcomes in (["cancelled", "stale"], ["complete", "too late"])


def test_deleting_waits_for_the_end(engine: Engine) -> None:
    study_id = submit(engine)
    with pytest.raises(WrongStateError):
        studies.delete(engine, study_id)
    lifecycle.cancel(engine, study_id)

    studies.delete(engine, study_id)

    with engine.begin() as connection:
        assert connection.execute(text("select count(*) from tuner.trials")).scalar_one() == 0


def test_enqueued_points_are_the_next_trials(engine: Engine) -> None:
    study_id = submit(engine, enqueue=[{"x": 0.5, "n": 3}])
    assert claim(engine)[0].params == {"x": 0.5, "n": 3}
    complete(engine, claim(engine)[0], 1.0)

    assert studies.enqueue(engine, study_id, [{"x": 0.25}]) == [2]

    attempt = claim(engine)[0]
    assert (attempt.trial, attempt.params["x"]) == (2, 0.25)
    assert "n" in attempt.params
    with pytest.raises(InvalidError, match="room for 2"):
        studies.enqueue(engine, study_id, [{"x": 0.1}] * 3)


def test_a_result_without_the_objective_is_refused_and_the_attempt_lives_on(engine: Engine) -> None:
    submit(engine)
    attempt = claim(engine)[0]

    with pytest.raises(InvalidError, match="/metrics"):
        attempts.complete(engine, attempt.attempt_id, CompleteBody(metrics={"z": 1.0}))

    assert complete(engine, attempt, 1.0) == "complete"


def test_a_pruner_stops_a_bad_trial_and_the_study_counts_it(engine: Engine) -> None:
    study_id = submit(engine, pruner={"name": "median", "n_startup_trials": 2}, budget={"trials": 3})
    for _ in range(2):
        attempt = claim(engine)[0]
        assert report(engine, attempt, 1, 0.1) == "continue"
        complete(engine, attempt, 0.1)
    bad = claim(engine)[0]

    assert report(engine, bad, 1, 9.0) == "prune"
    attempts.complete(engine, bad.attempt_id, CompleteBody(state="pruned", metrics={"y": 9.0}))

    ended = shown(engine, study_id)
    assert (ended.state, ended.progress.pruned, ended.progress.complete) == ("completed", 1, 2)


def test_the_best_keeps_the_constraints(engine: Engine) -> None:
    study_id = submit(engine, constraints=[{"metric": "cost", "max": 1.0}])
    complete(engine, claim(engine)[0], 0.1, cost=5.0)
    complete(engine, claim(engine)[0], 0.9, cost=0.5)

    best = shown(engine, study_id).best
    assert best is not None
    assert best.number == 1


def test_several_objectives_have_a_front(engine: Engine) -> None:
    objectives = [{"metric": "y", "direction": "minimize"}, {"metric": "z", "direction": "maximize"}]
    study_id = submit(engine, objectives=objectives, sampler={"name": "nsga2", "seed": 1})
    for y, z in ((1.0, 1.0), (2.0, 2.0), (2.0, 1.0), (3.0, 0.0)):
        complete(engine, claim(engine)[0], y, z=z)

    with engine.begin() as connection:
        assert [trial.number for trial in trial_views.best(connection, study_id)] == [0, 1]
