"""Optuna's own suite for storages over real HTTP, and scripts in studies that have a budget."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import optuna
import pytest
from optuna.testing.pytest_storages import StorageTestCase
from optuna.trial import TrialState
from sqlalchemy import Engine

import tuner
from tests.acceptance.waiting import until
from tests.auditor import audit
from tests.integration.conftest import ADMIN
from tests.studying import external
from tests.studying import submit as submitted
from tuner.client import Client
from tuner.maintenance import reap
from tuner.sampling.remote import RemoteStorage, StudyEndedError

optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture
def url(http: httpx.Client) -> str:
    return f"{http.base_url.scheme}://{http.base_url.netloc.decode()}"


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, ADMIN) as opened:
        yield opened


@pytest.fixture
def storage(url: str) -> RemoteStorage:
    return tuner.storage(url, ADMIN)


class TestRemoteStorage(StorageTestCase):
    @pytest.fixture
    def storage(self, url: str) -> RemoteStorage:
        return tuner.storage(url, ADMIN)


def objective(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -1.0, 1.0)
    return x**2 + trial.suggest_int("n", 1, 9)


def opened(storage: RemoteStorage, study: Any, **options: Any) -> optuna.Study:
    return optuna.load_study(study_name=study.name, storage=storage, **options)


def test_a_script_runs_the_budget_of_a_study_and_is_ended(
    client: Client, storage: RemoteStorage, engine: Engine
) -> None:
    study = client.submit(external(budget={"trials": 5}))
    script = opened(storage, study)

    with pytest.raises(StudyEndedError, match="completed"):
        script.optimize(objective)

    shown = client.study(study.id)
    assert (shown.state, shown.end_reason, shown.progress.complete) == ("completed", "trials", 5)
    assert shown.best is not None
    assert (shown.best.number, shown.best.value) == (script.best_trial.number, script.best_value)
    assert [trial.params for trial in client.trials(study.id)] == [trial.params for trial in script.trials]
    audit(engine)


SCRIPT = """
import sys, optuna, tuner
from tuner.sampling.remote import StudyEndedError
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.load_study(study_name=sys.argv[1], storage=tuner.storage(sys.argv[2], sys.argv[3]))
def objective(trial):
    return trial.suggest_float("x", -1.0, 1.0) ** 2 + trial.suggest_int("n", 1, 9)
try:
    study.optimize(objective, n_trials=20)
except StudyEndedError as ended:
    print(ended)
"""


def test_eight_scripts_share_a_budget_of_twenty_and_make_just_as_many(client: Client, url: str, engine: Engine) -> None:
    study = client.submit(external(budget={"trials": 20}))
    command = [sys.executable, "-c", SCRIPT, study.name, url, ADMIN]
    scripts = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    printed = [each.communicate(timeout=120)[0] for each in scripts]

    assert [each.returncode for each in scripts] == [0] * 8
    assert all(text.count("\n") == 1 and study.name in text for text in printed)
    shown = client.study(study.id)
    assert (shown.state, shown.progress.complete) == ("completed", 20)
    holders = {attempt.worker_id for n in range(20) for attempt in client.trial(study.id, n).attempts}
    assert len(holders) > 1
    audit(engine)


def test_failures_pruning_and_reports_are_those_of_the_study(
    client: Client, storage: RemoteStorage, engine: Engine
) -> None:
    study = client.submit(external(budget={"trials": 3, "max_failures": None}))
    script = opened(storage, study, pruner=optuna.pruners.ThresholdPruner(upper=10.0))

    def fickle(trial: optuna.Trial) -> float:
        objective(trial)
        trial.report(100.0 if trial.number == 1 else 1.0, 0)
        trial.report(float("nan"), 1)
        if trial.number == 2:
            raise ZeroDivisionError
        if trial.should_prune():
            raise optuna.TrialPruned
        return 1.0

    with pytest.raises(StudyEndedError):
        script.optimize(fickle, catch=(ZeroDivisionError,))

    assert [trial.state for trial in client.trials(study.id)] == ["pruned", "pruned", "failed"]  # NaN prunes
    assert [(point.step, point.value) for point in client.reports(study.id, 1).items] == [(0, 100.0), (1, None)]
    assert [trial.state for trial in script.trials] == [TrialState.PRUNED, TrialState.PRUNED, TrialState.FAIL]
    audit(engine)


def test_a_lease_is_kept_while_the_script_works_and_a_dead_scripts_trial_is_run_again(
    client: Client, url: str, storage: RemoteStorage, engine: Engine
) -> None:
    study = client.submit(external(budget={"trials": 1}, limits={"lease_s": 1}))
    dying = multiprocessing.get_context("spawn").Process(target=start_and_die, args=(study.name, url))
    dying.start()
    dying.join()
    time.sleep(1.1)  # its lease is 1 s long
    reap.run_once(engine)
    assert client.trial(study.id, 0).state == "waiting"

    script = opened(storage, study)
    trial = script.ask()
    assert trial.number == 0
    assert trial.suggest_float("x", -1.0, 1.0) == 0.25  # as the dead script had it
    time.sleep(2.5)
    reap.run_once(engine)
    trial.suggest_int("n", 1, 9)
    script.tell(trial, 2.0)

    assert [each.state for each in client.trial(study.id, 0).attempts] == ["lost", "succeeded"]
    assert client.study(study.id).state == "completed"
    audit(engine)


def start_and_die(name: str, url: str) -> None:
    script = optuna.load_study(study_name=name, storage=tuner.storage(url, ADMIN))
    trial = script.ask()
    script._storage.set_trial_param(trial._trial_id, "x", 0.25, optuna.distributions.FloatDistribution(-1.0, 1.0))


def test_half_a_trial_of_a_dead_script_is_completed_by_whoever_claims_it(
    client: Client, url: str, engine: Engine
) -> None:
    study = client.submit(external(budget={"trials": 1}, limits={"lease_s": 1}))
    dying = multiprocessing.get_context("spawn").Process(target=start_and_die, args=(study.name, url))
    dying.start()
    dying.join()
    time.sleep(1.1)
    reap.run_once(engine)

    for trial in study.trials():
        assert set(trial.params) == {"x", "n"}
        assert trial.params["x"] == 0.25
        trial.complete(y=1.0)
    audit(engine)


def test_the_end_of_a_trial_that_was_cancelled_is_not_taken_and_the_script_ends(
    client: Client, storage: RemoteStorage, engine: Engine
) -> None:
    study = client.submit(external(budget={"trials": 5}))

    def cancelled(trial: optuna.Trial) -> float:
        value = objective(trial)
        client.cancel(study.id)
        return value

    with pytest.raises(StudyEndedError, match="cancelled"):
        opened(storage, study).optimize(cancelled)
    assert [trial.state for trial in client.trials(study.id)] == ["cancelled"]
    audit(engine)


def test_a_trial_whose_end_was_refused_goes_to_others_and_the_script_is_told(
    client: Client, storage: RemoteStorage, engine: Engine
) -> None:
    constraints = [{"metric": "size_mb", "max": 5.0}]
    study = client.submit(external(constraints=constraints, limits={"lease_s": 1}, budget={"trials": 1}))
    script = opened(storage, study)
    trial = script.ask()
    objective(trial)

    with pytest.raises(ValueError, match="judges trials by size_mb"):
        script.tell(trial, 1.0)

    def is_given_back() -> bool:
        reap.run_once(engine)
        return client.trial(study.id, 0).state == "waiting"

    until(is_given_back, "nobody renews its lease", deadline_s=30.0)
    again = script.ask()
    assert again.number == 0
    objective(again)
    again.set_user_attr("size_mb", 1.0)
    script.tell(again, 2.0)
    assert [each.state for each in client.trial(study.id, 0).attempts] == ["lost", "succeeded"]
    audit(engine)


def test_a_trial_belongs_to_the_script_that_started_it(client: Client, url: str, storage: RemoteStorage) -> None:
    study = client.submit(external())
    trial = opened(storage, study).ask()
    other = opened(tuner.storage(url, ADMIN), study)

    for write in (
        lambda: other._storage.set_trial_user_attr(trial._trial_id, "a", 1),
        lambda: other._storage.set_trial_intermediate_value(trial._trial_id, 1, 1.0),
        lambda: other.tell(trial.number, 1.0),
    ):
        with pytest.raises(optuna.exceptions.UpdateFinishedTrialError, match="not this script's"):
            write()
    assert client.trial(study.id, 0).state == "running"


def test_parameters_keep_to_the_search_space(client: Client, storage: RemoteStorage) -> None:
    trial = opened(storage, client.submit(external())).ask()

    with pytest.raises(ValueError, match="z is not in the study's search space, which has x, n"):
        trial.suggest_float("z", 0.0, 1.0)
    with pytest.raises(ValueError, match="not a value that x can have"):
        trial.suggest_float("x", 2.0, 3.0)
    with pytest.raises(ValueError, match="distribution"):
        trial.suggest_int("x", 0, 1)


def test_enqueued_points_go_first_also_those_that_a_script_enqueues(
    client: Client, storage: RemoteStorage, engine: Engine
) -> None:
    study = client.submit(external(enqueue=[{"x": 0.5, "n": 3}], budget={"trials": 2}))
    script = opened(storage, study)
    script.enqueue_trial({"x": -0.5})

    with pytest.raises(StudyEndedError):
        script.optimize(objective)

    assert [trial.params["x"] for trial in client.trials(study.id)] == [0.5, -0.5]
    audit(engine)


def test_at_most_as_many_run_at_once_as_the_study_allows(client: Client, storage: RemoteStorage) -> None:
    study = client.submit(external(budget={"trials": 2, "max_parallel": 1}))
    script = opened(storage, study)
    first = script.ask()
    answer = storage._call("create_new_trial", study_id=study.id)
    assert answer == {"wait": True}
    script.tell(first, 1.0)
    assert script.ask().number == 1


def test_what_a_script_stores_for_its_sampler_no_sampler_here_reads(
    client: Client, storage: RemoteStorage, engine: Engine
) -> None:
    """CMA-ES keeps pickles: one that a script stores must come back to the script, and be unpickled by nobody else."""
    evil = {"cma:n": 1, "cma:optimizer:0": b"cposix\nsystem\n(S'touch /tmp/pwned'\ntR.".hex()}
    study = client.submit(external(sampler={"name": "cmaes", "n_startup_trials": 1}, budget={"trials": 6}))
    script = opened(storage, study)
    trial = script.ask()
    for key, value in evil.items():
        storage.set_trial_system_attr(trial._trial_id, key, value)
    storage.set_study_system_attr(study.id, "mine", [1])
    script.tell(trial, objective(trial))

    seen = storage.get_trial(trial._trial_id).system_attrs
    assert {key: seen[key] for key in evil} == evil
    assert storage.get_study_system_attrs(study.id)["mine"] == [1]
    with engine.begin() as connection:
        stored = connection.exec_driver_sql(f"select system_attrs from tuner.trials where study_id = {study.id}")
        assert set(json.loads(stored.scalar_one())) == {"tuner:script"}
    for each in study.trials():  # asks the service's own CMA-ES
        each.complete(y=1.0)
    assert [trial.state for trial in client.trials(study.id)] == ["complete"] * 6


def test_a_script_with_cma_es_of_its_own_goes_on_from_what_it_stored(client: Client, storage: RemoteStorage) -> None:
    study = client.submit(external(budget={"trials": 8}))
    script = opened(storage, study, sampler=optuna.samplers.CmaEsSampler(n_startup_trials=1, seed=1))

    with pytest.raises(StudyEndedError):
        script.optimize(objective)

    assert client.study(study.id).progress.complete == 8
    assert any(key.startswith("cma:") for trial in script.trials for key in trial.system_attrs)


def test_only_the_admin_key_opens_it(http: httpx.Client) -> None:
    body = {"holder": "h", "request_id": "r", "arguments": {}}
    for key, status in (("worker-key-for-this-test-only", 403), ("nonsense", 401)):
        answer = http.post("/optuna/get_all_studies", json=body, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("method", "arguments", "status"),
    [
        ("engine", {}, 404),
        ("__init__", {}, 404),
        ("get_study", {"study_id": "1"}, 422),
        ("get_study", {"study_id": 2**70}, 422),
        ("get_study", {}, 422),
        ("get_study", {"study_id": 1, "more": 1}, 422),
        ("get_study", {"study_id": 10**6}, 404),
        ("renew", {"trial_ids": ["x"]}, 422),
        ("create_new_study", {"directions": ["up"]}, 422),
        ("create_new_study", {"directions": ["minimize"], "study_name": "a\0b"}, 422),
    ],
)
def test_what_is_no_call_is_refused(http: httpx.Client, method: str, arguments: Any, status: int) -> None:
    answer = http.post(f"/optuna/{method}", json={"holder": "h", "request_id": "r", "arguments": arguments})

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


INT = {"low": 1, "high": 9, "log": False, "step": 1}


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "x", "internal": 1.0, "distribution": {}},
        {"name": "x", "internal": 1.0, "distribution": {"name": "os.system", "attributes": {}}},
        {"name": "n", "internal": float("inf"), "distribution": {"name": "IntDistribution", "attributes": INT}},
        {"name": "x", "internal": "1", "distribution": {"name": "FloatDistribution", "attributes": {"low": 0}}},
        {
            "name": "x",
            "internal": 7.0,
            "distribution": {"name": "CategoricalDistribution", "attributes": {"choices": [1]}},
        },
    ],
)
@pytest.mark.parametrize("has_spec", [True, False])
def test_a_parameter_that_makes_no_sense_is_refused(
    http: httpx.Client, engine: Engine, storage: RemoteStorage, arguments: Any, *, has_spec: bool
) -> None:
    study_id = submitted(engine) if has_spec else storage.create_new_study([optuna.study.StudyDirection.MINIMIZE])
    trial_id = storage.create_new_trial(study_id)
    body = {"holder": storage._here._holder, "request_id": "r", "arguments": {"trial_id": trial_id, **arguments}}

    headers = {"Content-Type": "application/json"}
    assert http.post("/optuna/set_trial_param", content=json.dumps(body), headers=headers).status_code == 422


def test_a_request_that_is_sent_again_starts_one_trial(http: httpx.Client, client: Client, engine: Engine) -> None:
    study = client.submit(external())
    body = {"holder": "h", "request_id": "r", "arguments": {"study_id": study.id}}

    answers = [http.post("/optuna/create_new_trial", json=body).json() for _ in range(3)]

    assert answers[0] == answers[1] == answers[2]
    assert client.study(study.id).progress.created == 1
    audit(engine)


def test_a_study_that_workers_train_takes_no_trials_of_a_script(client: Client, storage: RemoteStorage) -> None:
    study = client.submit({"name": "trained", "dataset": "iris", "budget": {"trials": 1}})

    with pytest.raises(RuntimeError, match="trainer: external"):
        opened(storage, study).ask()
    with pytest.raises(RuntimeError, match="run by the tuning service"):
        storage.delete_study(study.id)
