"""A study's final fit in the control plane: queued once, held under a lease, accepted once, seen by no sampler."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from tests import studying
from tests.finalizing import claim, final_of, hand_in, lose, searched, shown, train
from tuner import attempts, lifecycle, trial_views
from tuner.domain.errors import InvalidError, StaleAttemptError
from tuner.maintenance import reap
from tuner.sampling.storage import TunerStorage
from tuner.store.database import transaction
from tuner.wire_attempts import CompleteBody, FailBody, LogBody, ReportBody
from tuner.wire_lifecycle import ExtendBody


def test_the_best_configuration_is_fitted_when_the_last_trial_has_ended(engine: Engine) -> None:
    study_id = studying.submit_trained(engine)
    train(engine, 0.8, best_step=4)
    assert shown(engine, study_id).final is None
    train(engine, 0.7)

    study = shown(engine, study_id)
    assert (study.state, study.end_reason, study.ended_at) == ("finalizing", "trials", None)
    assert study.final is not None
    assert (study.final.state, study.final.trial, study.final.epochs) == ("waiting", 0, 4)
    assert study.progress.waiting == 0

    (attempt,) = claim(engine)
    trial = shown(engine, study_id).best
    assert trial is not None
    assert (attempt.is_final, attempt.study_id, attempt.trial) == (True, study_id, trial.number)
    assert attempt.params["epochs"] == 4
    assert attempt.test == 0.2
    assert final_of(engine, study_id).state == "running"

    assert hand_in(engine, attempt) == "complete"
    study = shown(engine, study_id)
    assert (study.state, study.end_reason) == ("completed", "trials")
    assert study.ended_at is not None
    assert study.final is not None
    assert study.final.metrics is not None
    score = study.final.metrics["accuracy"]
    assert (score.value, score.low, score.high) == (0.9, 0.8, 0.95)
    assert study.final.baseline == {"accuracy": 0.3}
    assert not claim(engine)


def test_a_worker_that_is_older_than_final_fits_is_given_none_and_goes_on_with_trials(engine: Engine) -> None:
    """It would take the final fit for a trial, and report a model that has learnt less than it should."""
    studying.submit_trained(engine, budget={"trials": 1})
    (attempt,) = claim(engine, protocol=1)
    attempts.complete(engine, attempt.attempt_id, CompleteBody(metrics={"val/roc_auc": 0.8}, best_step=2))

    assert claim(engine, protocol=1) == []
    other = studying.submit_trained(engine)
    assert [each.study_id for each in claim(engine, protocol=1, slots=2)] == [other] * 2
    assert [each.is_final for each in claim(engine)] == [True]


def test_the_final_fit_has_the_seed_parameters_and_threshold_of_its_trial(engine: Engine) -> None:
    studying.submit_trained(engine)
    (first,) = claim(engine)
    metrics = {"val/roc_auc": 0.9, "val/threshold": 0.3}
    attempts.complete(engine, first.attempt_id, CompleteBody(metrics=metrics, best_step=2))
    train(engine, 0.5)

    (attempt,) = claim(engine)

    assert attempt.seed == first.seed
    assert (attempt.threshold, first.threshold) == (0.3, None)
    assert attempt.params == first.params | {"epochs": 2}
    assert (attempt.fixed, attempt.split_seed, attempt.checkpoints) == (first.fixed, first.split_seed, [])


def test_with_folds_it_trains_the_median_of_the_folds_best_steps(engine: Engine) -> None:
    """Of equals the epoch of least loss is the best, as in the training loop, and where nothing is said of a loss the first."""
    study_id = studying.submit_trained(engine, budget={"trials": 1}, evaluation={"folds": 3})
    (attempt,) = claim(engine)
    curves = ([0.5, 0.9, 0.9, 0.9], [0.5, 0.6, 0.7, 0.8], [0.9, 0.8, 0.7, 0.9])  # best at 3, 4 and 1
    losses = ([0.3, 0.3, 0.2, 0.4], [0.1, 0.2, 0.3, 0.4], None)
    sent = [
        ReportBody(
            fold=fold,
            step=step,
            metrics={"val/roc_auc": value, **({} if loss is None else {"val/loss": loss[step - 1]})},
        )
        for fold, (curve, loss) in enumerate(zip(curves, losses, strict=True))
        for step, value in enumerate(curve, start=1)
    ]
    sent += [ReportBody(fold=fold, step=0, metrics={"val/roc_auc": 0.99}) for fold in range(3)]
    attempts.report(engine, attempt.attempt_id, sent)
    attempts.complete(engine, attempt.attempt_id, CompleteBody(metrics={"val/roc_auc": 0.8}))

    assert final_of(engine, study_id).epochs == 3


def test_no_sampler_and_no_budget_sees_it(engine: Engine) -> None:
    study_id = searched(engine)
    (attempt,) = claim(engine)
    hand_in(engine, attempt)

    assert [trial.number for trial in TunerStorage(engine).get_all_trials(study_id)] == [0, 1]
    progress = shown(engine, study_id).progress
    assert (progress.created, progress.finished, progress.running) == (2, 2, 0)
    lifecycle.extend(engine, study_id, ExtendBody(trials=1))
    (third,) = claim(engine)
    assert (third.trial, third.is_final) == (2, False)


def test_a_claim_sent_twice_gets_the_same_final_fit(engine: Engine) -> None:
    searched(engine)
    request_id = uuid.uuid4().hex

    first = claim(engine, request_id=request_id, slots=2)
    again = claim(engine, request_id=request_id, slots=2)

    assert len(first) == 1
    assert again == first
    assert not claim(engine)


def test_of_many_that_claim_at_once_one_gets_it(engine: Engine) -> None:
    study_id = searched(engine)

    with ThreadPoolExecutor(8) as pool:
        held = [attempt for found in pool.map(lambda _: claim(engine), range(16)) for attempt in found]

    assert [(attempt.study_id, attempt.is_final) for attempt in held] == [(study_id, True)]
    shown(engine, study_id)


def test_a_study_that_is_settled_once_more_waits_on(engine: Engine) -> None:
    """As by maintenance, which has seen its hours pass just before its last trial ended."""
    study_id = searched(engine)

    reap._settle(engine, study_id)

    final = final_of(engine, study_id)
    assert (final.number, final.state) == (1, "waiting")


@pytest.mark.parametrize("end", ["complete", "extended", "cancelled"])
def test_a_final_fit_is_made_when_the_hours_are_over_and_takes_none_of_them(engine: Engine, end: str) -> None:
    """It waits two hours for a worker and trains one; what was left of the hours, a quarter, is left."""
    study_id = searched(engine, budget={"trials": 2, "hours": 1.0})
    with transaction(engine) as connection:
        connection.execute(text("update tuner.studies set started_at = started_at - interval '45 minutes'"))
        connection.execute(text("update tuner.studies set deadline = deadline - interval '45 minutes'"))
    pass_time(engine, 2)
    assert reap.run_once(engine).out_of_hours == 0

    (attempt,) = claim(engine)
    assert attempt.is_final
    pass_time(engine, 1)
    assert shown(engine, study_id).progress.elapsed_s == pytest.approx(2700, abs=60)
    if end == "complete":
        assert hand_in(engine, attempt) == "complete"
        assert (shown(engine, study_id).state, shown(engine, study_id).end_reason) == ("completed", "trials")
    elif end == "cancelled":
        lifecycle.cancel(engine, study_id)
        assert final_of(engine, study_id).state == "cancelled"
    assert shown(engine, study_id).progress.elapsed_s == pytest.approx(2700, abs=60)

    lifecycle.extend(engine, study_id, ExtendBody(trials=1))
    on = shown(engine, study_id)
    assert on.progress.elapsed_s == pytest.approx(2700, abs=60)
    assert on.progress.remaining_s == pytest.approx(900, abs=120)
    train(engine, 0.6)


def test_a_study_that_ran_out_of_hours_has_its_final_fit(engine: Engine) -> None:
    study_id = studying.submit_trained(engine, budget={"hours": 1.0})
    train(engine, 0.7)
    (last,) = claim(engine)
    pass_time(engine, 2)
    assert reap.run_once(engine).out_of_hours == 1
    attempts.complete(engine, last.attempt_id, CompleteBody(metrics={"val/roc_auc": 0.8}, best_step=2))
    study = shown(engine, study_id)
    assert (study.state, study.end_reason) == ("finalizing", "hours")

    (attempt,) = claim(engine)
    pass_time(engine, 2)
    assert attempt.is_final
    assert hand_in(engine, attempt) == "complete"
    assert shown(engine, study_id).state == "completed"


def pass_time(engine: Engine, hours: float) -> None:
    """Moves what has begun into the past; leases stay, as if they were renewed."""
    columns = {"studies": ("started_at", "ended_at", "deadline"), "finals": ("created_at", "finished_at")}
    with transaction(engine) as connection:
        for table, named in columns.items():
            moved = ", ".join(f"{column} = {column} - make_interval(secs => :s)" for column in named)
            connection.execute(text(f"update tuner.{table} set {moved}"), {"s": hours * 3600})


def test_a_loop_of_ones_own_is_not_given_it(engine: Engine) -> None:
    study_id = searched(engine)

    assert not claim(engine, study_id=study_id)


def test_reports_renew_the_lease_and_are_not_kept(engine: Engine) -> None:
    study_id = searched(engine)
    (attempt,) = claim(engine)

    printed = LogBody(position=0, text="epoch 1\n")
    sent = [ReportBody(step=1, metrics={"val/roc_auc": 1.0})]
    answer = attempts.report(engine, attempt.attempt_id, sent, printed)

    assert (answer.decision, answer.log_bytes) == ("continue", 8)
    with transaction(engine) as connection:
        assert not trial_views.reports(connection, study_id, attempt.trial)


def test_only_a_result_of_the_test_part_is_taken(engine: Engine) -> None:
    """A worker of an older version would train it as a trial."""
    study_id = searched(engine)
    (attempt,) = claim(engine)

    with pytest.raises(InvalidError, match="test part"):
        attempts.complete(engine, attempt.attempt_id, CompleteBody(metrics={"val/roc_auc": 0.9}))

    assert final_of(engine, study_id).state == "running"
    assert hand_in(engine, attempt) == "complete"


def test_one_result_is_accepted(engine: Engine) -> None:
    study_id = searched(engine)
    (zombie,) = claim(engine)
    lose(engine, zombie)
    (attempt,) = claim(engine)
    assert hand_in(engine, attempt) == "complete"

    assert hand_in(engine, attempt) == "complete"  # its answer was lost
    with pytest.raises(StaleAttemptError):
        hand_in(engine, attempt, **{"test/f1": 0.1})
    with pytest.raises(StaleAttemptError):
        hand_in(engine, zombie)
    final = final_of(engine, study_id)
    assert final.metrics is not None
    assert set(final.metrics) == {"accuracy"}


def test_a_lost_worker_costs_an_attempt_and_the_last_one_ends_the_study_completed(engine: Engine) -> None:
    study_id = searched(engine, limits={"max_attempts": 2})

    (attempt,) = claim(engine)
    lose(engine, attempt)
    assert final_of(engine, study_id).state == "waiting"
    with pytest.raises(StaleAttemptError):
        attempts.report(engine, attempt.attempt_id, [])
    (attempt,) = claim(engine)
    lose(engine, attempt)

    study = shown(engine, study_id)
    assert (study.state, study.end_reason) == ("completed", "trials")
    assert study.final is not None
    assert study.final.state == "failed"
    assert study.final.reason is not None
    assert study.final.reason.startswith("lost: worker tester was last heard of")


def test_maintenance_ends_it_when_nobody_renews_the_lease(engine: Engine) -> None:
    study_id = searched(engine)
    claim(engine)
    assert reap.run_once(engine).expired == 0
    with transaction(engine) as connection:
        connection.execute(text("update tuner.attempts set lease_until = now() - interval '1 hour', lease_s = 0.001"))

    assert reap.run_once(engine).expired == 1

    assert final_of(engine, study_id).state == "waiting"


def test_given_back_it_waits_and_uses_up_nothing(engine: Engine) -> None:
    study_id = searched(engine, limits={"max_attempts": 1})
    for _ in range(3):
        (attempt,) = claim(engine)
        assert attempts.release(engine, attempt.attempt_id).state == "waiting"
        assert attempts.release(engine, attempt.attempt_id).state == "waiting"

    assert final_of(engine, study_id).state == "waiting"


def test_one_that_raises_fails_with_its_reason_and_can_be_asked_for_again(engine: Engine) -> None:
    study_id = searched(engine)
    (attempt,) = claim(engine)
    error = "ValueError: no such thing\nTraceback …\nkey tuner-admin"
    body = FailBody(reason="trainer-error", error=error)
    assert attempts.fail(engine, attempt.attempt_id, body).state == "failed"
    assert attempts.fail(engine, attempt.attempt_id, body).state == "failed"

    study = shown(engine, study_id)
    assert study.state == "completed"
    assert study.final is not None
    assert study.final.reason is not None
    assert study.final.reason.startswith("trainer-error: ValueError: no such thing\n")

    lifecycle.finalize(engine, study_id)
    assert shown(engine, study_id).state == "finalizing"
    (attempt,) = claim(engine)
    hand_in(engine, attempt)
    assert (final_of(engine, study_id).state, final_of(engine, study_id).number) == ("complete", 2)
