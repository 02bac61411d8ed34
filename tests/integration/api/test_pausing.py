"""Loops and Optuna scripts in a study that is paused over real HTTP: their trials wait, and are run again afterwards."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
from sqlalchemy import Engine

import tuner
from tests.acceptance.waiting import until
from tests.auditor import audit
from tests.integration.conftest import ADMIN
from tests.studying import external
from tuner.client import Client
from tuner.loop import Trial, TrialStopped
from tuner.sampling.remote import RemoteStorage, StudyEndedError
from tuner.wire import TrialDetail

optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture
def storage(client: Client) -> RemoteStorage:
    return tuner.storage(client.url, ADMIN)


def attempts_of(trial: TrialDetail) -> list[str]:
    return [each.state for each in trial.attempts]


def test_a_loop_gives_its_trial_back_waits_and_runs_it_again(client: Client, engine: Engine) -> None:
    study = client.submit(external(budget={"trials": 2}, limits={"max_attempts": 1}))
    began: list[Trial] = []
    resuming: list[threading.Thread] = []

    def resume_once_given_back() -> None:
        until(lambda: client.trial(study.id, 0).state == "waiting", "the trial waits")
        client.resume(study.id)

    for trial in study.trials():
        began.append(trial)
        with trial:
            trial.report(1, y=1.0)
            if len(began) == 1:
                client.pause(study.id)
                resuming.append(threading.Thread(target=resume_once_given_back))
                resuming[0].start()
                trial.report(2, y=1.0)
            trial.complete(y=1.0)
    resuming[0].join()

    assert [trial.number for trial in began] == [0, 0, 1]
    assert began[0].params == began[1].params
    assert attempts_of(client.trial(study.id, 0)) == ["released", "succeeded"]
    assert client.study(study.id).state == "completed"
    audit(engine)


def test_outside_of_a_block_the_trial_is_given_back_when_the_loop_goes_on(client: Client, engine: Engine) -> None:
    study = client.submit(external(budget={"trials": 1}))
    loop = study.trials()
    trial = next(loop)
    client.pause(study.id)

    with pytest.raises(TrialStopped, match="paused"):
        trial.report(1, y=1.0)
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, loop)
        until(lambda: client.trial(study.id, 0).state == "waiting", "the trial waits")
        client.resume(study.id)
        following.result().complete(y=1.0)

    assert attempts_of(client.trial(study.id, 0)) == ["released", "succeeded"]
    audit(engine)


def test_a_body_that_does_not_report_learns_of_the_pause_by_its_lease(client: Client, engine: Engine) -> None:
    study = client.submit(external(budget={"trials": 1}))
    trial = next(loop := study.trials())
    assert not trial.is_paused

    client.pause(study.id)

    until(lambda: trial.is_paused, "it is told", 30)
    assert trial.complete(y=1.0) == "complete", "what is done counts"
    assert not trial.is_paused
    loop.close()  # type: ignore[attr-defined]  # of a generator
    audit(engine)


def test_an_optuna_scripts_trial_ends_with_its_report_and_is_run_again(
    client: Client, storage: RemoteStorage, engine: Engine
) -> None:
    study = client.submit(external(budget={"trials": 2}, limits={"max_attempts": 1}))
    script = optuna.load_study(study_name=study.name, storage=storage)
    seen: list[tuple[int, float]] = []
    resuming: list[threading.Thread] = []

    def resume_once_given_back() -> None:
        until(lambda: client.trial(study.id, 0).state == "waiting", "the trial waits")
        client.resume(study.id)

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -1.0, 1.0)
        seen.append((trial.number, x))
        trial.suggest_int("n", 1, 9)
        if len(seen) == 1:
            client.pause(study.id)
            resuming.append(threading.Thread(target=resume_once_given_back))
            resuming[0].start()
        trial.report(x, 1 + len(seen))
        return x

    with pytest.raises(StudyEndedError):
        script.optimize(objective)
    resuming[0].join()

    assert [number for number, _ in seen] == [0, 0, 1]
    assert seen[0] == seen[1], "with the same parameters"
    assert attempts_of(client.trial(study.id, 0)) == ["released", "succeeded"]
    assert [trial.state for trial in client.trials(study.id)] == ["complete", "complete"]
    audit(engine)


def test_an_optuna_script_waits_where_all_trials_of_a_paused_study_are_made(
    client: Client, storage: RemoteStorage, engine: Engine
) -> None:
    study = client.submit(external(budget={"trials": 1}))
    script = optuna.load_study(study_name=study.name, storage=storage)
    trial = script.ask()
    client.pause(study.id)

    assert storage._call("create_new_trial", study_id=study.id) == {"wait": True}
    with pytest.raises(optuna.TrialPruned):
        trial.report(1.0, 1)
    script.tell(trial, state=optuna.trial.TrialState.PRUNED)
    assert client.trial(study.id, 0).state == "waiting"
    client.resume(study.id)

    script.tell(script.ask(), 1.0)
    assert client.study(study.id).state == "completed"
    audit(engine)
