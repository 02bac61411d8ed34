"""A loop of the user's own over real HTTP: results, failures, pruning, leases, and every way to leave it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from api.app import rest_app
from api.gate import Gate
from tests.auditor import audit
from tests.integration.conftest import ADMIN
from tests.serving import serving
from tests.studying import external
from tuner import attempts as use_cases
from tuner import keys
from tuner.client import Client
from tuner.loop import Study, Trial, TrialPruned, TrialStopped
from tuner.maintenance import reap
from tuner.settings import Settings


def states(client: Client, study: Study) -> list[str]:
    return [trial.state for trial in client.trials(study.id)]


def test_a_loop_runs_the_budget_and_ends(client: Client, engine: Engine) -> None:
    name = client.submit(external(budget={"trials": 4})).name

    seen = []
    for trial in client.study(name).trials():
        trial.report(1, y=trial.params["x"])
        seen.append(trial.number)
        assert trial.complete(y=trial.params["x"] ** 2) == "complete"

    study = client.study(name)
    assert seen == [0, 1, 2, 3]
    assert (study.state, study.end_reason) == ("completed", "trials")
    assert study.best is not None
    assert study.best.value == min(trial.params["x"] ** 2 for trial in client.trials(study.id))  # type: ignore[operator]
    assert [point.metrics["y"] for point in client.reports(study.id, 2).items] == [
        client.trial(study.id, 2).params["x"]
    ]
    assert list(study.trials()) == []  # a study that has ended gives nothing, at once
    audit(engine)


def test_an_exception_in_the_block_fails_the_trial_with_its_traceback(client: Client, engine: Engine) -> None:
    study = client.submit(external())

    def run() -> None:
        for trial in study.trials():
            with trial:
                raise KeyError("no such layer")

    with pytest.raises(KeyError, match="no such layer"):
        run()

    failed = client.trial(study.id, 0)
    assert (failed.state, failed.end_reason) == ("failed", "trainer-error")
    assert "in run" in (failed.error or "")
    assert "KeyError: 'no such layer'" in (failed.error or "")
    audit(engine)


@pytest.mark.parametrize("in_block", [True, False])
def test_a_loop_that_is_left_gives_its_trial_back(client: Client, engine: Engine, *, in_block: bool) -> None:
    study = client.submit(external())

    def interrupted() -> None:
        for trial in study.trials():
            if in_block:
                with trial:
                    raise KeyboardInterrupt
            break

    if in_block:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    else:
        interrupted()

    given_back = client.trial(study.id, 0)
    assert given_back.state == "waiting"
    assert [attempt.state for attempt in given_back.attempts] == ["released"]
    for trial in study.trials():
        assert (trial.number, trial.params) == (0, given_back.params)
        break
    audit(engine)


def test_a_loop_that_forgets_the_result_fails_the_trial_and_says_so(client: Client) -> None:
    study = client.submit(external(budget={"trials": 1}))

    for _trial in study.trials():
        pass

    assert "trial.complete" in (client.trial(study.id, 0).error or "")


def test_the_pruner_ends_the_block_and_the_loop_goes_on(client: Client, engine: Engine) -> None:
    study = client.submit(external(pruner={"name": "threshold", "upper": 10.0}, budget={"trials": 3}))

    reached: list[int] = []
    for trial in study.trials():
        with trial:
            trial.report(1, y=100.0 if trial.number == 1 else 1.0)
            reached.append(trial.number)
            trial.complete(y=1.0)

    assert reached == [0, 2]
    assert states(client, study) == ["complete", "pruned", "complete"]
    audit(engine)


def test_outside_of_a_block_the_loop_takes_the_pruners_word_itself(client: Client) -> None:
    study = client.submit(external(pruner={"name": "threshold", "upper": 10.0}, budget={"trials": 2}))

    for trial in study.trials():
        try:
            trial.report(1, y=100.0)
        except TrialPruned:
            continue

    assert states(client, study) == ["pruned", "pruned"]


def test_a_number_that_is_not_finite_fails_the_trial_and_the_loop_goes_on(client: Client) -> None:
    study = client.submit(external(budget={"trials": 2}))

    for trial in study.trials():
        with trial:
            trial.report(3, y=float("nan"))

    failed = client.trial(study.id, 1)
    assert (failed.state, failed.end_reason) == ("failed", "non-finite")
    assert "step 3, y" in (failed.error or "")


def test_cancelling_the_study_ends_the_loop_without_an_error(client: Client, engine: Engine) -> None:
    study = client.submit(external(limits={"lease_s": 1}))

    for trial in study.trials():
        with trial:
            client.cancel(study.id)
            with pytest.raises(TrialStopped):
                trial.report(1, y=1.0)
            trial.complete(y=1.0)

    assert states(client, study) == ["cancelled"]
    audit(engine)


def test_the_lease_is_kept_while_the_body_works_and_lost_when_nobody_keeps_it(client: Client, engine: Engine) -> None:
    study = client.submit(external(limits={"lease_s": 1}, budget={"trials": 1}))
    trial = next(loop := study.trials())
    time.sleep(2.5)  # the lease is 1 s long
    reap.run_once(engine)
    assert states(client, study) == ["running"]
    assert trial.complete(y=1.0) == "complete"
    loop.close()  # type: ignore[attr-defined]


def test_a_loop_whose_lease_was_lost_goes_on_with_another_trial(client: Client, engine: Engine) -> None:
    study = client.submit(external(budget={"trials": 2}))

    stopped = []
    for trial in study.trials():
        with trial:
            if not stopped:
                stopped.append(trial.number)
                use_cases.release(engine, trial.attempt_id)  # as if it had expired
                assert not trial.has_ended
            trial.complete(y=float(trial.number))

    assert states(client, study) == ["complete", "complete"]
    assert len(client.trial(study.id, 0).attempts) == 2
    audit(engine)


def test_loops_share_a_study_and_all_end_with_it(client: Client, engine: Engine) -> None:
    study = client.submit(external(budget={"trials": 20}))
    ran: list[int] = []

    def run() -> None:
        for trial in client.study(study.id).trials():
            with trial:
                trial.report(1, y=1.0)
                ran.append(trial.number)
                trial.complete(y=1.0)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(ran) == list(range(20))
    audit(engine)


def test_a_study_that_workers_train_has_no_trials_for_a_loop(client: Client) -> None:
    study = client.submit({"name": "trained", "dataset": "iris", "budget": {"trials": 1}})

    with pytest.raises(ValueError, match="trainer: external"):
        study.trials()


def test_an_objective_that_is_missing_is_refused_with_its_name(client: Client) -> None:
    study = client.submit(external())

    def run() -> Any:
        for trial in study.trials():
            with trial:
                trial.complete(accuracy=1.0)

    with pytest.raises(Exception, match="judges trials by y"):
        run()
    assert states(client, study) == ["failed"]


def test_a_control_plane_that_is_away_for_a_while_costs_nothing(engine: Engine, tmp_path: Path) -> None:
    def app() -> Gate:
        ring = keys.ring(admin_key=ADMIN, worker_key="worker-key-for-this-test-only")
        return Gate(rest_app(Settings(data=tmp_path), engine), ring=ring, port=1, max_body_bytes=2**20)

    handed_in: list[str] = []

    def go_on(trial: Trial) -> None:
        trial.report(1, y=1.0)
        handed_in.append(trial.complete(y=1.0))

    with serving(app()) as url:
        client = Client(url, ADMIN, retry_for_s=0.2)
        loop = client.submit(external(budget={"trials": 1})).trials()
        trial = next(loop)
    waiting = threading.Thread(target=go_on, args=(trial,))
    waiting.start()
    waiting.join(1.5)  # longer than the client by itself would try
    assert waiting.is_alive()
    with serving(app(), port=int(url.rpartition(":")[2])):
        waiting.join(30)
        assert handed_in == ["complete"]
        assert list(loop) == []
    client.close()
    audit(engine)
