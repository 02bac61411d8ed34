"""What a user does with final models: asks for one later, cancels, extends; and which study gets one of what."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine

from tests import studying
from tests.finalizing import claim, final_of, hand_in, searched, shown, train
from tuner import attempts, lifecycle
from tuner.domain.errors import StaleAttemptError, WrongStateError
from tuner.wire_attempts import CompleteBody
from tuner.wire_lifecycle import ExtendBody


def test_finalized_later_and_once(engine: Engine) -> None:
    study_id = searched(engine, finalize=False)
    before = shown(engine, study_id)
    assert (before.state, before.final) == ("completed", None)
    assert not claim(engine)

    lifecycle.finalize(engine, study_id)
    lifecycle.finalize(engine, study_id)

    assert (shown(engine, study_id).state, final_of(engine, study_id).number) == ("finalizing", 1)
    (attempt,) = claim(engine)
    lifecycle.finalize(engine, study_id)
    hand_in(engine, attempt)
    lifecycle.finalize(engine, study_id)
    after = shown(engine, study_id)
    assert after.state == "completed"
    assert after.final is not None
    assert (after.final.state, after.final.number) == ("complete", 1)
    assert not claim(engine)


def test_asked_for_at_once_by_many_it_is_queued_once(engine: Engine) -> None:
    study_id = searched(engine, finalize=False)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: lifecycle.finalize(engine, study_id), range(16)))

    assert final_of(engine, study_id).number == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"evaluation": {"test": 0}}, "no test part"), ({"constraints": [{"metric": "loss", "max": 0}]}, "constraints")],
)
def test_what_cannot_be_finalized_says_why(engine: Engine, changes: dict[str, Any], told: str) -> None:
    study_id = studying.submit_trained(engine, **changes)
    for _ in range(2):
        (attempt,) = claim(engine)
        attempts.complete(engine, attempt.attempt_id, CompleteBody(metrics={"val/roc_auc": 0.9, "val/loss": 1.0}))
    study = shown(engine, study_id)
    assert (study.state, study.final) == ("completed", None)

    with pytest.raises(WrongStateError, match=told):
        lifecycle.finalize(engine, study_id)


def test_a_study_that_searches_still_is_not_finalized(engine: Engine) -> None:
    study_id = studying.submit_trained(engine)
    with pytest.raises(WrongStateError, match="still searching"):
        lifecycle.finalize(engine, study_id)
    external = studying.submit(engine, budget={"trials": 1})
    (attempt,) = studying.claim(engine, external)
    studying.complete(engine, attempt, 1.0)
    with pytest.raises(WrongStateError, match="loop of your own"):
        lifecycle.finalize(engine, external)


def test_cancelled_while_it_is_made(engine: Engine) -> None:
    study_id = searched(engine)
    (attempt,) = claim(engine)

    lifecycle.cancel(engine, study_id)

    study = shown(engine, study_id)
    assert (study.state, study.end_reason) == ("completed", "trials"), "its search was over"
    assert study.final is not None
    assert study.final.state == "cancelled"
    with pytest.raises(StaleAttemptError):
        attempts.report(engine, attempt.attempt_id, [])
    with pytest.raises(StaleAttemptError):
        hand_in(engine, attempt)


def test_extended_while_it_is_made_the_study_searches_on_and_is_finalized_anew(engine: Engine) -> None:
    study_id = searched(engine)
    (attempt,) = claim(engine)

    lifecycle.extend(engine, study_id, ExtendBody(trials=1))

    assert (shown(engine, study_id).state, final_of(engine, study_id).state) == ("running", "cancelled")
    with pytest.raises(StaleAttemptError):
        hand_in(engine, attempt)
    train(engine, 0.6)
    assert (shown(engine, study_id).state, final_of(engine, study_id).number) == ("finalizing", 2)


@pytest.mark.parametrize(("auc", "state", "number"), [(0.6, "completed", 1), (0.9, "finalizing", 2)])
def test_an_extended_study_reads_the_test_part_again_only_for_another_best(
    engine: Engine, auc: float, state: str, number: int
) -> None:
    study_id = searched(engine)
    (attempt,) = claim(engine)
    hand_in(engine, attempt)

    lifecycle.extend(engine, study_id, ExtendBody(trials=1))
    train(engine, auc)

    assert (shown(engine, study_id).state, final_of(engine, study_id).number) == (state, number)


def test_of_several_objectives_the_best_by_the_first_is_fitted(engine: Engine) -> None:
    study_id = studying.submit_trained(engine, objectives=[{"metric": "roc_auc"}, {"metric": "latency_ms"}])
    for auc, latency_ms in ((0.9, 5.0), (0.8, 1.0)):
        (attempt,) = claim(engine)
        metrics = {"val/roc_auc": auc, "latency_ms": latency_ms}
        attempts.complete(engine, attempt.attempt_id, CompleteBody(metrics=metrics, best_step=2))

    assert final_of(engine, study_id).trial == 0


def test_a_study_that_failed_or_has_no_complete_trial_ends_without(engine: Engine) -> None:
    study_id = studying.submit_trained(engine, budget={"trials": 2, "max_failures": 1})
    (attempt,) = claim(engine)
    studying.fail(engine, attempt)
    assert (shown(engine, study_id).state, shown(engine, study_id).final) == ("failed", None)

    study_id = studying.submit_trained(engine)
    for _ in range(2):
        (attempt,) = claim(engine)
        studying.fail(engine, attempt)
    assert (shown(engine, study_id).state, shown(engine, study_id).final) == ("completed", None)


def test_a_final_fit_goes_before_new_trials_of_the_same_priority(engine: Engine) -> None:
    study_id = searched(engine)
    studying.submit_trained(engine)
    urgent = studying.submit_trained(engine, priority=1, budget={"trials": 1})

    assert [claim(engine)[0].study_id for _ in range(2)] == [urgent, study_id]
