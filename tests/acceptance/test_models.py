"""Every complete trial's model, out of MLflow, in a process that does not have this project."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from tests import strangers
from tests.acceptance.waiting import ended
from trainers import catalog, preprocessing
from trainers.contract import Part, TrainResult
from trainers.data import load, split
from tuner import up
from tuner.client import Client
from tuner.domain import seeds
from tuner.wire import StudyOut, TrialOut

PREDICT = """
import sys, mlflow, numpy, pandas
mlflow.set_tracking_uri(sys.argv[1])
runs = mlflow.search_runs(experiment_ids=[sys.argv[2]], filter_string=f"tags.`tuner.trial` = '{sys.argv[3]}'")
models = mlflow.search_logged_models(experiment_ids=[sys.argv[2]], output_format="list")
model_id = next(m.model_id for m in models if m.source_run_id == runs.run_id[0])
rows = numpy.load(sys.argv[4])
model = mlflow.pyfunc.load_model(f"models:/{model_id}")
names = model.metadata.get_input_schema().input_names() if rows.ndim == 2 else None
given = rows if names is None else pandas.DataFrame(rows, columns=names)
model.predict(given).to_csv(sys.argv[5], index=False)
"""


@pytest.mark.parametrize("dataset", ["digits", "breast_cancer"])
def test_a_model_out_of_mlflow_gives_the_training_codes_probabilities(
    service: up.Service, client: Client, tmp_path: Path, dataset: str
) -> None:
    spec = {"name": f"m {uuid.uuid4().hex[:8]}", "dataset": dataset, "fixed": {"epochs": 4}, "budget": {"trials": 2}}
    study = ended(client, client.submit(spec).id)
    best = client.best(study.id)[0]
    data = load.load(dataset)
    evaluation = study.spec.evaluation
    parts = split.splits(
        data.y,
        data.task,
        validation=evaluation.validation,
        test=evaluation.test,
        folds=1,
        repeats=1,
        seed=evaluation.seed,
    )
    train_rows, rows = parts.folds[0]
    np.save(tmp_path / "rows.npy", data.x[rows])

    location = client._wire.http.get(study.links["mlflow"]).headers["location"]
    experiment_id = location.split("/experiments/")[1].split("/")[0]
    strangers.run(
        PREDICT,
        *(f"{service.settings.base_url}/mlflow", experiment_id, str(best.number)),
        *(tmp_path / "rows.npy", tmp_path / "predicted.csv"),
        folder=tmp_path,
        MLFLOW_TRACKING_TOKEN=service.admin_key,
    )

    predicted = pd.read_csv(tmp_path / "predicted.csv").to_numpy()
    assert predicted.shape == (len(rows), len(data.class_names))
    assert predicted.sum(axis=1) == pytest.approx(1.0)
    scores = predicted if predicted.shape[1] > 2 else predicted[:, 1]
    score = roc_auc_score(data.y[rows], scores, multi_class="ovr", average="macro")
    assert best.metrics is not None
    assert score == pytest.approx(best.metrics["val/roc_auc"], abs=1e-6)
    again = _train_again(study, best, Part(data, train_rows), Part(data, rows))
    assert again.metrics.items() <= best.metrics.items()  # so it is the same training
    x = torch.from_numpy(preprocessing.apply(again.preprocessing, data.x[rows]))
    with torch.inference_mode():
        assert predicted == pytest.approx(again.network(x).numpy(), abs=1e-5)


def _train_again(study: StudyOut, trial: TrialOut, train_part: Part, validation_part: Part) -> TrainResult:
    """The trial once more, in this process, by the training code alone."""
    torch.set_num_threads(1)  # as in the worker's child: sums are added up in the same order
    assert study.spec.trainer is not None
    assert study.spec.sampler.seed is not None
    trainer = catalog.get(study.spec.trainer)
    config = catalog.build_config(trainer, {**study.spec.fixed, **trial.params}, train_part.dataset.task)
    seed = seeds.derive(study.spec.sampler.seed, "training", trial.number)
    train = catalog.load(trainer)
    return train(
        train_part,
        validation_part,
        config,
        lambda *_: None,
        device="cpu",
        seed=seed,
        objective=("roc_auc", "maximize"),
    )
