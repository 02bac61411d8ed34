"""A data set of one's own, from the file to a model in MLflow that predicts its raw rows."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.families import text
from tests import strangers
from tests.acceptance.waiting import ended
from tuner import predict, up
from tuner.client import Client, ClientError

PREDICT = """
import json, sys, mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
run = mlflow.search_runs([sys.argv[2]], filter_string=f"tags.`tuner.trial` = '{sys.argv[3]}'", output_format="list")[0]
models = mlflow.search_logged_models(experiment_ids=[sys.argv[2]], output_format="list")
model_id = next(m.model_id for m in models if m.source_run_id == run.info.run_id)
rows = pandas.read_csv(sys.argv[4]).drop(columns=["survived"])
mlflow.pyfunc.load_model(f"models:/{model_id}").predict(rows).to_csv(sys.argv[5], index=False)
(used,) = run.inputs.dataset_inputs
print(json.dumps({**dict(used.dataset), "tags": {tag.key: tag.value for tag in used.tags}}))
"""


def passengers(rows: int = 300) -> pd.DataFrame:
    """Numbers, categories, booleans and gaps; whether one survives depends on most of them."""
    rng = np.random.default_rng(3)
    sex, port = rng.choice(["woman", "man"], rows), rng.choice(["Köln", "Bremen", "北京"], rows)
    age, alone = rng.normal(40, 12, rows).round(1), rng.choice([True, False], rows)
    score = (sex == "woman") + (port == "北京") + (age < 35) - alone.astype(float)
    table = pd.DataFrame({"age": age, "sex": sex, "port": port, "alone": alone})
    for name in ("age", "port"):
        table.loc[rng.random(rows) < 0.1, name] = None
    table["survived"] = np.where(score + rng.normal(0, 0.2, rows) > 0.9, "yes", "no")
    return table


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "passengers.csv"
    passengers().to_csv(path, index=False, encoding="utf-8-sig")  # as a spreadsheet writes it, with a BOM
    return path


def test_a_table_of_mixed_columns_ends_as_a_model_that_predicts_raw_rows(
    service: up.Service, client: Client, file: Path, tmp_path: Path
) -> None:
    name = f"passengers {uuid.uuid4().hex[:8]}"
    uploaded = client.upload_dataset(name, data=file, target="survived")
    assert {column.name: (column.kind, column.missing > 0) for column in uploaded.columns} == {
        "age": ("number", True),
        "sex": ("category", False),
        "port": ("category", True),
        "alone": ("boolean", False),
    }
    assert [each.name for each in uploaded.class_rows] == ["no", "yes"]

    spec = {"name": name, "dataset": name, "fixed": {"epochs": 15}, "budget": {"trials": 3}}
    study = ended(client, client.submit(spec).id)
    assert (study.state, study.progress.complete) == ("completed", 3)
    assert study.spec.dataset == f"{name}@1"
    best = client.best(study.id)[0]
    assert (best.metrics or {})["val/roc_auc"] > 0.7

    location = client._wire.http.get(study.links["mlflow"]).headers["location"]
    experiment_id = location.split("/experiments/")[1].split("/")[0]
    printed = strangers.run(
        PREDICT,
        *(f"{service.settings.base_url}/mlflow", experiment_id, str(best.number), file, tmp_path / "predicted.csv"),
        folder=tmp_path,
        MLFLOW_TRACKING_TOKEN=service.admin_key,
    )
    predicted = pd.read_csv(tmp_path / "predicted.csv")
    assert list(predicted.columns) == ["no", "yes"]
    truth = passengers()["survived"]
    assert (np.where(predicted["yes"] > 0.5, "yes", "no") == truth).mean() > 0.7

    used: dict[str, Any] = json.loads(printed)
    assert used["name"] == f"{name}@1"
    assert uploaded.digest.startswith(f"sha256:{used['digest']}")
    assert used["tags"] == {"mlflow.data.context": "training"}
    assert {each["name"]: each["type"] for each in json.loads(used["schema"])["mlflow_colspec"]}["age"] == "double"
    assert json.loads(used["profile"])["num_rows"] == 300


def test_given_parts_are_the_studys_parts(client: Client, tmp_path: Path) -> None:
    table = passengers()
    for part, rows in (("train", table[:200]), ("validation", table[200:260]), ("test", table[260:])):
        rows.to_parquet(tmp_path / f"{part}.parquet")
    name = f"parts {uuid.uuid4().hex[:8]}"
    paths = {part: tmp_path / f"{part}.parquet" for part in ("train", "validation", "test")}
    uploaded = client.upload_dataset(name, **paths, target="survived")
    assert uploaded.parts == {"train": 200, "validation": 60, "test": 40}

    study = ended(
        client,
        client.submit({"name": name, "dataset": name, "fixed": {"epochs": 2}, "budget": {"trials": 1}}).id,
    )
    assert study.facts["split"] == {"test": 40, "folds": [{"train": 200, "validation": 60}]}
    assert study.progress.complete == 1
    with pytest.raises(ClientError) as refused:
        client.delete_dataset(name)
    assert (refused.value.status, refused.value.type) == (409, "in-use")
    client.delete(study.id)
    client.delete_dataset(name, 1)


def test_arrays_of_images_are_trained_on(client: Client, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 120)
    x = rng.normal(size=(120, 6, 6)) + y[:, None, None]
    np.savez(tmp_path / "spots.npz", x=x, y=y)
    name = f"spots {uuid.uuid4().hex[:8]}"
    uploaded = client.upload_dataset(name, data=tmp_path / "spots.npz")
    assert (uploaded.kind, uploaded.features, uploaded.columns) == ("image", 36, [])

    spec = {"name": name, "dataset": f"{name}@1", "fixed": {"epochs": 3}, "budget": {"trials": 1}}
    study = ended(client, client.submit(spec).id)
    assert (study.spec.trainer, study.progress.complete) == ("image-mlp", 1)


def test_a_column_of_chinese_texts_ends_as_a_model_that_tells_good_from_bad(
    service: up.Service, client: Client, tmp_path: Path
) -> None:
    reviews = text.reviews(900).assign(length=lambda table: table["text"].str.len())
    reviews.iloc[:700].to_csv(tmp_path / "reviews.csv", index=False, encoding="gb18030")
    name = f"reviews {uuid.uuid4().hex[:8]}"
    uploaded = client.upload_dataset(
        name, data=tmp_path / "reviews.csv", text="text", target="label", encoding="gb18030"
    )
    assert (uploaded.kind, uploaded.features, [c.kind for c in uploaded.columns]) == ("text", 1, ["text"])
    assert uploaded.notes == ["length: ignored beside the text; leave text out to predict from columns"]

    spec = {"name": name, "dataset": name, "fixed": {"epochs": 6}, "budget": {"trials": 1}}
    dry = client.dry_run(spec)
    assert (dry.spec.trainer, dry.facts["dataset"]["columns"]) == ("text-classifier", {"text": "text"})
    study = ended(client, client.submit(spec).id)
    assert study.progress.complete == 1
    best = client.best(study.id)[0]

    reviews.iloc[700:].drop(columns="label").to_csv(tmp_path / "new.csv", index=False, encoding="gb18030")
    model = predict.load(str(best.model_uri), f"{service.settings.base_url}/mlflow", service.admin_key)
    predicted = predict.predict(model, predict.read(tmp_path / "new.csv", predict.taken(model), encoding="gb18030"))
    assert list(predicted.columns) == ["text", "length", "neg", "pos", "prediction"]
    truth = reviews["label"].iloc[700:].to_numpy()
    assert (predicted["prediction"] == truth).mean() > max((truth == "pos").mean(), (truth == "neg").mean()) + 0.1
