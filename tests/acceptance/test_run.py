"""`tuner run`: scripts as trials, in processes of their own, of which nothing is left however a trial or the run ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine

from tests.acceptance.waiting import ended, until
from tests.auditor import audit, audit_mlflow
from tests.proxy import proxied
from tests.studying import external
from tuner import up
from tuner.client import Client
from tuner.settings import child_environment
from tuner.specfile import read

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(service: up.Service) -> dict[str, str]:
    known = {"TUNER_URL": service.settings.base_url, "TUNER_KEY": service.admin_key}
    return child_environment("TUNER_", **known)


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Any:
    def run_script(study: int, script: str, *options: str) -> subprocess.CompletedProcess[str]:
        command = [*command_line(study, options), *written(tmp_path, script)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)

    return run_script


def command_line(study: int, options: tuple[str, ...] = ()) -> list[str]:
    return [sys.executable, "-m", "tuner.cli", "run", str(study), *options, "--"]


def written(folder: Path, script: str) -> list[str]:
    file = folder / "script.py"
    file.write_text(script)
    return [sys.executable, str(file)]


def log_of(client: Client, study: int, number: int) -> str:
    answer = client._wire.http.get(f"/api/v1/studies/{study}/trials/{number}/artifacts/log.txt")
    return answer.raise_for_status().text


def test_the_pytorch_example_is_tuned(
    service: up.Service, client: Client, service_engine: Engine, environment: dict[str, str]
) -> None:
    study = client.submit({**read(ROOT / "examples/train_script.yaml"), "name": f"script {uuid.uuid4().hex[:8]}"})
    command = [*command_line(study.id, ("--slots", "2")), sys.executable, str(ROOT / "examples/train_script.py")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=280)

    assert ran.returncode == 0, ran.stderr
    assert "is completed" in ran.stdout
    found = ended(client, study.id)
    assert (found.progress.finished, found.progress.failed) == (12, 0)
    assert found.best is not None
    assert found.best.value > 0.9
    best = client.trial(study.id, found.best.number)
    curve = client.reports(study.id, best.number).items
    assert [point.step for point in curve] == list(range(1, 16))
    assert best.values == [curve[-1].metrics["val_accuracy"]]
    assert "epoch 15: loss" in log_of(client, study.id, best.number)
    audit(service_engine)
    audit_mlflow(service_engine, service.settings.base_url, service.admin_key)


SHOW = """
import json, os, sys, tuner
told = {name: value for name, value in os.environ.items() if name.startswith(("TUNER_", "MLFLOW_", "OMP_"))}
with open(os.environ["TUNER_PARAMS_FILE"]) as file:
    print(json.dumps({"argv": sys.argv[1:], "told": told, "params": json.load(file)}))
tuner.report(1, y=0.5)
"""


def test_a_script_is_told_its_parameters_three_times(client: Client, run: Any) -> None:
    space = {"x": {"type": "float", "low": 0, "high": 1}, "kind": {"type": "categorical", "choices": ["a b", None]}}
    enqueue = [{"x": 0.25, "kind": "a b"}, {"x": 0.5, "kind": None}]
    spec = external(search_space=space, enqueue=enqueue, budget={"trials": 2}, fixed={"n.epochs": 3, "fast": True})
    study = client.submit(spec)

    ran = run(study.id, SHOW, "--slots", "1")

    assert ran.returncode == 0, ran.stderr
    shown = json.loads(log_of(client, study.id, 0))
    assert shown["argv"] == ["--n.epochs=3", "--fast=true", "--x=0.25", "--kind=a b"]
    assert shown["params"] == {"n.epochs": 3, "fast": True, "x": 0.25, "kind": "a b"}
    told = shown["told"]
    assert (told["TUNER_PARAM_N_EPOCHS"], told["TUNER_PARAM_KIND"], told["TUNER_TRIAL"]) == ("3", "a b", "0")
    assert told["MLFLOW_RUN_ID"] == client.trial(study.id, 0).run_id
    assert "TUNER_KEY" not in told
    assert json.loads(log_of(client, study.id, 1))["argv"][-1] == "--kind=null"


PLAIN_MLFLOW = """
import mlflow
with mlflow.start_run():
    mlflow.log_param("of my own", 1)
    mlflow.log_metric("y", 7.0, step=1)
    mlflow.log_metric("y", 3.5, step=2)
"""


def test_plain_mlflow_calls_go_to_the_trials_own_run_and_give_the_result(
    service: up.Service, client: Client, service_engine: Engine, run: Any
) -> None:
    study = client.submit(external(budget={"trials": 1}))

    ran = run(study.id, PLAIN_MLFLOW, "--slots", "1")

    assert ran.returncode == 0, ran.stderr
    ended(client, study.id)
    trial = client.trial(study.id, 0)
    assert (trial.state, trial.values) == ("complete", [3.5]), trial.error
    assert trial.run_id is not None
    logged = client.mlflow_run(trial.run_id)
    params = {each["key"]: each["value"] for each in logged["data"]["params"]}
    assert params["of my own"] == "1"
    assert params["x"] == str(trial.params["x"])
    assert logged["info"]["status"] == "FINISHED"
    audit_mlflow(service_engine, service.settings.base_url, service.admin_key)


NESTED_MLFLOW = """
import mlflow
with mlflow.start_run():
    for fold in range(2):
        with mlflow.start_run(nested=True, run_name=f"fold {fold}"):
            mlflow.log_metric("y", 100.0 + fold)
    mlflow.log_metric("y", 3.5)
with mlflow.start_run(run_name="afterwards"):
    mlflow.log_metric("y", -1.0)
"""


def test_runs_that_a_script_opens_itself_stand_in_the_studys_experiment(client: Client, run: Any) -> None:
    study = client.submit(external(budget={"trials": 1}))

    ran = run(study.id, NESTED_MLFLOW, "--slots", "1")

    assert ran.returncode == 0, ran.stderr
    ended(client, study.id)
    trial = client.trial(study.id, 0)
    assert (trial.state, trial.values) == ("complete", [3.5]), trial.error
    experiment_id = client.mlflow_run(trial.run_id or "")["info"]["experiment_id"]
    query = {"experiment_ids": [experiment_id], "filter": "attributes.run_name != ''"}
    found = client._wire.http.post("/mlflow/api/2.0/mlflow/runs/search", json=query).raise_for_status().json()["runs"]
    runs = {each["info"]["run_name"]: each for each in found}
    assert {"fold 0", "fold 1", "afterwards"} <= set(runs)
    tags = {each["key"]: each["value"] for each in runs["fold 1"]["data"]["tags"]}
    assert tags["mlflow.parentRunId"] == trial.run_id


ODD = {
    "prints what is no text": ("import os; os.write(1, bytes(range(256)) * 100); raise SystemExit(3)", "exit code 3"),
    "reports NaN": ("import tuner; tuner.report(7, y=float('nan'))", "step 7, y"),
    "reports a step below 0": ("import tuner; tuner.report(-1, y=1.0)", "step"),
    "reports no number": ("import tuner; tuner.report(1, y='many')", "could not convert"),
    "closes everything": ("import os; os.closerange(0, 99); os._exit(0)", "not a word of y"),
    "removes its files": (
        "import os, shutil; shutil.rmtree(os.path.dirname(os.environ['TUNER_REPORTS_FILE'])); raise SystemExit(4)",
        "exit code 4",
    ),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_script_fails_its_trial_and_the_run_goes_on(client: Client, run: Any, odd: str) -> None:
    script, error = ODD[odd]
    study = client.submit(external(budget={"trials": 2, "max_failures": None}))
    whole = f"import os, tuner\nif os.environ['TUNER_TRIAL'] == '0':\n    {script}\nelse:\n    tuner.report(1, y=1.0)"

    ran = run(study.id, whole, "--slots", "1")

    assert ran.returncode == 0, ran.stderr
    assert [trial.state for trial in client.trials(study.id)] == ["failed", "complete"]
    assert error in (client.trial(study.id, 0).error or "")


def test_a_step_that_is_reported_twice_counts_once_in_the_curve_and_last_in_the_result(
    client: Client, run: Any
) -> None:
    study = client.submit(external(budget={"trials": 1}))

    assert run(study.id, "import tuner; tuner.report(1, y=1.0); tuner.report(1, y=2.0)").returncode == 0

    trial = client.trial(study.id, 0)
    assert (trial.state, trial.values) == ("complete", [2.0])
    assert [point.metrics["y"] for point in client.reports(study.id, 0).items] == [1.0]


def test_a_script_may_report_faster_than_reports_could_be_sent(
    service: up.Service, client: Client, environment: dict[str, str], tmp_path: Path
) -> None:
    study = client.submit(external(budget={"trials": 1}, pruner={"name": "none"}))
    script = "import tuner\nfor step in range(1, 5001): tuner.report(step, y=1 / step)"
    command = [*command_line(study.id, ("--slots", "1")), *written(tmp_path, script)]

    with proxied(service.settings.base_url, loses=False) as proxy:
        subprocess.run(command, env=environment | {"TUNER_URL": proxy.url}, check=True, timeout=200)
        assert proxy.passed["reports"] < 500

    trial = client.trial(study.id, 0)
    assert (trial.state, trial.values) == ("complete", [1 / 5000])
    assert [point.step for point in client.reports(study.id, 0).items] == list(range(1, 5001))


@pytest.mark.parametrize(
    ("script", "reason", "error"),
    [
        ("print('so far'); raise SystemExit(3)", "trainer-error", "exit code 3\nso far"),
        ("raise ValueError('bad width')", "trainer-error", "ValueError: bad width"),
        ("print('done')", "trainer-error", "not a word of y"),
        ("import tuner; tuner.report(1, y=float('inf'))", "non-finite", "step 1, y"),
        ("import os; open(os.environ['TUNER_REPORTS_FILE'], 'a').write('y=1\\n')", "trainer-error", "not a report"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "child-died", "ended by signal 9"),
    ],
)
def test_a_script_that_fails_shows_why(client: Client, run: Any, script: str, reason: str, error: str) -> None:
    study = client.submit(external(budget={"trials": 1}, limits={"max_attempts": 1}))

    ran = run(study.id, script, "--slots", "1")

    assert ran.returncode == 0, ran.stderr
    trial = client.trial(study.id, 0)
    assert (trial.state, trial.end_reason) == ("failed", reason)
    assert error in (trial.error or "")
    if "print" in script:
        assert log_of(client, study.id, 0) in {"so far\n", "done\n"}


FAMILY = """
import pathlib, subprocess, sys, time, tuner
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(999)"])
pathlib.Path({file!r}).write_text(str(child.pid))
tuner.report(1, y=100.0)
time.sleep(999)
"""


@contextmanager
def family(tmp_path: Path, study: int, environment: dict[str, str]) -> Iterator[tuple[Any, psutil.Process, list[Any]]]:
    """A run whose script has a child that is deaf to SIGTERM; gives the run, that child, and all processes below."""
    file = tmp_path / "child.pid"
    command = [*command_line(study, ("--slots", "1")), *written(tmp_path, FAMILY.format(file=str(file)))]
    running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        until(lambda: file.exists() and bool(file.read_text()), "the script's child is there")
        child = psutil.Process(int(file.read_text()))
        yield running, child, psutil.Process(running.pid).children(recursive=True)
    finally:
        running.kill()
        running.wait()


def gone(processes: list[Any]) -> bool:
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


def test_a_pruned_trial_ends_with_its_whole_family(
    client: Client, environment: dict[str, str], tmp_path: Path, service_engine: Engine
) -> None:
    study = client.submit(external(pruner={"name": "threshold", "upper": 10.0}, budget={"trials": 1}))

    with family(tmp_path, study.id, environment) as (running, child, below):
        assert running.wait(60) == 0
        assert gone([child, *below])

    trial = client.trial(study.id, 0)
    assert (trial.state, trial.metrics) == ("pruned", {"y": 100.0})
    audit(service_engine)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_end_gives_its_trial_back(
    client: Client, environment: dict[str, str], tmp_path: Path, service_engine: Engine, how: signal.Signals
) -> None:
    study = client.submit(external())

    with family(tmp_path, study.id, environment) as (running, child, below):
        running.send_signal(how)
        assert running.wait(60) == 130
        assert gone([child, *below])

    trial = client.trial(study.id, 0)
    assert (trial.state, [each.state for each in trial.attempts]) == ("waiting", ["released"])
    client.cancel(study.id)
    audit(service_engine)


BUSY = """
import itertools, pathlib, os, time, tuner
pathlib.Path({file!r}).write_text(str(os.getpid()))
for step in itertools.count(1):
    tuner.report(step, y=1.0)
    time.sleep(0.05)
"""


@contextmanager
def away(how: str, service: up.Service) -> Iterator[tuple[str, Any]]:
    """An address of the control plane, and what makes it go away: its process stands still, or its port refuses."""
    with proxied(service.settings.base_url, loses=False) as proxy:
        if how == "refuses":
            yield proxy.url, proxy.close
            return
        server = service.processes["server"].pid
        try:
            yield service.settings.base_url, lambda: os.kill(server, signal.SIGSTOP)
        finally:
            os.kill(server, signal.SIGCONT)


@pytest.mark.parametrize("how", ["refuses", "stands still"])
def test_a_run_ends_while_the_control_plane_is_away(
    service: up.Service, client: Client, environment: dict[str, str], tmp_path: Path, how: str
) -> None:
    study = client.submit(external(budget={"trials": 2}))
    file = tmp_path / "script.pid"
    command = [*command_line(study.id, ("--slots", "2")), *written(tmp_path, BUSY.format(file=str(file)))]

    with away(how, service) as (url, go_away):
        running = subprocess.Popen(command, env=environment | {"TUNER_URL": url}, stdout=subprocess.PIPE, text=True)
        try:
            until(lambda: len(list(client.trials(study.id))) == 2, "both trials are claimed")
            until(lambda: all(client.reports(study.id, number).items for number in range(2)), "both scripts report")
            below = psutil.Process(running.pid).children(recursive=True)
            go_away()
            time.sleep(1.0)  # the scripts report on: now both slots wait for an answer
            running.send_signal(signal.SIGINT)
            printed = running.communicate(timeout=60)[0]
        finally:
            running.kill()
            running.communicate()
        assert running.returncode == 130
        assert gone(below)
        assert len([line for line in printed.splitlines() if "expire by themselves" in line]) == 1

    client.cancel(study.id)


def test_a_cancelled_study_ends_the_script_and_the_run(
    client: Client, environment: dict[str, str], tmp_path: Path
) -> None:
    study = client.submit(external(limits={"lease_s": 2}))

    with family(tmp_path, study.id, environment) as (running, child, below):
        client.cancel(study.id)
        assert running.wait(60) == 0
        assert gone([child, *below])


def test_a_run_that_is_killed_leaves_no_process_and_its_trial_is_run_again(
    client: Client, environment: dict[str, str], tmp_path: Path, run: Any
) -> None:
    study = client.submit(external(limits={"lease_s": 1}, budget={"trials": 1}))

    with family(tmp_path, study.id, environment) as (running, child, below):
        running.kill()
        until(lambda: gone([child, *below]), "everything below has ended")
    assert run(study.id, "import tuner; tuner.report(2, y=1.0)", "--slots", "1").returncode == 0

    trial = client.trial(study.id, 0)
    assert (trial.state, [each.state for each in trial.attempts]) == ("complete", ["lost", "succeeded"])


def test_what_cannot_run_is_refused_in_one_line(client: Client, run: Any, environment: dict[str, str]) -> None:
    trained = client.submit({"name": f"t {uuid.uuid4().hex[:8]}", "dataset": "iris", "budget": {"trials": 1}})
    refused = run(trained.id, "")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "trainer: external" in refused.stderr

    study = client.submit(external())
    command = [*command_line(study.id), "no-such-command"]
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr) == (1, "tuner: there is no command 'no-such-command' here\n")
    client.cancel(study.id)
