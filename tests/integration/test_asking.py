"""Between claim and parameters: what is lost there, what comes twice, and who wins a race; the auditor looks after each."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select, text

from tests.auditor import audit
from tests.studying import claim, complete, submit
from tuner import attempts, claims, trial_views
from tuner.domain.states import AttemptState
from tuner.maintenance import reap
from tuner.store import attempts as attempt_rows
from tuner.store import queue, studies, trials
from tuner.store.tables import trials as trials_table
from tuner.wire_attempts import PROTOCOL


@pytest.fixture(autouse=True)
def _audited(engine: Engine) -> Iterator[None]:
    yield
    audit(engine)


def claimed_unsampled(connection: Connection) -> tuple[Any, uuid.UUID, int]:
    """A claim whose process died before the ask: study, attempt and trial."""
    study = queue.next_study(connection, queue.Claimant("w", "r", ["external"], None, PROTOCOL), is_another=False)
    assert study is not None
    made = queue.hold_next(connection, study, queue.Terms("w", "r", 30.0, None, is_another=False))
    assert made is not None
    return study, *made


def test_an_ask_that_comes_after_its_attempt_was_lost_starts_nothing(engine: Engine) -> None:
    submit(engine)
    with engine.begin() as connection:
        study, attempt_id, trial_id = claimed_unsampled(connection)
    started: list[bool] = []

    def sampled() -> None:
        with engine.begin() as connection:
            attrs = {"params": {"x": 0.5, "n": 1}, "distributions": {}, "system_attrs": {}}
            started.append(trials.set_sampled(connection, attempt_id, **attrs))  # type: ignore[arg-type]  # mappings

    asking = threading.Thread(target=sampled)
    with engine.begin() as connection:
        studies.lock(connection, study.id)
        attempt_rows.end(connection, attempt_id, AttemptState.LOST, end_reason="lost")
        trials.wait_again(connection, study.id, trial_id, used_attempt=False)
        asking.start()
        blocked = (
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
        with engine.connect() as other:
            while asking.is_alive() and not other.execute(text(blocked)).scalar_one():
                other.rollback()
    asking.join()

    assert started == [False]
    with engine.begin() as connection:
        assert connection.execute(select(trials_table.c.state)).scalar_one() == "waiting"
    assert complete(engine, claim(engine)[0], 1.0) == "complete"


def test_a_lost_ask_uses_up_no_attempt(engine: Engine) -> None:
    study_id = submit(engine, limits={"max_attempts": 1})
    with engine.begin() as connection:
        claimed_unsampled(connection)
        connection.execute(text("update tuner.attempts set lease_until = now() - interval '1 s'"))

    assert reap.run_once(engine).expired == 1

    with engine.begin() as connection:
        assert trial_views.trial(connection, study_id, 0).state == "waiting"
    assert claim(engine)[0].trial == 0


def test_the_same_request_asks_again_for_what_was_not_sampled(engine: Engine) -> None:
    submit(engine)
    with engine.begin() as connection:
        _study, attempt_id, _trial_id = claimed_unsampled(connection)
    claimant = {"worker_id": "w", "request_id": "r", "slots": 1, "trainers": ["external"]}

    held = claims.claim(engine, **claimant)  # type: ignore[arg-type]  # plain values

    assert held is not None
    assert [each.attempt_id for each in held] == [attempt_id]
    assert set(held[0].params) == {"x", "n"}


def test_the_same_request_twice_at_once_gets_one_trial(engine: Engine) -> None:
    submit(engine, budget={"trials": 100})
    for i in range(20):
        barrier = threading.Barrier(2)

        def ask(barrier: threading.Barrier = barrier, request_id: str = f"r{i}") -> list[uuid.UUID]:
            barrier.wait()
            return [each.attempt_id for each in claim(engine, request_id=request_id)]

        with ThreadPoolExecutor(2) as pool:
            first, second = (pool.submit(ask) for _ in range(2))

            assert len(first.result()) == 1
            assert first.result() == second.result()


def test_the_lease_starts_anew_with_the_parameters(engine: Engine) -> None:
    submit(engine)
    with engine.begin() as connection:
        _study, attempt_id, _trial_id = claimed_unsampled(connection)
        connection.execute(text("update tuner.attempts set lease_until = now() + interval '1 s'"))
        attrs = {"params": {"x": 0.5, "n": 1}, "distributions": {}, "system_attrs": {}}
        assert trials.set_sampled(connection, attempt_id, **attrs)  # type: ignore[arg-type]  # mappings

    with engine.begin() as connection:
        left = text("select lease_until > now() + interval '20 s' from tuner.attempts")
        assert connection.execute(left).scalar_one()
    attempts.release(engine, attempt_id)
