"""Seeing what happens, whole: logs, system metrics, predictions, profiles, TensorBoard; commands run as processes."""

from __future__ import annotations

import subprocess
import sys
import uuid
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.acceptance.waiting import ended, until
from tests.auditor import audit_mlflow
from tuner import up
from tuner.client import Client
from tuner.settings import child_environment


@pytest.fixture
def environment(service: up.Service) -> dict[str, str]:
    settings = service.settings
    return child_environment(TUNER_DATA=str(settings.data), TUNER_PORT=str(settings.port))


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tuner.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def spec(**changes: Any) -> dict[str, Any]:
    return {
        "name": f"seeing {uuid.uuid4().hex[:8]}",
        "dataset": "iris",
        "fixed": {"epochs": 3},
        "sampler": {"name": "random", "seed": 1},
        "budget": {"trials": 2},
    } | changes


def test_a_log_is_followed_while_its_trial_runs_and_read_when_it_has_ended(
    client: Client, environment: dict[str, str]
) -> None:
    study = client.submit(spec(fixed={"epochs": 10_000}, budget={"trials": 1}))
    until(
        lambda: bool(client.logs(study.id, 0).text) if client.study(study.id).progress.created else False, "it speaks"
    )
    following = subprocess.Popen(
        [sys.executable, "-m", "tuner.cli", "logs", f"{study.name}/0", "-f"],
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert following.stdout is not None
    lines = [following.stdout.readline().decode() for _ in range(4)]
    assert f"trial 0 of {study.name}: tabular-mlp@" in lines[0]
    assert "epochs=10000" in lines[1]
    assert "epoch 1: train/loss=" in lines[2]
    assert ": train/loss=" in lines[3], "a line comes while it trains"

    client.cancel(study.id)
    following.communicate(timeout=60)
    assert following.returncode == 0
    assert run(environment, "logs", f"{study.id}/0").stdout.startswith("".join(lines))


def test_the_log_of_a_complete_trial_is_whole(client: Client, environment: dict[str, str]) -> None:
    study = ended(client, client.submit(spec()).id)

    log = run(environment, "logs", f"{study.id}/1").stdout.splitlines()

    assert f"trial 1 of {study.name}" in log[0]
    assert "complete at epoch" in log[-1]
    followed = run(environment, "logs", f"{study.id}/1", "--follow").stdout.splitlines()
    assert followed == log


def test_logs_of_what_is_not_there_say_so(client: Client, environment: dict[str, str]) -> None:
    study = client.submit(spec())

    for name, status, cure in (
        (str(study.id), 2, "STUDY/TRIAL"),
        (f"{study.id}/99", 1, "has no trial 99"),
        ("nowhere/0", 1, "tuner studies"),
    ):
        refused = run(environment, "logs", name)
        assert (refused.returncode, cure in refused.stderr) == (status, True), refused.stderr


def test_what_a_trial_used_of_the_machine_is_a_curve_in_mlflow(
    service: up.Service, client: Client, service_engine: Engine
) -> None:
    study = ended(client, client.submit(spec(fixed={"epochs": 400}, budget={"trials": 1})).id)

    reported = [report.metrics for report in client.reports(study.id, 0).items]
    used = [metrics for metrics in reported if "system/memory_mb" in metrics]
    assert "system/cpu_percent" in reported[0]
    assert 1 <= len(used) < len(reported), "not with every epoch"
    assert all(metrics["system/peak_memory_mb"] >= metrics["system/memory_mb"] > 50 for metrics in used)
    audit_mlflow(service_engine, service.settings.base_url, service.admin_key)
    metrics = mlflow_run(client, study.id, 0)["data"]["metrics"]
    assert {"system/cpu_percent", "system/memory_mb", "system/peak_memory_mb"} <= {each["key"] for each in metrics}


def mlflow_run(client: Client, study_id: int, number: int) -> dict[str, Any]:
    location = client._http.get(client.trial(study_id, number).links["mlflow"]).headers["location"]
    run_id = location.rpartition("/runs/")[2]
    answer = client._http.get("/mlflow/api/2.0/mlflow/runs/get", params={"run_id": run_id})
    run: dict[str, Any] = answer.raise_for_status().json()["run"]
    return run
