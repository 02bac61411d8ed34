"""A published model as its users meet it: loaded by id, and by the alias under which it is registered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch
from sqlalchemy import Engine
from torch import nn

from trainers import export
from trainers.contract import TrainResult
from trainers.data.info import DatasetInfo
from tuner.maintenance.publish import Memory, run_once
from tuner.store.tables import studies, trials
from tuner.tracking import discards, models
from tuner.tracking.trials import Target

NAMES = ("width", "height")
ROWS = pd.DataFrame([[1.0, 2.0], [3.0, -1.0], [0.0, 0.0]], columns=list(NAMES))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 2), nn.Softmax(-1)).eval()


@pytest.fixture(scope="module")
def model_files(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The folder that a worker uploads, by path."""
    folder: Path = tmp_path_factory.mktemp("exported") / "model"
    preprocessing = {
        "kind": "tabular",
        "task": "classification",
        "shape": [2],
        "feature_names": list(NAMES),
        "class_names": ["no", "yes"],
        "columns": [
            {"name": name, "kind": "number", "format": "", "optional": False, "fill": 0.0, "indicator": False}
            for name in NAMES
        ],
        "missing": [],
        "mean": [0.0, 0.0],
        "scale": [1.0, 1.0],
    }
    result = TrainResult(
        metrics={}, best_step=1, curves={}, network=network, preprocessing=preprocessing, example=np.zeros((2, 2))
    )
    dataset = DatasetInfo(
        name="d", kind="tabular", task="classification", rows=2, shape=(2,), feature_names=NAMES, digest="sha256:0"
    )
    export.save_model(result, folder, dataset)
    return {f"model/{file.relative_to(folder)}": file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("way", ["target", "linking"])
def test_a_published_model_loads_and_predicts(
    way: str,
    engine: Engine,
    rows: Any,
    network: nn.Module,
    model_files: dict[str, bytes],
    mlflow_server: Any,
    request: pytest.FixtureRequest,
) -> None:
    target: Target = request.getfixturevalue(way)
    study = rows.study()
    trial = rows.trial(study, 0)
    rows.upload(trial, model_files)
    rows.finish(trial, metrics={"val/roc_auc": 0.9}, values=[0.9])
    run_once(engine, target, Memory())
    run_id = rows.get(trials, trial).run_id
    model_id = models.find(target.mlflow, rows.get(studies, study).experiment_id, [run_id])[run_id]
    name = f"breast cancer's {way}"
    mlflow.set_tracking_uri(mlflow_server.url)
    assert [models.take_name(target.mlflow, name, study_id) for study_id in (study, study, study + 1)] == [
        True,
        True,
        False,
    ]

    by_id = mlflow.pyfunc.load_model(f"models:/{model_id}").predict(ROWS)
    versions = [
        models.register(target.mlflow, name, model_id, run_id=run_id, tags={"study": "s"}, alias="champion")
        for _ in range(2)
    ]
    by_alias = mlflow.pyfunc.load_model(f"models:/{name}@champion").predict(ROWS)

    with torch.inference_mode():
        expected = network(torch.tensor(ROWS.to_numpy(), dtype=torch.float32)).numpy()
    np.testing.assert_allclose(by_id[["no", "yes"]].to_numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(by_alias[["no", "yes"]].to_numpy(), expected, atol=1e-6)
    assert versions == ["1", "1"]
    found = mlflow.MlflowClient(mlflow_server.url).get_model_version_by_alias(name, "champion")
    assert (found.run_id, found.tags["study"]) == (run_id, "s")


def test_a_registered_models_files_outlive_its_study(
    engine: Engine, rows: Any, target: Target, model_files: dict[str, bytes], mlflow_server: Any
) -> None:
    study = rows.study()
    for number in (0, 1):
        trial = rows.trial(study, number)
        rows.upload(trial, {**model_files, "log.txt": b"l"})
        rows.finish(trial, metrics={"val/roc_auc": 0.9}, values=[0.9])
    models.take_name(target.mlflow, "outlives", study)
    run_once(engine, target, Memory())
    experiment = rows.get(studies, study).experiment_id
    run_id = rows.get(trials, trial).run_id
    model_id = models.find(target.mlflow, experiment, [run_id])[run_id]
    models.register(target.mlflow, "outlives", model_id, run_id=run_id, tags={}, alias="champion")

    discards._remove_experiment(target.mlflow, experiment)

    left = {file.name for file in (mlflow_server.artifacts / experiment / "models").iterdir()}
    mlflow.set_tracking_uri(mlflow_server.url)
    assert left == {model_id}
    assert len(mlflow.pyfunc.load_model("models:/outlives@champion").predict(ROWS)) == len(ROWS)
