"""Seeing what happens, whole: logs, system metrics, predictions, profiles, TensorBoard; commands run as processes."""

from __future__ import annotations

import csv
import gzip
import json
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

from tests.acceptance.waiting import ended, until
from tests.auditor import audit_mlflow
from tests.studying import external
from trainers.data import load
from tuner import up
from tuner.client import Client
from tuner.settings import child_environment
from tuner.wire import ArtifactList, ArtifactOut


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
        "finalize": False,
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
    location = client._wire.http.get(client.trial(study_id, number).links["mlflow"]).headers["location"]
    run_id = location.rpartition("/runs/")[2]
    answer = client._wire.http.get("/mlflow/api/2.0/mlflow/runs/get", params={"run_id": run_id})
    run: dict[str, Any] = answer.raise_for_status().json()["run"]
    return run


def test_watching_ends_with_lines_that_load_the_best_model_and_predict(
    client: Client, environment: dict[str, str], tmp_path: Path
) -> None:
    study = client.submit(spec())
    watched = run(environment, "watch", str(study.id))

    assert watched.returncode == 0, watched.stderr
    assert "2/2 done" in watched.stdout
    assert "trials/min" in watched.stdout
    best = client.best(study.id)[0]
    assert f"best: trial {best.number}, roc_auc " in watched.stdout
    lines = [line.strip() for line in watched.stdout.splitlines()[-3:]]
    assert environment["TUNER_DATA"] in lines[0]
    plain = {name: value for name, value in environment.items() if not name.startswith("TUNER_")}
    pasted = subprocess.run(
        [sys.executable, "-I", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=False,
        env=plain,
        cwd=tmp_path,
    )
    assert pasted.returncode == 0, pasted.stderr
    assert pasted.stdout.split()[:3] == ["setosa", "versicolor", "virginica"]


@pytest.mark.parametrize(("dataset", "classes"), [("iris", 3), ("digits", 10), ("diabetes", 0)])
def test_a_file_is_predicted_by_the_best_model(
    client: Client, environment: dict[str, str], tmp_path: Path, dataset: str, classes: int
) -> None:
    study = ended(client, client.submit(spec(dataset=dataset, fixed={"epochs": 30}, budget={"trials": 1})).id)
    data = load.load(dataset)
    flat = data.x.reshape(len(data.x), -1)
    names = data.feature_names or [f"pixel {i}" for i in range(flat.shape[1])]
    file, output = tmp_path / "new.csv", tmp_path / "out.csv"
    pd.DataFrame(flat, columns=list(names)).assign(**({"id": range(len(flat))} if classes != 10 else {})).to_csv(
        file, index=False
    )

    done = run(environment, "predict", study.name, str(file), "--output", str(output))

    assert done.returncode == 0, done.stderr
    assert f"{len(flat)} rows" in done.stdout
    written, predicted = pd.read_csv(file), pd.read_csv(output)
    pd.testing.assert_frame_equal(predicted[written.columns], written)
    if not classes:
        assert np.corrcoef(predicted["prediction"], data.y)[0, 1] > 0.5
        return
    assert predicted[list(data.class_names)].sum(axis=1).to_numpy() == pytest.approx(1.0)
    right = predicted["prediction"].astype(str) == np.array(data.class_names)[data.y]
    assert right.mean() > 0.8
    if dataset == "iris":
        printed = run(environment, "predict", str(study.id), str(file))
        assert printed.stdout == output.read_text()
        file.write_text("nonsense\n1\n")
        refused = run(environment, "predict", str(study.id), str(file))
        assert (refused.returncode, "lacks columns" in refused.stderr) == (1, True), refused.stderr
        assert "Traceback" not in refused.stderr


def test_one_trial_of_a_profiled_study_has_its_trace_and_table_of_operators_in_mlflow(
    service: up.Service, client: Client
) -> None:
    study = ended(client, client.submit(spec(profile=True, fixed={"epochs": 6}, budget={"trials": 5})).id)

    assert study.progress.complete == 5
    profiled = [number for number in range(5) if mlflow_files(service, client, study.id, number)]
    assert len(profiled) == 1
    found = mlflow_files(service, client, study.id, profiled[0])
    assert set(found) == {"profile/trace.json.gz", "profile/operators.txt"}
    files = {each.path for each in artifacts(client, study.id, profiled[0])}
    assert set(found) <= files
    trace = json.loads(gzip.decompress(found["profile/trace.json.gz"]))
    assert any(event.get("name") == "aten::addmm" for event in trace["traceEvents"])
    assert len(found["profile/trace.json.gz"]) < 2 * 2**20
    assert b"aten::addmm" in found["profile/operators.txt"]


def artifacts(client: Client, study_id: int, number: int) -> list[ArtifactOut]:
    return client._wire.call("GET", f"/studies/{study_id}/trials/{number}/artifacts", ArtifactList).items


def mlflow_files(service: up.Service, client: Client, study_id: int, number: int) -> dict[str, bytes]:
    """The profile's files at a trial's run, by path."""
    run_id = mlflow_run(client, study_id, number)["info"]["run_id"]
    http = client._wire.http
    listed = http.get("/mlflow/api/2.0/mlflow/artifacts/list", params={"run_id": run_id, "path": "profile"})
    paths = [each["path"] for each in listed.raise_for_status().json().get("files", [])]
    return {
        path: http.get("/mlflow/get-artifact", params={"run_id": run_id, "path": path}).raise_for_status().content
        for path in paths
    }


def test_a_study_is_exported_for_tensorboard(client: Client, environment: dict[str, str], tmp_path: Path) -> None:
    space = {
        "learning_rate": {"type": "float", "low": 1e-3, "high": 1e-1, "log": True},
        "width": {"type": "int", "low": 16, "high": 64},
        "batch_size": {"type": "categorical", "choices": [16, 32]},
        "optimizer": {"type": "categorical", "choices": ["sgd", "adamw"]},
    }
    study = ended(client, client.submit(spec(search_space=space)).id)
    folder = tmp_path / "board"

    done = run(environment, "export", study.name, "--tensorboard", str(folder))

    assert done.stdout == f"2 trials of {study.name} are in {folder}: tensorboard --logdir {folder}\n", done.stderr
    config = hparams_of(folder, "_hparams_/experiment").experiment
    assert {info.name for info in config.hparam_infos} == set(space)
    assert [info.name.tag for info in config.metric_infos] == ["objective"]
    for trial in client.trials(study.id):
        accumulated = EventAccumulator(str(folder / f"trial {trial.number}")).Reload()
        curve = [(point.step, point.value) for point in accumulated.Scalars("val/loss")]
        reports = client.reports(study.id, trial.number).items
        assert curve == [(report.step, pytest.approx(report.metrics["val/loss"])) for report in reports]
        moments = [point.wall_time for point in accumulated.Scalars("val/loss")]
        assert moments == [pytest.approx(report.reported_at.timestamp(), abs=1e-3) for report in reports]
        assert trial.values is not None
        assert accumulated.Scalars("objective")[0].value == pytest.approx(trial.values[0])
        start = hparams_of(folder / f"trial {trial.number}", "_hparams_/session_start_info").session_start_info
        assert start.hparams["learning_rate"].number_value == trial.params["learning_rate"]
        assert start.hparams["optimizer"].string_value == trial.params["optimizer"]
        end = hparams_of(folder / f"trial {trial.number}", "_hparams_/session_end_info").session_end_info
        assert end.status == api_pb2.STATUS_SUCCESS

    again = run(environment, "export", study.name, "--tensorboard", str(folder))
    assert (again.returncode, "not empty" in again.stderr) == (1, True)
    assert run(environment, "export", study.name).returncode == 2


def hparams_of(folder: Path, tag: str) -> plugin_data_pb2.HParamsPluginData:
    """What the HParams plugin finds in a run under a tag."""
    accumulated = EventAccumulator(str(folder)).Reload()
    content = accumulated.SummaryMetadata(tag).plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content)


def test_the_experiments_description_leads_back_to_the_study_and_its_dashboard(
    service: up.Service, client: Client
) -> None:
    study = ended(client, client.submit(spec(budget={"trials": 1})).id)
    run_info = mlflow_run(client, study.id, 0)
    http = client._wire.http
    params = {"experiment_id": run_info["info"]["experiment_id"]}
    experiment = http.get("/mlflow/api/2.0/mlflow/experiments/get", params=params).raise_for_status().json()
    tags = {tag["key"]: tag["value"] for tag in experiment["experiment"]["tags"]}

    links = re.findall(r"\]\((http[^)]+)\)", tags["mlflow.note.content"])
    base = service.settings.base_url
    page = f"{base}/api/v1/studies/{study.id}"
    assert links == [page, f"{page}/trials", f"{base}/dashboard/studies/{study.id}"]
    assert [http.get(link).status_code for link in links] == [200, 200, 200]
    curves = {metric["key"] for metric in run_info["data"]["metrics"] if "/" in metric["key"]}
    assert {name.partition("/")[0] for name in curves} == {"train", "val", "best", "system"}


def test_a_file_of_ones_own_is_predicted_as_it_was_written_for_training(
    client: Client, environment: dict[str, str], tmp_path: Path
) -> None:
    """Categories, missing values, booleans, dates and prices; a column that had missing values may be left out."""
    rows = ["age,city,member,active,joined,price,answer"]
    for i in range(120):
        yes = i % 2 == 0
        age, city = "" if i % 10 == 9 else str(20 + i % 40), "Ulm" if yes else "Bonn"
        member, active = ("yes", "true") if yes else ("no", "false")
        rows.append(
            f'{age},{city},{member},{active},2024-01-{1 + i % 28:02},"${1000 + i:,}.50",{"ja" if yes else "nein"}'
        )
    file = tmp_path / "own.csv"
    file.write_text("\n".join(rows) + "\n")
    name = f"own {uuid.uuid4().hex[:8]}"
    client.upload_dataset(name, data=str(file), target="answer")
    study = ended(client, client.submit(spec(dataset=name, fixed={"epochs": 20}, budget={"trials": 1})).id)
    new = tmp_path / "new.csv"
    without_age = [line.partition(",")[2] for line in rows[:9]]
    for lines in (rows[:21], without_age):
        new.write_text("\n".join(lines) + "\n")

        done = run(environment, "predict", str(study.id), str(new))

        assert done.returncode == 0, done.stderr
        out = list(csv.DictReader(done.stdout.splitlines()))
        assert [row["prediction"] for row in out] == [row["answer"] for row in csv.DictReader(lines)]
        assert [row["price"] for row in out] == [row["price"] for row in csv.DictReader(lines)], "as it was written"


SCRIPT = """
import json, os, pathlib, time
print("the script speaks", flush=True)
with open(os.environ["TUNER_REPORTS_FILE"], "a") as reports:
    reports.write(json.dumps({"step": 1, "metrics": {"y": 1.0}}) + "\\n")
while not pathlib.Path("go").exists():
    time.sleep(0.05)
print("and ends")
"""


def test_a_scripts_log_and_its_use_of_the_machine_are_seen_while_it_runs(
    client: Client, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    study = client.submit(external(budget={"trials": 1}))
    command = [sys.executable, "-m", "tuner.cli", "run", study.name, "--slots", "1", "--", sys.executable, "script.py"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE) as running:
        until(lambda: client.study(study.id).progress.running == 1, "it runs")
        until(lambda: client.logs(study.id, 0).text == b"the script speaks\n", "its log is there while it runs")
        assert not client.logs(study.id, 0).ended
        (tmp_path / "go").touch()
        running.communicate(timeout=60)
    assert running.returncode == 0

    whole = client.logs(study.id, 0)
    assert (whole.text, whole.ended) == (b"the script speaks\nand ends\n", True)
    assert {"y", "system/memory_mb", "system/cpu_percent"} <= set(client.reports(study.id, 0).items[0].metrics)
    assert client.trial(study.id, 0).metrics == {"y": 1.0}, "what the machine does is no result"
