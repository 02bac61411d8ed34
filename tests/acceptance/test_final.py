"""The final model, whole: fitted by a worker when the search is over, scored on the test part, registered, and used."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psutil
import pytest
from sklearn.metrics import accuracy_score, mean_squared_error, roc_auc_score
from sqlalchemy import Engine, text

from tests import strangers
from tests.acceptance.waiting import ended, until
from tests.auditor import audit, audit_files, audit_mlflow
from trainers.contract import Dataset
from trainers.data import load, split
from tuner import up
from tuner.client import Client
from tuner.settings import child_environment
from tuner.wire import StudyOut, TrialOut

PREDICT = """
import sys, mlflow, numpy, pandas
mlflow.set_tracking_uri(sys.argv[1])
rows = numpy.load(sys.argv[3])
model = mlflow.pyfunc.load_model(sys.argv[2])
names = model.metadata.get_input_schema().input_names() if rows.ndim == 2 else None
given = rows if names is None else pandas.DataFrame(rows, columns=names)
model.predict(given).to_csv(sys.argv[4], index=False)
"""


def spec(dataset: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": f"final {dataset} {uuid.uuid4().hex[:8]}",
        "dataset": dataset,
        "fixed": {"epochs": 6},
        "sampler": {"name": "random", "seed": 5},
        "budget": {"trials": 2},
        "limits": {"lease_s": 2},
    } | changes


def parts_of(study: StudyOut, data: Dataset) -> split.Splits:
    evaluation = study.spec.evaluation
    return split.splits(
        data.y,
        data.task,
        validation=evaluation.validation,
        test=evaluation.test,
        folds=evaluation.folds,
        repeats=evaluation.repeats,
        seed=evaluation.seed,
    )


@pytest.mark.parametrize("dataset", ["digits", "breast_cancer", "diabetes"])
def test_the_champion_scores_on_the_test_part_what_the_study_tells(
    service: up.Service, service_engine: Engine, client: Client, tmp_path: Path, dataset: str
) -> None:
    study = ended(client, client.submit(spec(dataset)).id)

    assert (study.state, study.end_reason) == ("completed", "trials")
    assert study.best is not None
    final = study.final
    assert final is not None
    assert (final.state, final.number, final.trial) == ("complete", 1, study.best.number)
    assert final.epochs == client.trial(study.id, study.best.number).best_step
    assert (final.model, final.model_version, final.model_uri) == (study.name, "1", f"models:/{study.name}@champion")

    data = load.load(dataset)
    rows = parts_of(study, data).test_rows
    np.save(tmp_path / "rows.npy", data.x[rows])
    strangers.run(
        PREDICT,
        *(f"{service.settings.base_url}/mlflow", final.model_uri),
        *(tmp_path / "rows.npy", tmp_path / "predicted.csv"),
        folder=tmp_path,
        MLFLOW_TRACKING_TOKEN=service.admin_key,
    )
    predicted = pd.read_csv(tmp_path / "predicted.csv").to_numpy()
    assert final.metrics is not None
    assert final.baseline is not None
    if data.task == "regression":
        found = {"rmse": mean_squared_error(data.y[rows], predicted[:, 0]) ** 0.5}
    else:
        scores = predicted if predicted.shape[1] > 2 else predicted[:, 1]
        found = {
            "accuracy": accuracy_score(data.y[rows], predicted.argmax(axis=1)),
            "roc_auc": roc_auc_score(data.y[rows], scores, multi_class="ovr"),
        }
    for name, value in found.items():
        score = final.metrics[name]
        assert score.value == pytest.approx(value, abs=1e-5)
        assert score.low <= score.value <= score.high
        assert score.low < score.high
        assert final.baseline[name] != score.value
    audit(service_engine)
    audit_files(service_engine, service.settings.artifacts)
    audit_mlflow(service_engine, service.settings.base_url, service.admin_key)


@pytest.fixture(scope="module")
def finalized(service: up.Service) -> StudyOut:
    """A study on iris with its champion; its name has characters that MLflow's registry does not take."""
    with Client(service.settings.base_url, service.admin_key) as client:
        return ended(client, client.submit(spec("iris", name=f"what: is? {uuid.uuid4().hex[:8]}")).id)


def test_the_command_line_shows_the_final_model_and_predicts_with_the_champion(
    service: up.Service, finalized: StudyOut, tmp_path: Path
) -> None:
    environment = child_environment(TUNER_DATA=str(service.settings.data), TUNER_PORT=str(service.settings.port))

    def tuner(*arguments: str) -> str:
        command = [sys.executable, "-m", "tuner.cli", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert finalized.final is not None
    assert finalized.final.model == f"{finalized.name.replace(':', '_').replace('?', '_')} (#{finalized.id})"
    assert finalized.final.metrics is not None
    shown = tuner("best", str(finalized.id))
    assert f"models:/{finalized.final.model}@champion (version 1 of" in shown
    assert f"{finalized.final.metrics['accuracy'].value:.5g}" in shown
    assert "has its final model" in tuner("finalize", str(finalized.id))

    data = load.load("iris")
    rows = parts_of(finalized, data).test_rows
    pd.DataFrame(data.x[rows], columns=data.feature_names).to_csv(tmp_path / "rows.csv", index=False)
    told = tuner("predict", str(finalized.id), str(tmp_path / "rows.csv"), "--output", str(tmp_path / "out.csv"))
    assert "predictions of the champion" in told
    predicted = pd.read_csv(tmp_path / "out.csv")["prediction"]
    right = (predicted == np.array(data.class_names)[data.y[rows]]).mean()
    assert right == pytest.approx(finalized.final.metrics["accuracy"].value)


def test_the_registered_version_tells_what_it_was_made_of(client: Client, finalized: StudyOut) -> None:
    assert finalized.final is not None
    assert finalized.final.metrics is not None
    path = "/mlflow/api/2.0/mlflow/registered-models/alias"
    asked = client._wire.http.get(path, params={"name": finalized.final.model, "alias": "champion"})
    version = asked.raise_for_status().json()["model_version"]

    tags = {tag["key"]: tag["value"] for tag in version["tags"]}
    assert version["version"] == "1"
    assert tags["tuner.study"] == finalized.name
    assert tags["tuner.trial"] == str(finalized.final.trial)
    assert tags["tuner.dataset_digest"] == finalized.facts["dataset"]["digest"]
    assert tags["param/epochs"] == str(finalized.final.epochs)
    assert tags["param/learning_rate"]
    assert float(tags["test/accuracy"]) == pytest.approx(finalized.final.metrics["accuracy"].value, abs=1e-5)
    assert {"test/accuracy_low", "test/accuracy_high", "baseline/accuracy"} <= tags.keys()


def test_mlflow_serves_the_champion(service: up.Service, finalized: StudyOut, tmp_path: Path) -> None:
    assert finalized.final is not None
    assert finalized.final.model_uri is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", finalized.final.model_uri]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    tracking = {
        "MLFLOW_TRACKING_URI": f"{service.settings.base_url}/mlflow",
        "MLFLOW_TRACKING_TOKEN": service.admin_key,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # where MLflow finds uvicorn
    }
    data = load.load("iris")
    frame = pd.DataFrame(data.x[:3], columns=data.feature_names)
    with (tmp_path / "serve.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=tmp_path, env=child_environment(**tracking), stdout=log, stderr=log, start_new_session=True
        )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as http:
        try:
            until(lambda: server.poll() is not None or _answers(http), "it serves", 120)
            assert server.poll() is None, (tmp_path / "serve.log").read_text()
            given = {"dataframe_split": frame.to_dict(orient="split", index=False)}
            answer = http.post("/invocations", json=given).raise_for_status().json()
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()

    assert [set(row) for row in answer["predictions"]] == [set(data.class_names)] * 3
    assert [sum(row.values()) for row in answer["predictions"]] == pytest.approx([1.0] * 3)


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/ping").status_code == 200
    except httpx.TransportError:
        return False


def test_the_search_never_reads_the_test_part(client: Client, tmp_path: Path) -> None:
    """Shuffling the labels of the test part changes no trial; only the final score."""
    data = load.load("iris")
    table = pd.DataFrame(data.x, columns=list("abcd")).assign(y=np.array(data.class_names)[data.y])
    shuffled = table.sample(frac=1, random_state=0)
    files = {"train": shuffled[:90], "validation": shuffled[90:120], "test": shuffled[120:]}
    found = []
    for which in ("given", "shuffled"):
        if which == "shuffled":
            files["test"] = files["test"].assign(y=files["test"]["y"].sample(frac=1, random_state=1).to_numpy())
        folder = tmp_path / which
        folder.mkdir()
        for part, rows in files.items():
            rows.to_csv(folder / f"{part}.csv", index=False)
        name = f"{which}-{uuid.uuid4().hex[:8]}"
        client.upload_dataset(name, **{part: folder / f"{part}.csv" for part in files}, target="y")
        found.append(ended(client, client.submit(spec(name, budget={"trials": 3})).id))

    trials = [[(trial.params, trial.values, _judged(trial)) for trial in client.trials(study.id)] for study in found]
    assert found[0].facts["dataset"]["digest"] != found[1].facts["dataset"]["digest"]
    assert trials[0] == trials[1]
    accuracies = [study.final.metrics["accuracy"].value for study in found]  # type: ignore[union-attr, index]
    assert accuracies[0] > accuracies[1] + 0.2


def _judged(trial: TrialOut) -> dict[str, float]:
    return {name: value for name, value in (trial.metrics or {}).items() if "/" in name}


# ---- faults ----------------------------------------------------------------------------------------------------------


def slow(**changes: Any) -> dict[str, Any]:
    """One trial that gets better with every epoch, so its final fit is as long: some seconds."""
    fixed = {"epochs": 30, "width": 512, "depth": 2, "batch_size": 16, "learning_rate": 1e-5, "schedule": "constant"}
    space = {"weight_decay": {"type": "float", "low": 1e-6, "high": 1e-5}}
    objectives = [{"metric": "loss"}]
    return spec("digits", fixed=fixed, search_space=space, objectives=objectives, budget={"trials": 1}) | changes


def state_of_final(client: Client, study_id: int) -> str | None:
    final = client.study(study_id).final
    return None if final is None else final.state


def test_a_killed_training_process_is_replaced_and_the_study_gets_its_champion(
    service: up.Service, service_engine: Engine, client: Client
) -> None:
    study_id = client.submit(slow()).id
    until(lambda: state_of_final(client, study_id) == "running", "the final fit runs")

    for child in psutil.Process(service.processes["worker"].pid).children():
        os.kill(child.pid, signal.SIGKILL)

    study = ended(client, study_id)
    assert study.final is not None
    assert (study.state, study.final.state, study.final.epochs) == ("completed", "complete", 30)
    with service_engine.begin() as connection:
        query = text(
            "select end_reason from tuner.attempts a join tuner.finals f on f.id = a.final_id where study_id = :s"
        )
        ends = list(connection.execute(query.bindparams(s=study_id)).scalars())
    assert sorted(ends) == ["child-died", "complete"]
    audit(service_engine)
    audit_mlflow(service_engine, service.settings.base_url, service.admin_key)


def test_a_study_is_finalized_later_and_cancelled_meanwhile(
    service: up.Service, service_engine: Engine, client: Client
) -> None:
    study = ended(client, client.submit(slow(finalize=False)).id)
    assert (study.state, study.final) == ("completed", None)

    assert client.finalize(study.id).state == "finalizing"
    assert client.finalize(study.id).state == "finalizing"
    until(lambda: state_of_final(client, study.id) == "running", "the final fit runs")
    assert client.cancel(study.id).state == "completed"

    until(lambda: not any(worker.busy for worker in client.workers().items), "its worker is free", 15)
    study = ended(client, study.id)
    assert study.final is not None
    assert (study.state, study.final.state, study.final.number) == ("completed", "cancelled", 1)
    audit(service_engine)
    audit_mlflow(service_engine, service.settings.base_url, service.admin_key)
