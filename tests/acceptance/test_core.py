"""The core, whole: a study goes in over REST, workers train it through murders, MLflow and the dashboard show it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import Engine, text

from tests.acceptance.waiting import ended, until
from tests.auditor import audit, audit_acknowledged, audit_files, audit_mlflow
from tuner import keys, up
from tuner.client import Client
from tuner.settings import child_environment


def digits(**changes: object) -> dict[str, object]:
    return {
        "name": f"digits {uuid.uuid4().hex[:8]}",
        "dataset": "digits",
        "fixed": {"epochs": 5},
        "sampler": {"name": "tpe", "seed": 3},
        "budget": {"trials": 6},
        "finalize": False,
        "limits": {"lease_s": 2},
    } | changes


@pytest.mark.parametrize("dataset", ["digits", "breast_cancer", "wine", "iris", "diabetes"])
def test_every_built_in_data_set_is_tuned(client: Client, dataset: str) -> None:
    spec = digits(name=f"{dataset} {uuid.uuid4().hex[:8]}", dataset=dataset, budget={"trials": 3})

    study = ended(client, client.submit(spec).id)

    assert (study.state, study.end_reason, study.progress.complete) == ("completed", "trials", 3)
    best = client.best(study.id)[0]
    assert best.metrics is not None
    assert best.metrics["parameters"] > 0
    assert best.metrics["model_bytes"] > 0
    files = [file["path"] for file in _get(client, f"{best.links['artifacts']}")["items"]]
    assert {"curves.json", "log.txt", "model/MLmodel"} <= set(files)


def _get(client: Client, path: str) -> dict[str, list[dict[str, str]]]:
    answer = client._wire.http.get(path)
    answer.raise_for_status()
    return answer.json()  # type: ignore[no-any-return]


def test_cross_validation_trains_every_fold(client: Client) -> None:
    spec = digits(
        dataset="iris", evaluation={"folds": 3, "repeats": 2}, budget={"trials": 2}, pruner={"name": "median"}
    )

    study = ended(client, client.submit(spec).id)

    reports = client.reports(study.id, 0).items
    assert {report.fold for report in reports} == {0, 1, 2, 3, 4, 5}
    assert sum(report.step == 0 for report in reports) == 6


def test_a_trial_that_diverges_fails_as_non_finite_and_the_study_goes_on(client: Client) -> None:
    space = {"learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2}}
    spec = digits(dataset="diabetes", search_space=space, fixed={"epochs": 3, "optimizer": "sgd", "loss": "mse"})
    study = ended(client, client.submit(spec).id)
    assert study.progress.complete == 6

    wild = {**spec, "name": f"wild {uuid.uuid4().hex[:8]}", "budget": {"trials": 2}}
    wild["search_space"] = {"learning_rate": {"type": "float", "low": 9.0, "high": 10.0}}
    wild["fixed"] = {"epochs": 30, "optimizer": "sgd", "loss": "mse", "momentum": 0.99, "width": 512, "depth": 3}
    study = ended(client, client.submit(wild).id)

    failed = [trial for trial in client.trials(study.id) if trial.state == "failed"]
    assert failed
    assert failed[0].end_reason == "non-finite"
    assert failed[0].error is not None
    assert failed[0].error.startswith("step ")
    assert study.progress.finished == 2


@pytest.mark.parametrize(("limit", "reason"), [("trial_minutes", "timeout"), ("no_progress_minutes", "no-progress")])
def test_a_trial_over_its_limit_of_time_fails(client: Client, limit: str, reason: str) -> None:
    slow = {
        "epochs": 5000,
        "width": 1024,
        "depth": 4,
        "batch_size": 16,
    }  # an epoch takes longer than the limit anywhere
    spec = digits(fixed=slow, budget={"trials": 1}, limits={limit: 0.0005, "lease_s": 5})

    study = ended(client, client.submit(spec).id)

    failed = client.trial(study.id, 0)
    assert (failed.state, failed.end_reason) == ("failed", reason)
    assert failed.error is not None
    assert limit in failed.error
    assert failed.end is not None
    assert failed.end.limit_minutes == 0.0005


def test_a_pruned_trial_keeps_its_log_and_the_numbers_of_its_curves(client: Client) -> None:
    """No model: its training did not end."""
    spec = digits(fixed={"epochs": 300}, budget={"trials": 1}, pruner={"name": "threshold", "lower": 2.0})

    study = ended(client, client.submit(spec).id)

    pruned = client.trial(study.id, 0)
    assert pruned.state == "pruned"
    assert {file["path"] for file in _get(client, pruned.links["artifacts"])["items"]} == {"curves.json", "log.txt"}
    curves = _get(client, f"{pruned.links['artifacts']}/curves.json")
    assert {"roc", "precision_recall", "confusion_matrix", "calibration"} <= set(curves)


@pytest.fixture
def second_worker(service: up.Service, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    key = keys.key_file(service.settings.data, keys.Role.WORKER).read_text().strip()
    environment = child_environment(TUNER_URL=service.settings.base_url, TUNER_KEY=key, TUNER_DATA=str(tmp_path))
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tuner.cli", "worker", "--slots", "1", "--name", "second"],
            env=environment,
            stderr=log,
            start_new_session=True,
        )
    yield process
    process.kill()
    process.wait()


def test_killed_children_and_workers_cost_no_trial(
    service: up.Service, client: Client, service_engine: Engine, second_worker: subprocess.Popen[bytes]
) -> None:
    study_id = client.submit(digits(fixed={"epochs": 60}, budget={"trials": 10})).id
    until(lambda: any(worker.name == "second" and worker.busy for worker in client.workers().items), "it trains")
    children = psutil.Process(second_worker.pid).children()
    assert len(children) == 1

    first_worker = psutil.Process(service.processes["worker"].pid)
    until(lambda: any(worker.name != "second" and worker.busy for worker in client.workers().items), "it trains")
    os.kill(first_worker.children()[0].pid, signal.SIGKILL)
    second_worker.kill()

    until(lambda: not children[0].is_running() or children[0].status() == "zombie", "the orphan ends by itself", 10)
    study = ended(client, study_id)
    assert (study.state, study.end_reason, study.progress.finished) == ("completed", "trials", 10)
    audit(service_engine)
    audit_acknowledged(service_engine, [study_id])
    audit_files(service_engine, service.settings.artifacts)
    audit_mlflow(service_engine, service.settings.base_url, service.admin_key)
    with service_engine.begin() as connection:
        ends = set(connection.execute(text("select distinct end_reason from tuner.attempts")).scalars())
    assert {"child-died", "lost"} <= ends


def test_one_login_opens_mlflow_and_dashboard(service: up.Service, client: Client) -> None:
    study = ended(client, client.submit(digits(budget={"trials": 2})).id)
    with httpx.Client(base_url=service.settings.base_url, trust_env=False, follow_redirects=True) as browser:
        assert browser.get(study.links["mlflow"]).status_code == 401
        landed = browser.get("/login", params={"key": service.admin_key, "next": study.links["mlflow"]})
        assert landed.status_code == 200
        assert landed.url.path == "/mlflow/"
        assert "viewStateShareKey=tuner" in str(landed.url)  # the view that is sorted by the objective
        assert "<html" in landed.text
        assert browser.get(study.links["dashboard"]).status_code == 200
        shown = browser.get(f"/api/studies/{study.id}").json()
        assert len(shown["trials"]) == 2
        run = browser.get(client.trial(study.id, 0).links["mlflow"])
        assert "/runs/" in str(run.url)
