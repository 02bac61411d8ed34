"""Code of the user's own against the running service: the examples, as a person runs them."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import optuna
import pytest
from sqlalchemy import Engine

import tuner
from tests.acceptance.waiting import ended
from tests.auditor import audit, audit_mlflow
from tests.studying import external
from tuner import up
from tuner.client import Client
from tuner.sampling.remote import StudyEndedError
from tuner.settings import child_environment

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(service: up.Service) -> dict[str, str]:
    known = {"TUNER_URL": service.settings.base_url, "TUNER_KEY": service.admin_key, "OMP_NUM_THREADS": "1"}
    return child_environment("TUNER_", **known)


def test_two_loops_of_the_sklearn_example_share_a_study(
    service: up.Service, client: Client, service_engine: Engine, environment: dict[str, str]
) -> None:
    name = f"boosting {uuid.uuid4().hex[:8]}"
    command = [sys.executable, str(ROOT / "examples/external_sklearn.py"), name]
    loops = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [loop.communicate(timeout=200)[0] for loop in loops]

    assert [loop.returncode for loop in loops] == [0, 0]
    study = ended(client, client.study(name).id)
    assert (study.end_reason, study.progress.finished, study.progress.failed) == ("trials", 12, 0)
    assert study.best is not None
    assert study.best.value > 0.95
    assert f"best: trial {study.best.number}, roc_auc {study.best.value:.4f}\n" in printed
    assert len({attempt.worker_id for n in range(12) for attempt in client.trial(study.id, n).attempts}) == 2
    audit(service_engine)
    audit_mlflow(service_engine, service.settings.base_url, service.admin_key)


def test_an_optuna_script_leaves_runs_and_curves_as_every_trial_does(
    service: up.Service, client: Client, service_engine: Engine
) -> None:
    study = client.submit(external(budget={"trials": 4}))
    storage = tuner.storage(service.settings.base_url, service.admin_key)
    script = optuna.load_study(study_name=study.name, storage=storage, pruner=optuna.pruners.ThresholdPruner(upper=10))

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -1.0, 1.0) + trial.suggest_int("n", 1, 9)
        for step in range(1, 4):
            trial.report(100.0 if trial.number == 2 else x / step, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return x

    with pytest.raises(StudyEndedError):
        script.optimize(objective)

    shown = ended(client, study.id)
    assert (shown.progress.complete, shown.progress.pruned) == (3, 1)
    assert shown.best is not None
    run_id = client.trial(study.id, shown.best.number).run_id
    assert run_id is not None
    logged = {point["key"]: point["value"] for point in client.mlflow_run(run_id)["data"]["metrics"]}
    assert logged["objective"] == shown.best.value
    audit(service_engine)
    audit_mlflow(service_engine, service.settings.base_url, service.admin_key)
