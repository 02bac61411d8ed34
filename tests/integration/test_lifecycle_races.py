"""Moves that meet results and claims at the same moment, on a real PostgreSQL: one order, and one final state."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from tests.auditor import audit
from tests.studying import claim, complete, fail, submit
from tuner import attempts, lifecycle, views
from tuner.domain.errors import StaleAttemptError, WrongStateError
from tuner.wire import StudyOut
from tuner.wire_attempts import ClaimedAttempt
from tuner.wire_lifecycle import ExtendBody

ROUNDS = 200


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


def shown(engine: Engine, study_id: int) -> StudyOut:
    with engine.begin() as connection:
        return views.study(connection, study_id)


def at_once(pool: ThreadPoolExecutor, *calls: Callable[[], object]) -> list[object]:
    """What each gave, or the type of the refusal; all begin at the same moment."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return call()
        except (StaleAttemptError, WrongStateError) as refusal:
            return type(refusal)

    return [future.result() for future in [pool.submit(run, call) for call in calls]]


def test_cancel_against_complete(engine: Engine, pool: ThreadPoolExecutor) -> None:
    seen: Counter[str] = Counter()
    for _ in range(ROUNDS):
        study_id = submit(engine, budget={"trials": 1})
        attempt = claim(engine, study_id)[0]

        handed_in, cancelled = at_once(
            pool, lambda a=attempt: complete(engine, a, 1.0), lambda i=study_id: lifecycle.cancel(engine, i)
        )

        state = shown(engine, study_id).state
        expected = {"completed": ("complete", WrongStateError), "cancelled": (StaleAttemptError, None)}
        assert (handed_in, cancelled) == expected[state]
        seen[state] += 1
    assert sum(seen.values()) == ROUNDS
    audit(engine)


def test_pause_against_complete(engine: Engine, pool: ThreadPoolExecutor) -> None:
    """The result always counts; a pause that comes too late is refused, one that comes first changes nothing of it."""
    for _ in range(ROUNDS):
        study_id = submit(engine, budget={"trials": 1})
        attempt = claim(engine, study_id)[0]

        handed_in, _ = at_once(
            pool, lambda a=attempt: complete(engine, a, 1.0), lambda i=study_id: lifecycle.pause(engine, i)
        )

        assert handed_in == "complete"
        assert (shown(engine, study_id).state, shown(engine, study_id).end_reason) == ("completed", "trials")
    audit(engine)


def test_pause_against_claim(engine: Engine, pool: ThreadPoolExecutor) -> None:
    """Whoever got a trial is told to give it back; afterwards nothing is given out, and nothing is lost."""
    for _ in range(ROUNDS // 4):
        study_id = submit(engine, budget={"trials": 3})

        def take(study_id: int = study_id) -> list[ClaimedAttempt]:
            return claim(engine, study_id)

        *held, _ = at_once(pool, take, take, lambda i=study_id: lifecycle.pause(engine, i))

        assert claim(engine, study_id) == []
        for each in held:
            for attempt in each:  # type: ignore[attr-defined]  # a list of attempts
                assert attempts.report(engine, attempt.attempt_id, []).decision == "pause"
                attempts.release(engine, attempt.attempt_id)
        still = shown(engine, study_id)
        assert (still.state, still.progress.running) == ("paused", 0)
        lifecycle.resume(engine, study_id)
        assert sorted(attempt.trial for attempt in claim(engine, study_id, slots=5)) == [0, 1, 2]
    audit(engine)


def test_pause_against_release_and_resume(engine: Engine, pool: ThreadPoolExecutor) -> None:
    for _ in range(ROUNDS // 4):
        study_id = submit(engine, budget={"trials": 2})
        attempt = claim(engine, study_id)[0]
        lifecycle.pause(engine, study_id)

        at_once(
            pool,
            lambda a=attempt: attempts.release(engine, a.attempt_id).state,
            lambda i=study_id: lifecycle.resume(engine, i),
            lambda i=study_id: claim(engine, i),
        )

        assert shown(engine, study_id).state == "running"
    audit(engine)


def test_extend_against_the_last_trials_end(engine: Engine, pool: ThreadPoolExecutor) -> None:
    for _ in range(ROUNDS):
        study_id = submit(engine, budget={"trials": 1})
        attempt = claim(engine, study_id)[0]

        def extend(study_id: int = study_id) -> None:
            lifecycle.extend(engine, study_id, ExtendBody(trials=1))

        at_once(pool, lambda a=attempt: complete(engine, a, 1.0), extend)

        on = shown(engine, study_id)
        assert (on.state, on.end_reason, on.progress.budget) == ("running", None, 2)
        complete(engine, claim(engine, study_id)[0], 2.0)
        assert (shown(engine, study_id).state, shown(engine, study_id).progress.complete) == ("completed", 2)
    audit(engine)


def test_the_same_extension_and_retry_many_times_at_once(engine: Engine, pool: ThreadPoolExecutor) -> None:
    for round_ in range(10):
        study_id = submit(engine, budget={"trials": 2})
        fail(engine, claim(engine, study_id)[0])

        def extend(study_id: int = study_id, key: str = f"e{round_}") -> None:
            lifecycle.extend(engine, study_id, ExtendBody(trials=3), key)

        def retry(study_id: int = study_id, key: str = f"r{round_}") -> list[int]:
            return lifecycle.retry(engine, study_id, [0], key)

        answers = at_once(pool, extend, retry, extend, retry)

        assert answers == [None, [1], None, [1]]
        assert shown(engine, study_id).progress.budget == 6
        assert len(claim(engine, study_id, slots=9)) == 5
    audit(engine)
