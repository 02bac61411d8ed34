"""Why trials ended, as stored and shown, on a real PostgreSQL; and that the study's limits are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.auditor import audit
from tests.studying import claim, complete, fail, report, submit
from tuner import attempts, lifecycle, trial_views, views
from tuner.domain.ends import Memory
from tuner.maintenance import reap
from tuner.store import workers
from tuner.wire import TrialDetail
from tuner.wire_attempts import CompleteBody, FailBody


@pytest.fixture(autouse=True)
def _audited(engine: Engine) -> Iterator[None]:
    yield
    audit(engine)


def shown(engine: Engine, study_id: int, number: int = 0) -> TrialDetail:
    with engine.begin() as connection:
        return trial_views.trial(connection, study_id, number)


def end(engine: Engine, study_id: int, number: int = 0) -> dict[str, Any]:
    ended = shown(engine, study_id, number).end
    assert ended is not None
    return ended.model_dump(mode="json", exclude={"text"})


def scalar(engine: Engine, query: str) -> Any:
    with engine.begin() as connection:
        return connection.execute(text(query)).scalar_one()


def out_of_memory(engine: Engine, *, killed: bool) -> str:
    memory = Memory(where="host", peak_bytes=2**30, killed=killed)
    body = FailBody(reason="out-of-memory", error="no memory", memory=memory)
    return attempts.fail(engine, claim(engine)[0].attempt_id, body).state


def test_a_trial_that_has_not_ended_has_no_end(engine: Engine) -> None:
    study_id = submit(engine)
    claim(engine)

    assert shown(engine, study_id).end is None
    assert shown(engine, study_id).attempts[0].end is None


def test_a_pruned_trial_tells_the_threshold_that_it_missed(engine: Engine) -> None:
    study_id = submit(engine, pruner={"name": "median", "n_startup_trials": 2}, budget={"trials": 3})
    for value in (0.1, 0.3):
        attempt = claim(engine)[0]
        report(engine, attempt, 1, value)
        complete(engine, attempt, value)
    bad = claim(engine)[0]
    assert report(engine, bad, 1, 9.0) == "prune"
    assert shown(engine, study_id, 2).end is None  # it has not obeyed yet
    attempts.complete(engine, bad.attempt_id, CompleteBody(state="pruned", metrics={"y": 9.0}))

    rule = "its best so far is above 0.2, the median of 2 complete trials at this step"
    assert end(engine, study_id, 2) == {
        "reason": "pruned",
        "step": 1,
        "metric": "y",
        "value": 9.0,
        "threshold": 0.2,
        "rule": rule,
    }
    pruned = shown(engine, study_id, 2)
    assert pruned.end is not None
    assert pruned.end.text == f"pruned at step 1, y 9: {rule}"
    assert pruned.attempts[0].end == pruned.end


def test_a_trial_that_completes_although_it_was_to_be_pruned_is_just_complete(engine: Engine) -> None:
    study_id = submit(engine, pruner={"name": "threshold", "upper": 1.0})
    attempt = claim(engine)[0]
    assert report(engine, attempt, 1, 9.0) == "prune"
    complete(engine, attempt, 0.5)

    assert end(engine, study_id) == {"reason": "complete"}


def test_a_loop_that_prunes_by_its_own_rule_tells_its_last_step(engine: Engine) -> None:
    study_id = submit(engine)
    attempt = claim(engine)[0]
    report(engine, attempt, 4, 0.5)
    attempts.complete(engine, attempt.attempt_id, CompleteBody(state="pruned", metrics={"y": 0.5}))

    assert end(engine, study_id) == {
        "reason": "pruned",
        "step": 4,
        "metric": "y",
        "value": 0.5,
        "rule": "its own loop ended it",
    }


def test_a_lost_trial_tells_its_worker_and_the_last_heartbeat(engine: Engine) -> None:
    study_id = submit(engine)
    with engine.begin() as connection:
        workers.register(connection, "tester", name="gpu-1", version="1", slots=1, devices=["cpu"], trainers=[])
    claim(engine)
    until = scalar(engine, "update tuner.attempts set lease_until = lease_until - interval '1 h' returning lease_until")
    reap.run_once(engine)

    trial = shown(engine, study_id)
    assert trial.end is None  # it is tried again
    lost = trial.attempts[0].end
    assert lost is not None
    assert (lost.reason, lost.worker) == ("lost", "gpu-1")
    assert lost.last_heartbeat is not None
    assert (until - lost.last_heartbeat).total_seconds() == pytest.approx(30)
    assert lost.text.startswith("lost: worker gpu-1 was last heard of at ")


def test_each_attempt_tells_its_own_end(engine: Engine) -> None:
    study_id = submit(engine, limits={"max_attempts": 2})
    fail(engine, claim(engine)[0], "child-died")
    complete(engine, claim(engine)[0], 1.0)

    trial = shown(engine, study_id)
    assert [attempt.end.text for attempt in trial.attempts if attempt.end] == ["child-died: it broke", "complete"]
    assert trial.end == trial.attempts[1].end


def test_a_diverged_trial_tells_step_and_metric(engine: Engine) -> None:
    study_id = submit(engine)
    body = FailBody(reason="non-finite", error="it diverged", step=3, metric="val/loss")
    attempts.fail(engine, claim(engine)[0].attempt_id, body)

    assert end(engine, study_id) == {"reason": "non-finite", "step": 3, "metric": "val/loss"}


@pytest.mark.parametrize(
    ("reason", "limits", "minutes"),
    [("timeout", {"trial_minutes": 7}, 7.0), ("no-progress", {"no_progress_minutes": 0.5}, 0.5)],
)
def test_a_trial_over_a_limit_tells_which(engine: Engine, reason: str, limits: Any, minutes: float) -> None:
    study_id = submit(engine, limits=limits)
    fail(engine, claim(engine)[0], reason)

    assert end(engine, study_id) == {"reason": reason, "limit_minutes": minutes}


def test_a_trial_that_the_kernel_killed_for_memory_is_tried_once_more_with_smaller_pieces(engine: Engine) -> None:
    study_id = submit(engine, limits={"max_attempts": 5})

    assert out_of_memory(engine, killed=True) == "waiting"
    again = claim(engine, request_id="again")[0]
    assert again.halvings == 1
    assert claim(engine, request_id="again")[0].halvings == 1  # asked again, the same answer
    memory = Memory(where="host", peak_bytes=2**30, killed=True)
    attempts.fail(engine, again.attempt_id, FailBody(reason="out-of-memory", memory=memory))

    assert shown(engine, study_id).state == "failed"
    assert end(engine, study_id)["memory"] == {"where": "host", "peak_bytes": 2**30, "killed": True}


def test_a_trial_whose_smallest_pieces_do_not_fit_has_failed(engine: Engine) -> None:
    submit(engine)

    assert out_of_memory(engine, killed=False) == "failed"


def test_what_a_complete_trial_did_to_fit_is_recorded(engine: Engine) -> None:
    study_id = submit(engine)
    memory = Memory(where="device", peak_bytes=5, batch_size=64, micro_batch=16)
    attempts.complete(engine, claim(engine)[0].attempt_id, CompleteBody(metrics={"y": 1.0}, memory=memory))

    assert end(engine, study_id)["memory"] == memory.model_dump()


def test_a_cancelled_trial_says_so(engine: Engine) -> None:
    study_id = submit(engine)
    claim(engine)
    lifecycle.cancel(engine, study_id)

    assert end(engine, study_id) == {"reason": "cancelled"}


def test_no_secret_is_stored_with_an_error(engine: Engine) -> None:
    study_id = submit(engine)
    body = FailBody(reason="trainer-error", error="OperationalError: postgresql://me:hunter2@db/x is down")
    attempts.fail(engine, claim(engine)[0].attempt_id, body)

    assert shown(engine, study_id).error == "OperationalError: postgresql://… is down"


def test_a_lease_is_as_long_as_the_study_says_and_every_report_renews_it(engine: Engine) -> None:
    submit(engine, limits={"lease_s": 100})
    attempt = claim(engine)[0]
    left = "select extract(epoch from lease_until - clock_timestamp()) from tuner.attempts"
    assert 0 < float(scalar(engine, left)) <= 100

    scalar(engine, "update tuner.attempts set lease_until = clock_timestamp() + interval '1 s' returning 1")
    report(engine, attempt, 1, 1.0)

    assert 1 < float(scalar(engine, left)) <= 100


def test_a_study_that_only_fails_stops_by_itself(engine: Engine) -> None:
    study_id = submit(engine, budget={"trials": 50})
    failed = 0
    while held := claim(engine, study_id):
        fail(engine, held[0])
        failed += 1

    with engine.begin() as connection:
        study = views.study(connection, study_id)
    assert (study.state, study.end_reason, failed) == ("failed", "max-failures", 10)
