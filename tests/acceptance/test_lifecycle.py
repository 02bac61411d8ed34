"""A study's lifecycle with real workers: slots are freed and taken up again, long epochs are ended, ended studies go on."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine

from tests.acceptance.waiting import ended, until
from tests.auditor import audit, audit_mlflow
from tests.studying import external
from tuner import up
from tuner.client import Client
from tuner.settings import child_environment

# an epoch takes minutes on any machine: each row is a step through 44 million weights
LONG_EPOCH = {"epochs": 2, "batch_size": 1, "width": 8192, "depth": 4, "optimizer": "sgd", "momentum": 0.0}


def digits(**changes: Any) -> dict[str, Any]:
    return {
        "name": f"life {uuid.uuid4().hex[:8]}",
        "dataset": "digits",
        "fixed": {"epochs": 3},
        "sampler": {"name": "tpe", "seed": 3},
        "budget": {"trials": 3},
        "finalize": False,
        "limits": {"max_attempts": 1},
    } | changes


@pytest.fixture
def tuner(service: up.Service) -> Any:
    """The command line, in a process of its own."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        known = {"TUNER_URL": service.settings.base_url, "TUNER_KEY": service.admin_key}
        command = [sys.executable, "-m", "tuner.cli", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=child_environment("TUNER_", **known)
        )

    return run


@pytest.fixture(autouse=True)
def _audited(service: up.Service, client: Client, service_engine: Engine) -> Iterator[None]:
    yield
    for study in client.studies():
        if study.state not in {"completed", "failed", "cancelled"}:
            client.cancel(study.id)
    until(lambda: all(study.tracking == "idle" for study in client.studies()), "MLflow shows everything")
    audit(service_engine)
    audit_mlflow(service_engine, service.settings.base_url, service.admin_key)


def busy(client: Client) -> int:
    return sum(worker.busy for worker in client.workers().items)


def reported(client: Client, study: int) -> set[int]:
    """Numbers of trials that have reported."""
    return {trial.number for trial in client.trials(study) if client.reports(study, trial.number).items}


def below_the_worker(service: up.Service) -> set[int]:
    """Training processes of the service's worker."""
    me = psutil.Process()
    return {each.pid for each in me.children(recursive=True) if "tuner.worker.child" in " ".join(_command_line(each))}


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_pause_frees_the_slots_and_the_trials_go_on_afterwards(client: Client, service: up.Service) -> None:
    study = client.submit(digits(fixed={"epochs": 300}))
    until(lambda: reported(client, study.id) >= {0, 1}, "two trials train")
    params = [client.trial(study.id, number).params for number in (0, 1)]
    children = below_the_worker(service)

    client.pause(study.id)

    until(lambda: busy(client) == 0, "the slots are free")
    still = client.study(study.id)
    assert (still.state, still.progress.waiting, still.progress.created) == ("paused", 2, 2)
    other = ended(client, client.submit(digits(dataset="iris")).id)
    assert other.progress.complete == 3, "the slots work for others meanwhile"
    assert client.study(study.id).progress.created == 2, "and nothing new has started"

    client.resume(study.id)
    done = ended(client, study.id)

    assert (done.state, done.end_reason, done.progress.complete) == ("completed", "trials", 3)
    for number in (0, 1):
        trial = client.trial(study.id, number)
        assert trial.params == params[number]
        assert [each.state for each in trial.attempts] == ["released", "succeeded"]
        assert [report.step for report in client.reports(study.id, number).items] == list(range(1, 301))
    assert below_the_worker(service) == children, "the training processes stayed warm"


def test_a_cancelled_study_ends_an_epoch_that_would_take_minutes(client: Client, service: up.Service) -> None:
    spec = digits(search_space={"learning_rate": {"type": "float", "low": 1e-4, "high": 1e-3}}, fixed=LONG_EPOCH)
    study = client.submit({**spec, "budget": {"trials": 2}})
    until(lambda: client.study(study.id).progress.running == 2, "both slots train")
    children = below_the_worker(service)

    client.cancel(study.id)
    after = client.submit(digits(dataset="iris"))

    until(lambda: not children & below_the_worker(service), "the training processes are replaced")
    assert ended(client, after.id).progress.complete == 3
    assert [trial.state for trial in client.trials(study.id)] == ["cancelled", "cancelled"]
    assert client.reports(study.id, 0).items == [], "not even the first epoch was done"


def parent_run(client: Client, study: int) -> dict[str, Any]:
    found = client._wire.http.get(f"/api/v1/studies/{study}/mlflow").headers["location"]
    experiment = found.partition("/experiments/")[2].partition("/")[0]
    body = {"experiment_ids": [experiment], "filter": "tags.`tuner.kind` = 'study'"}
    runs = client._wire.http.post("/mlflow/api/2.0/mlflow/runs/search", json=body).raise_for_status().json()["runs"]
    assert len(runs) == 1
    tags = {tag["key"]: tag["value"] for tag in runs[0]["data"]["tags"]}
    return {"experiment": experiment, "status": runs[0]["info"]["status"], "tags": tags}


def test_a_completed_study_is_extended_and_goes_on_in_the_same_experiment(client: Client, tuner: Any) -> None:
    study = ended(client, client.submit(digits()).id)
    before = parent_run(client, study.id)
    assert (before["status"], before["tags"]["tuner.state"]) == ("FINISHED", "completed")
    best = study.best
    assert best is not None

    ran = tuner("extend", str(study.id), "--trials", "2")

    assert ran.returncode == 0, ran.stderr
    assert "is running, with a budget of 5 trials" in ran.stdout
    done = ended(client, study.id)
    assert (done.state, done.progress.complete, done.progress.budget) == ("completed", 5, 5)
    assert done.best is not None
    assert done.best.value >= best.value
    after = parent_run(client, study.id)
    assert after["experiment"] == before["experiment"]
    assert (after["status"], after["tags"]["tuner.end_reason"]) == ("FINISHED", "trials")


def test_while_an_extended_study_runs_its_run_in_mlflow_does(client: Client) -> None:
    study = ended(client, client.submit(digits(budget={"trials": 1})).id)
    client.pause(client.extend(study.id, trials=10).id)
    # its end may be on its way to MLflow just then, and comes first
    until(lambda: parent_run(client, study.id)["status"] == "RUNNING", "MLflow knows")

    shown = parent_run(client, study.id)
    assert (shown["tags"]["tuner.state"], shown["tags"]["tuner.end_reason"]) != ("completed", "trials")
    client.resume(study.id)
    assert ended(client, study.id).progress.complete == 11


def test_failed_trials_are_tried_again_beyond_the_budget(client: Client, tuner: Any) -> None:
    slow = {"epochs": 5000, "width": 1024, "depth": 4, "batch_size": 16}
    spec = digits(fixed=slow, budget={"trials": 2}, limits={"trial_minutes": 0.0005, "max_attempts": 1})
    study = ended(client, client.submit(spec).id)
    assert study.progress.failed == 2

    ran = tuner("retry", str(study.id), "1", "--json")

    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    assert (answer["numbers"], answer["study"]["progress"]["budget"]) == ([2], 3)
    done = ended(client, study.id)
    again = client.trial(study.id, 2)
    assert (again.retry_of, again.params) == (1, client.trial(study.id, 1).params)
    assert (done.end_reason, done.progress.failed) == ("trials", 3)
    assert again.run_id is not None
    tags = {tag["key"]: tag["value"] for tag in client.mlflow_run(again.run_id)["data"]["tags"]}
    assert tags["tuner.retry_of"] == "1"


def test_parallelism_is_changed_up_and_down_while_a_study_runs(client: Client) -> None:
    study = client.submit(digits(fixed={"epochs": 50}, budget={"trials": 1000, "max_parallel": 1}))

    def n_running() -> int:
        return client.study(study.id).progress.running

    until(lambda: n_running() == 1, "one runs")
    assert client.change(study.id, max_parallel=2).max_parallel == 2
    until(lambda: n_running() == 2, "two run")
    created = client.change(study.id, max_parallel=1).progress.created
    until(lambda: client.study(study.id).progress.created > created, "another has started, so both of those have ended")

    assert [n_running() for _ in range(20)].count(2) == 0
    client.cancel(study.id)


SCRIPT = """
import os, pathlib, time, tuner
file = pathlib.Path({file!r})
is_second = file.exists()
file.write_text(str(os.getpid()))
tuner.report(1, y=1.0)
time.sleep(0 if is_second else 999)
"""


def test_a_script_is_ended_by_a_pause_and_started_again(
    client: Client, service: up.Service, service_engine: Engine, tmp_path: Path
) -> None:
    study = client.submit(external(budget={"trials": 1}, limits={"max_attempts": 1}))
    file, script = tmp_path / "pid", tmp_path / "script.py"
    script.write_text(SCRIPT.format(file=str(file)))
    known = {"TUNER_URL": service.settings.base_url, "TUNER_KEY": service.admin_key}
    command = [sys.executable, "-m", "tuner.cli", "run", str(study.id), "--slots", "1", "--", sys.executable]
    running = subprocess.Popen([*command, str(script)], env=child_environment("TUNER_", **known))
    try:
        until(lambda: reported(client, study.id) == {0}, "the script has reported")
        first = int(file.read_text())

        client.pause(study.id)

        until(lambda: client.trial(study.id, 0).state == "waiting", "it is given back")
        assert not psutil.pid_exists(first), "the script ends before its trial is given back"
        client.resume(study.id)
        assert running.wait(100) == 0
    finally:
        running.kill()
        running.wait()

    trial = client.trial(study.id, 0)
    assert (trial.state, [each.state for each in trial.attempts]) == ("complete", ["released", "succeeded"])


def test_the_commands_tell_what_became_of_the_study(client: Client, tuner: Any) -> None:
    study = client.submit(external(name=f"told {uuid.uuid4().hex[:8]}"))

    for arguments, told in (
        (("pause", study.name), f"is paused: `tuner resume {study.id}`"),
        (("pause", study.name), "is paused"),
        (("studies", "--state", "paused"), study.name),
        (("resume", study.name), "is queued."),
        (("set", study.name, "--max-parallel", "0"), "runs as many trials at once as there are slots"),
        (("set", study.name, "--max-parallel", "3", "--priority", "4", "--json"), '"max_parallel": 3'),
        (("extend", study.name, "--trials", "2"), "with a budget of 7 trials"),
        (("cancel", study.name), "is cancelled."),
    ):
        ran = tuner(*arguments)
        assert ran.returncode == 0, ran.stderr
        assert told in ran.stdout

    for arguments, code, why in (
        (("extend", study.name, "--trials", "2"), 1, "it stays so; submit another"),
        (("retry", study.name), 1, "it stays so"),
        (("extend", study.name), 2, "--trials"),
        (("set", study.name), 2, "--priority"),
        (("pause", "no such study"), 1, "there is no study named"),
    ):
        ran = tuner(*arguments)
        assert ran.returncode == code, ran.stdout
        assert why in ran.stderr
