"""Every move in every state on a real PostgreSQL, and what pausing, extending and retrying mean for budgets and trials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.auditor import audit
from tests.studying import claim, complete, fail, report, submit
from tuner import attempts, lifecycle, studies, trial_views, views
from tuner.domain.errors import IdempotencyMismatchError, InvalidError, StaleAttemptError, WrongStateError
from tuner.maintenance import reap
from tuner.sampling.board_storage import BoardStorage
from tuner.wire import StudyOut, TrialOut
from tuner.wire_lifecycle import ChangeBody, ExtendBody


@pytest.fixture(autouse=True)
def _audited(engine: Engine) -> Iterator[None]:
    yield
    audit(engine)


def shown(engine: Engine, study_id: int) -> StudyOut:
    with engine.begin() as connection:
        return views.study(connection, study_id)


def trials_of(engine: Engine, study_id: int) -> list[TrialOut]:
    with engine.begin() as connection:
        return trial_views.trial_page(connection, study_id, cursor=None, limit=500, state=None).items


def extend(engine: Engine, study_id: int, key: str | None = None, **more: Any) -> None:
    lifecycle.extend(engine, study_id, ExtendBody(**more), key)


def change(engine: Engine, study_id: int, **changes: Any) -> None:
    lifecycle.change(engine, study_id, ChangeBody(**changes))


def shift(engine: Engine, hours: float) -> None:
    """Lets time pass: moves every stored time of studies and leases into the past."""
    with engine.begin() as connection:
        for column in ("created_at", "started_at", "paused_at", "ended_at", "deadline"):
            connection.execute(
                text(f"update tuner.studies set {column} = {column} - make_interval(secs => :s)"), {"s": hours * 3600}
            )


# ---- the table of moves ----------------------------------------------------------------------------------------------


def queued(engine: Engine) -> int:
    return submit(engine)


def running(engine: Engine) -> int:
    """With a failed trial, a running and a waiting one; the same below as far as the state allows."""
    study_id = submit(engine, budget={"trials": 6, "target": -1.0}, enqueue=[{"x": 0.0}] * 4)
    fail(engine, claim(engine, study_id)[0])
    claim(engine, study_id)
    return study_id


def paused(engine: Engine) -> int:
    study_id = running(engine)
    lifecycle.pause(engine, study_id)
    return study_id


def finalizing(engine: Engine) -> int:
    study_id = running(engine)
    complete(engine, claim(engine, study_id)[0], -2.0)
    return study_id


def completed(engine: Engine) -> int:
    study_id = submit(engine, budget={"trials": 2})
    fail(engine, claim(engine, study_id)[0])
    complete(engine, claim(engine, study_id)[0], 1.0)
    return study_id


def failed(engine: Engine) -> int:
    study_id = submit(engine, budget={"trials": 5, "max_failures": 1})
    fail(engine, claim(engine, study_id)[0])
    return study_id


def cancelled(engine: Engine) -> int:
    study_id = running(engine)
    lifecycle.cancel(engine, study_id)
    return study_id


MAKE = {make.__name__: make for make in (queued, running, paused, finalizing, completed, failed, cancelled)}

ASK: dict[str, Callable[[Engine, int], object]] = {
    "pause": lifecycle.pause,
    "resume": lifecycle.resume,
    "cancel": lifecycle.cancel,
    "extend": lambda engine, study_id: extend(engine, study_id, trials=1),
    "retry": lambda engine, study_id: lifecycle.retry(engine, study_id, None),
    "change": lambda engine, study_id: change(engine, study_id, priority=3, max_parallel=1),
    "enqueue": lambda engine, study_id: studies.enqueue(engine, study_id, [{"x": 0.5}]),
}

STATES = ("queued", "running", "paused", "finalizing", "completed", "failed", "cancelled")
TABLE = {  # what a study is afterwards, in the order of STATES; None: refused
    "pause": ("paused", "paused", "paused", None, None, None, None),
    "resume": ("queued", "running", "running", None, None, None, None),
    "cancel": ("cancelled", "cancelled", "cancelled", "cancelled", None, None, "cancelled"),
    "extend": ("queued", "running", "paused", "running", "running", "running", None),
    "retry": (None, "running", "paused", "running", "running", "running", None),  # queued: nothing has failed
    "change": ("queued", "running", "paused", "finalizing", None, None, None),
    "enqueue": ("queued", "running", "paused", None, None, None, None),
}


@pytest.mark.parametrize(
    ("move", "state", "becomes"),
    [(move, state, after) for move, row in TABLE.items() for state, after in zip(STATES, row, strict=True)],
)
def test_a_move_in_a_state(engine: Engine, move: str, state: str, becomes: str | None) -> None:
    study_id = MAKE[state](engine)
    before = shown(engine, study_id)
    assert before.state == state

    if becomes is None:
        with pytest.raises(WrongStateError, match=before.name) as refused:
            ASK[move](engine, study_id)
        assert ": " in refused.value.detail, "it tells the cure"
        after = shown(engine, study_id)
        assert (after.state, after.end_reason, after.priority) == (state, before.end_reason, before.priority)
        assert (after.progress.budget, after.progress.created) == (before.progress.budget, before.progress.created)
        return
    ASK[move](engine, study_id)
    after = shown(engine, study_id)
    assert after.state == becomes
    assert (after.end_reason is None) == (becomes in {"queued", "running", "paused"})


@pytest.mark.parametrize("move", ["pause", "resume", "cancel", "change"])
def test_a_move_sent_twice_is_one(engine: Engine, move: str) -> None:
    study_id = running(engine)

    ASK[move](engine, study_id)
    once = shown(engine, study_id)
    ASK[move](engine, study_id)

    twice = shown(engine, study_id)
    assert (twice.state, twice.progress.budget, twice.priority) == (once.state, once.progress.budget, once.priority)


# ---- pause and resume ------------------------------------------------------------------------------------------------


def test_a_paused_study_gives_nothing_out_and_takes_back_what_runs(engine: Engine) -> None:
    study_id = submit(engine, limits={"max_attempts": 1})
    held = claim(engine, study_id, slots=2)
    report(engine, held[0], 1, 1.0)

    lifecycle.pause(engine, study_id)

    assert claim(engine, study_id) == []
    assert report(engine, held[0], 2, 1.0) == "pause"
    assert attempts.report(engine, held[1].attempt_id, []).decision == "pause"
    assert [attempts.release(engine, each.attempt_id).state for each in held] == ["waiting", "waiting"]
    with pytest.raises(StaleAttemptError):
        report(engine, held[0], 3, 1.0)
    assert claim(engine, study_id) == []

    lifecycle.resume(engine, study_id)
    again = claim(engine, study_id, slots=2)
    assert [(each.trial, each.params) for each in again] == [(each.trial, each.params) for each in held]
    assert report(engine, again[0], 3, 1.0) == "continue"
    assert [complete(engine, each, 1.0) for each in again] == ["complete", "complete"]


def test_a_result_during_a_pause_counts_and_may_end_the_study(engine: Engine) -> None:
    study_id = submit(engine, budget={"trials": 1})
    held = claim(engine, study_id)[0]
    lifecycle.pause(engine, study_id)

    assert complete(engine, held, 1.0) == "complete"

    assert (shown(engine, study_id).state, shown(engine, study_id).end_reason) == ("completed", "trials")


def test_who_does_not_give_back_is_reaped(engine: Engine) -> None:
    study_id = submit(engine)
    claim(engine, study_id)
    lifecycle.pause(engine, study_id)
    with engine.begin() as connection:
        connection.execute(text("update tuner.attempts set lease_until = now() - interval '1 s'"))

    assert reap.run_once(engine).expired == 1

    assert (shown(engine, study_id).state, shown(engine, study_id).progress.waiting) == ("paused", 1)


def test_a_study_that_had_not_begun_is_queued_again(engine: Engine) -> None:
    study_id = submit(engine, budget={"hours": 1.0})
    lifecycle.pause(engine, study_id)
    assert claim(engine) == []
    lifecycle.resume(engine, study_id)

    assert shown(engine, study_id).state == "queued"
    assert shown(engine, study_id).progress.remaining_s is None
    assert len(claim(engine)) == 1


def test_hours_stand_still_while_a_study_is_paused(engine: Engine) -> None:
    study_id = submit(engine, budget={"hours": 1.0})
    held = claim(engine, study_id)[0]
    shift(engine, 0.25)
    lifecycle.pause(engine, study_id)
    shift(engine, 5.0)

    still = shown(engine, study_id).progress
    assert still.elapsed_s == pytest.approx(900, abs=60)
    assert still.remaining_s == pytest.approx(2700, abs=60)
    assert reap.run_once(engine).out_of_hours == 0
    attempts.release(engine, held.attempt_id)  # settles: the hours are not over
    assert shown(engine, study_id).state == "paused"

    lifecycle.resume(engine, study_id)
    on = shown(engine, study_id).progress
    assert on.elapsed_s == pytest.approx(900, abs=60)
    assert on.remaining_s == pytest.approx(2700, abs=60)
    held = claim(engine, study_id)[0]
    shift(engine, 1.0)
    assert reap.run_once(engine).out_of_hours == 1
    complete(engine, held, 1.0)
    assert (shown(engine, study_id).state, shown(engine, study_id).end_reason) == ("completed", "hours")


def test_the_dashboard_shows_that_a_study_is_paused(engine: Engine) -> None:
    study_id = running(engine)
    lifecycle.pause(engine, study_id)
    name = shown(engine, study_id).name

    assert [study.study_name for study in BoardStorage(engine).get_all_studies()] == [f"{name} (paused)"]


# ---- extend ----------------------------------------------------------------------------------------------------------


def test_a_completed_study_goes_on_where_it_was(engine: Engine) -> None:
    study_id = submit(engine, budget={"trials": 2})
    for y in (2.0, 1.0):
        complete(engine, claim(engine, study_id)[0], y)
    before = trials_of(engine, study_id)
    assert claim(engine, study_id) == []

    extend(engine, study_id, trials=2)

    more = claim(engine, study_id, slots=5)
    assert [each.trial for each in more] == [2, 3]
    for each in more:
        complete(engine, each, 3.0)
    ended = shown(engine, study_id)
    assert (ended.state, ended.end_reason, ended.progress.budget, ended.progress.complete) == (
        "completed",
        "trials",
        4,
        4,
    )
    assert ended.best is not None
    assert ended.best.number == 1
    assert trials_of(engine, study_id)[:2] == before, "finished rows never change"


def test_hours_that_were_used_up_begin_anew_with_an_extension(engine: Engine) -> None:
    study_id = submit(engine, budget={"hours": 1.0})
    held = claim(engine, study_id)[0]
    shift(engine, 2.0)
    reap.run_once(engine)
    complete(engine, held, 1.0)
    assert shown(engine, study_id).end_reason == "hours"
    shift(engine, 48.0)

    extend(engine, study_id, hours=0.5)

    on = shown(engine, study_id)
    assert (on.state, on.progress.budget_hours) == ("running", 1.5)
    assert on.progress.remaining_s == pytest.approx(1800, abs=60)
    assert on.progress.elapsed_s == pytest.approx(7200, abs=60), "two days after its end are none of it"
    assert len(claim(engine, study_id)) == 1


def test_hours_that_are_left_are_kept_when_trials_are_added(engine: Engine) -> None:
    study_id = submit(engine, budget={"trials": 1, "hours": 2.0})
    held = claim(engine, study_id)[0]
    shift(engine, 0.5)
    complete(engine, held, 1.0)
    shift(engine, 48.0)

    extend(engine, study_id, trials=1)

    with engine.begin() as connection:
        left_s = connection.execute(
            text("select extract(epoch from deadline - now()) from tuner.studies where id = :id"), {"id": study_id}
        ).scalar_one()
    assert float(left_s) == pytest.approx(1.5 * 3600, abs=60)


@pytest.mark.parametrize(
    ("budget", "more", "why"),
    [
        ({"trials": 1, "hours": 5.0}, {"hours": 1.0}, "extend it by trials"),
        ({"trials": 50, "hours": 0.01}, {"trials": 10}, "extend it by hours"),
    ],
)
def test_an_extension_that_starts_nothing_is_refused(
    engine: Engine, budget: dict[str, Any], more: dict[str, Any], why: str
) -> None:
    study_id = submit(engine, budget=budget)
    held = claim(engine, study_id)[0]
    shift(engine, 1.0)
    reap.run_once(engine)
    complete(engine, held, 1.0)
    before = shown(engine, study_id)
    assert before.state == "completed"

    with pytest.raises(WrongStateError, match=why):
        extend(engine, study_id, **more)

    assert shown(engine, study_id) == before


@pytest.mark.parametrize(
    ("more", "pointer"), [({"hours": 1.0}, "/hours"), ({"trials": 100_000}, "/trials"), ({"hours": 9999.0}, "/hours")]
)
def test_an_extension_of_a_limit_that_is_not_there_or_too_far_is_refused(
    engine: Engine, more: dict[str, Any], pointer: str
) -> None:
    has_hours = more.get("hours") == 9999.0
    study_id = submit(engine, budget={"hours": 5.0} if has_hours else {"trials": 5})

    with pytest.raises(InvalidError) as refused:
        extend(engine, study_id, **more)

    assert [error.pointer for error in refused.value.errors] == [pointer]


def test_a_target_that_was_reached_counts_no_more_after_an_extension(engine: Engine) -> None:
    study_id = submit(engine, budget={"trials": 3, "target": 0.5})
    complete(engine, claim(engine, study_id)[0], 0.1)
    assert shown(engine, study_id).end_reason == "target-reached"

    extend(engine, study_id, trials=1)

    for y in (0.05, 0.2, 0.01):
        complete(engine, claim(engine, study_id)[0], y)
    assert (shown(engine, study_id).end_reason, shown(engine, study_id).progress.finished) == ("trials", 4)


def test_patience_counts_anew_after_an_extension(engine: Engine) -> None:
    study_id = submit(engine, budget={"trials": 10, "no_improvement": 2})
    for y in (0.1, 0.2, 0.3):
        complete(engine, claim(engine, study_id)[0], y)
    assert shown(engine, study_id).end_reason == "no-improvement"

    extend(engine, study_id, trials=1)
    complete(engine, claim(engine, study_id)[0], 0.4)
    assert shown(engine, study_id).state == "running"
    complete(engine, claim(engine, study_id)[0], 0.5)

    assert (shown(engine, study_id).end_reason, shown(engine, study_id).progress.finished) == ("no-improvement", 5)


def test_a_failed_study_has_its_allowance_of_failures_anew(engine: Engine) -> None:
    study_id = submit(engine, budget={"trials": 10, "max_failures": 2})
    for _ in range(2):
        fail(engine, claim(engine, study_id)[0])
    assert shown(engine, study_id).state == "failed"

    extend(engine, study_id, trials=1)
    fail(engine, claim(engine, study_id)[0])
    assert shown(engine, study_id).state == "running"
    fail(engine, claim(engine, study_id)[0])

    assert (shown(engine, study_id).state, shown(engine, study_id).progress.failed) == ("failed", 4)


@pytest.mark.parametrize("sampler", ["grid", "brute"])
def test_a_search_space_without_a_further_point_is_not_extended(engine: Engine, sampler: str) -> None:
    space = {"n": {"type": "int", "low": 1, "high": 3}}
    study_id = submit(engine, sampler={"name": sampler}, search_space=space, budget={"trials": 10})
    held = claim(engine, study_id, slots=3)
    assert len(held) == 3
    if sampler == "grid":  # knows it once the last point is out, brute force once it is tried
        with pytest.raises(WrongStateError, match="no further point"):
            extend(engine, study_id, trials=5)
    fail(engine, held[0])
    for each in held[1:]:
        complete(engine, each, 1.0)
    assert shown(engine, study_id).end_reason == "search-space-exhausted"

    with pytest.raises(WrongStateError, match="no further point"):
        extend(engine, study_id, trials=5)

    assert lifecycle.retry(engine, study_id, None) == [3]
    again = claim(engine, study_id)[0]
    assert again.params == held[0].params
    complete(engine, again, 1.0)
    assert shown(engine, study_id).end_reason == "search-space-exhausted"


def test_an_extension_with_one_key_is_one(engine: Engine) -> None:
    study_id = submit(engine)

    for _ in range(3):
        extend(engine, study_id, "k", trials=2)

    assert shown(engine, study_id).progress.budget == 7
    with pytest.raises(IdempotencyMismatchError):
        extend(engine, study_id, "k", trials=3)
    with pytest.raises(IdempotencyMismatchError):
        extend(engine, submit(engine), "k", trials=2)


# ---- retry -----------------------------------------------------------------------------------------------------------


def test_a_failed_trial_is_tried_again_as_a_new_one_beyond_the_budget(engine: Engine) -> None:
    study_id = submit(engine, budget={"trials": 2})
    first, second = claim(engine, study_id, slots=2)
    fail(engine, first)
    complete(engine, second, 1.0)
    assert shown(engine, study_id).state == "completed"

    assert lifecycle.retry(engine, study_id, [0], "k") == [2]
    assert lifecycle.retry(engine, study_id, [0], "k") == [2]

    again = claim(engine, study_id)[0]
    assert (again.trial, again.params) == (2, first.params)
    assert claim(engine, study_id) == []
    complete(engine, again, 0.5)
    ended = shown(engine, study_id)
    assert (ended.state, ended.end_reason, ended.progress.budget) == ("completed", "trials", 3)
    trials = trials_of(engine, study_id)
    assert [trial.retry_of for trial in trials] == [None, None, 0]
    assert trials[0].state == "failed"
    assert trials[2].started_at is not None
    assert trials[2].duration_s is not None


def test_all_failed_trials_are_those_that_were_not_tried_again_yet(engine: Engine) -> None:
    study_id = submit(engine, budget={"trials": 5})
    for each in claim(engine, study_id, slots=2):
        fail(engine, each)

    assert lifecycle.retry(engine, study_id, None) == [2, 3]
    with pytest.raises(WrongStateError, match="nothing to retry"):
        lifecycle.retry(engine, study_id, None)
    fail(engine, claim(engine, study_id)[0])

    assert lifecycle.retry(engine, study_id, None) == [4]
    assert trials_of(engine, study_id)[4].retry_of == 2
    assert shown(engine, study_id).progress.budget == 8


def test_what_did_not_fail_is_not_tried_again(engine: Engine) -> None:
    study_id = submit(engine, budget={"trials": 5})
    failed_one, fine = claim(engine, study_id, slots=2)
    fail(engine, failed_one)
    complete(engine, fine, 1.0)
    lifecycle.retry(engine, study_id, [0])

    with pytest.raises(InvalidError) as refused:
        lifecycle.retry(engine, study_id, [0, 1, 99])

    assert [error.pointer for error in refused.value.errors] == ["/trials/0", "/trials/1", "/trials/2"]
    assert "as trial 2" in refused.value.errors[0].detail
    assert "is complete" in refused.value.errors[1].detail


def test_a_retry_leaves_room_for_another_failure(engine: Engine) -> None:
    study_id = submit(engine, budget={"trials": 10, "max_failures": 2})
    fail(engine, claim(engine, study_id)[0])
    lifecycle.retry(engine, study_id, [0])

    fail(engine, claim(engine, study_id)[0])
    assert shown(engine, study_id).state == "running"
    fail(engine, claim(engine, study_id)[0])

    assert shown(engine, study_id).state == "failed"


def test_a_study_whose_hours_are_used_up_tries_nothing_again(engine: Engine) -> None:
    study_id = submit(engine, budget={"hours": 1.0})
    fail(engine, claim(engine, study_id)[0])
    shift(engine, 2.0)
    reap.run_once(engine)

    with pytest.raises(WrongStateError, match="extend it by hours"):
        lifecycle.retry(engine, study_id, None)

    assert len(trials_of(engine, study_id)) == 1


# ---- change ----------------------------------------------------------------------------------------------------------


def test_priority_and_parallelism_hold_from_the_next_claim_on(engine: Engine) -> None:
    first = submit(engine, budget={"trials": 9})
    second = submit(engine, budget={"trials": 9})
    assert [claim(engine)[0].study_id for _ in range(2)] == [first, second]

    change(engine, second, priority=1, max_parallel=3)
    assert [claim(engine)[0].study_id for _ in range(3)] == [second, second, first]
    change(engine, second, max_parallel=1)
    assert (shown(engine, second).progress.running, shown(engine, second).max_parallel) == (3, 1)
    assert claim(engine)[0].study_id == first
    change(engine, second, max_parallel=None)

    assert claim(engine)[0].study_id == second
    assert (shown(engine, second).priority, shown(engine, second).max_parallel) == (1, None)


# ---- what was learnt -------------------------------------------------------------------------------------------------


def test_an_extension_samples_with_all_that_was_learnt(engine: Engine) -> None:
    """TPE with as many random trials as the study had at first: without them, it would go on at random."""

    def distances(n_trials: int) -> list[float]:
        found = []
        for _ in range(n_trials):
            each = claim(engine, study_id)[0]
            x = float(each.params["x"])  # type: ignore[arg-type]  # a float by its search space
            complete(engine, each, (x - 0.3) ** 2)
            found.append(abs(x - 0.3))
        return found

    space = {"x": {"type": "float", "low": -1.0, "high": 1.0}}
    sampler = {"name": "tpe", "seed": 1, "n_startup_trials": 30}
    study_id = submit(engine, search_space=space, sampler=sampler, budget={"trials": 30})
    at_random = distances(30)
    assert shown(engine, study_id).state == "completed"

    extend(engine, study_id, trials=15)

    guided = distances(15)
    assert sum(guided) / 15 < sum(at_random) / 30 / 2
