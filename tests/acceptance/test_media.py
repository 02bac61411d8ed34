"""A zip of files of one's own, from the upload to the final model, and to predictions for new files."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, log_loss

from tests import strangers
from tests.acceptance.waiting import ended
from tests.clips import tones
from tests.unit.trainers.test_zips import with_entry
from tests.zipped import digits, packed
from trainers.data import files, keys, parts
from tuner import up
from tuner.client import Client, ClientError
from tuner.settings import child_environment
from tuner.wire import StudyOut

PREDICT = """
import sys, zipfile, mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
(column,) = model.metadata.get_input_schema().input_names()
with zipfile.ZipFile(sys.argv[3]) as archive:
    rows = [archive.read(name) for name in sorted(archive.namelist())]
model.predict(pandas.DataFrame({column: rows})).to_csv(sys.argv[4], index=False)
"""


def predicted(service: up.Service, study: str, given: Path) -> pd.DataFrame:
    """What `tuner predict` writes, with the champion."""
    output = given.parent / "predicted.csv"
    done = subprocess.run(
        [sys.executable, "-m", "tuner.cli", "predict", study, str(given), "--output", str(output)],
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(TUNER_DATA=str(service.settings.data), TUNER_PORT=str(service.settings.port)),
    )
    assert done.returncode == 0, done.stderr
    assert "predictions of the champion" in done.stdout
    return pd.read_csv(output, dtype={"prediction": "str"})


def assert_champion(service: up.Service, study: StudyOut, content: dict[str, bytes], folder: Path) -> None:
    """What the study tells of its final model is what that says, in a stranger's process, of the test part's raw files."""
    final, said = study.final, study.spec.evaluation
    assert final is not None
    assert (final.state, final.model_uri) == ("complete", f"models:/{study.name}@champion")
    stored = folder / "stored"
    stored.mkdir()
    (stored / "data.zip").write_bytes(packed(content))
    dataset = keys.attach(files.load(stored, "mine"), stored, group=said.group)
    shares = {"validation": said.validation, "test": said.test, "folds": said.folds, "repeats": said.repeats}
    rows = parts.of(dataset, **shares, seed=said.seed).test_rows  # type: ignore[arg-type]
    named = sorted(name for name in content if name != "labels.csv")
    assert len(rows) == pytest.approx(said.test * len(named), abs=0 if said.group is None else 10)

    tested = [named[row] for row in rows]
    (folder / "test.zip").write_bytes(packed({name: content[name] for name in tested}))
    given = (folder / "test.zip", folder / "probabilities.csv")
    token = {"MLFLOW_TRACKING_TOKEN": service.admin_key}
    strangers.run(PREDICT, f"{service.settings.base_url}/mlflow", final.model_uri, *given, folder=folder, **token)
    table = pd.read_csv(given[1])
    assert tuple(table.columns) == dataset.class_names
    probabilities = table.to_numpy() / table.to_numpy().sum(axis=1, keepdims=True)  # 1, but for rounding to 32 bits
    y, trivial = dataset.y[rows], np.bincount(np.delete(dataset.y, rows)) / (len(dataset.y) - len(rows))
    told = {"accuracy": accuracy_score(y, probabilities.argmax(axis=1)), "log_loss": log_loss(y, probabilities)}
    baseline = {"accuracy": (y == trivial.argmax()).mean(), "log_loss": log_loss(y, np.tile(trivial, (len(y), 1)))}
    for name, value in told.items():
        score = (final.metrics or {})[name]
        assert score.value == pytest.approx(value, abs=1e-5)
        assert score.low <= score.value <= score.high
        assert score.low < score.high or value == 1
        assert (final.baseline or {})[name] == pytest.approx(baseline[name], abs=1e-5)


def test_a_zip_of_images_ends_as_a_model_that_predicts_new_files(
    service: up.Service, client: Client, tmp_path: Path
) -> None:
    content = digits()
    new = {name: content[name] for name in list(content)[1500:]}
    old = {name: content[name] for name in list(content)[:1500]}
    (tmp_path / "digits.zip").write_bytes(packed(old))
    name = f"digits {uuid.uuid4().hex[:8]}"
    uploaded = client.upload_dataset(name, data=tmp_path / "digits.zip")
    assert (uploaded.kind, uploaded.task, uploaded.rows, uploaded.classes) == ("image", "classification", 1500, 10)
    assert [each.name for each in uploaded.class_rows] == list("0123456789")

    spec = {"name": name, "dataset": name, "trainer": "image-cnn", "fixed": {"epochs": 4}, "budget": {"trials": 1}}
    study = ended(client, client.submit(spec).id)
    assert (study.state, study.progress.complete) == ("completed", 1)
    assert_champion(service, study, old, tmp_path)
    (tmp_path / "new.zip").write_bytes(packed(new))
    out = predicted(service, name, tmp_path / "new.zip")

    assert list(out.columns) == ["file", *"0123456789", "prediction"]
    assert out["file"].tolist() == sorted(new)
    assert out[list("0123456789")].sum(axis=1).to_numpy() == pytest.approx(1.0)
    assert (out["prediction"] == out["file"].str.partition("/")[0]).mean() > 0.85
    for file, each in new.items():
        path = tmp_path / "folder" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(each)
    again = predicted(service, name, tmp_path / "folder")
    assert again["file"].tolist() == out["file"].tolist()
    assert np.allclose(again[list("0123456789")], out[list("0123456789")])


def test_a_zip_of_clips_ends_as_a_model_that_predicts_new_files(
    service: up.Service, client: Client, tmp_path: Path
) -> None:
    """Those of a speaker are on one side of the split, as a table in the zip tells who that is."""
    content = {name.replace("/", "-"): sound for name, sound in tones().items()}
    new = {name: content[name] for name in list(content)[100:]}
    old = {name: content[name] for name in list(content)[:100]}
    rows = [f"{name},{name.partition('-')[0]},speaker {i // 10}" for i, name in enumerate(old)]
    old["labels.csv"] = "\n".join(["file,label,speaker", *rows]).encode()
    (tmp_path / "tones.zip").write_bytes(packed(old))
    name = f"tones {uuid.uuid4().hex[:8]}"
    uploaded = client.upload_dataset(name, data=tmp_path / "tones.zip", sample_rate=6_000)
    assert (uploaded.kind, uploaded.rows, uploaded.classes) == ("audio", 100, 3)
    profile = client.dataset_profile(name).clips
    assert profile is not None
    assert profile.sample_rate == 6_000
    assert 0.1 <= profile.low_s < profile.median_s < profile.high_s <= 0.3

    fixed = {"epochs": 25, "batch_size": 8, "mels": 16, "width": 8, "depth": 2, "augmentation": "none", "dropout": 0.0}
    fixed |= {"optimizer": "adamw", "learning_rate": 0.005}
    space = {"weight_decay": {"type": "float", "low": 1e-4, "high": 1e-3, "log": True}}
    spec = {"name": name, "dataset": name, "fixed": fixed, "search_space": space, "budget": {"trials": 1}}
    # of few rows many epochs rank all right, and the first of them are not sure of it yet
    spec |= {"objectives": [{"metric": "log_loss", "direction": "minimize"}], "evaluation": {"group": "speaker"}}
    study = ended(client, client.submit(spec).id)
    assert (study.spec.trainer, study.state, study.progress.complete) == ("audio-classifier", "completed", 1)
    split = study.facts["split"]
    (fold,) = split["folds"]
    assert split["test_groups"] + fold["train_groups"] + fold["validation_groups"] == 10
    assert_champion(service, study, old, tmp_path)
    (tmp_path / "new.zip").write_bytes(packed(new))
    out = predicted(service, name, tmp_path / "new.zip")

    assert list(out.columns) == ["file", "high", "low", "middle", "prediction"]
    assert out["file"].tolist() == sorted(new)
    assert (out["prediction"] == out["file"].str.partition("-")[0]).mean() > 0.8


def test_a_hostile_zip_is_answered_with_its_file_and_the_cure_and_nothing_is_kept(
    client: Client, tmp_path: Path
) -> None:
    for name, why in (("../a/3.png", "is no path within the zip"), ("a/3.zip", "is an archive within the zip")):
        (tmp_path / "hostile.zip").write_bytes(with_entry(name))
        with pytest.raises(ClientError, match=why) as refused:
            client.upload_dataset("hostile", data=tmp_path / "hostile.zip")
        assert refused.value.status == 422
    assert "hostile" not in [each.name for each in client.datasets()]
