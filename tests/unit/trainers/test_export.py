"""Saved models, loaded with and without this project."""

import json
import logging
import subprocess
import threading
import warnings
import zipfile
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch

from tests import strangers
from tests.clips import tones
from tests.unit.trainers.stored import store
from tests.zipped import digits, packed
from trainers import catalog, export, image_cnn, image_mlp, preprocessing, tabular_mlp
from trainers.configs import ImageCnnConfig, ImageMlpConfig, TabularMlpConfig
from trainers.contract import Part, TrainResult
from trainers.data import files
from trainers.data.builtin import BUILTIN
from trainers.data.load import load
from trainers.media_configs import AudioClassifierConfig, ImageResnetConfig

STRANGER = """
import sys, mlflow.pyfunc, numpy as np, pandas as pd
folder, rows = sys.argv[1:]
x = np.load(rows)
model = mlflow.pyfunc.load_model(folder)
columns = [column.name for column in model.metadata.signature.inputs]
print(model.predict(x if columns == [None] else pd.DataFrame(x, columns=columns)).to_json(orient="values", double_precision=15))
"""

CASES = [
    ("digits", ImageMlpConfig(epochs=2, width=32, batch_norm=True, dropout=0.1)),
    ("digits", ImageCnnConfig(epochs=1, width=8, dropout=0.1)),
    ("iris", TabularMlpConfig(epochs=2, width=16)),
    ("diabetes", TabularMlpConfig(epochs=2, width=16)),
]
TRAINERS = {ImageMlpConfig: image_mlp, ImageCnnConfig: image_cnn, TabularMlpConfig: tabular_mlp}
each_case = pytest.mark.parametrize(
    ("name", "config"), CASES, ids=[f"{name}-{type(config).__name__}" for name, config in CASES]
)


def trained(name: str, config: Any) -> TrainResult:
    dataset = load(name)
    rows = np.random.default_rng(0).permutation(len(dataset.y))
    return TRAINERS[type(config)].train(
        Part(dataset, rows[30:]),
        Part(dataset, rows[:30]),
        config,
        lambda _step, _metrics: None,
        device="cpu",
        seed=0,
        objective=("loss", "minimize"),
    )


def expected(result: TrainResult, x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return result.network(torch.from_numpy(preprocessing.apply(result.preprocessing, x))).numpy()


def frame(name: str, x: np.ndarray) -> np.ndarray | pd.DataFrame:
    names = BUILTIN[name].feature_names
    return pd.DataFrame(x, columns=list(names)) if names else x


@each_case
def test_a_saved_model_predicts_raw_rows_as_the_training_code_does(name: str, config: Any, tmp_path: Path) -> None:
    result = trained(name, config)
    export.save_model(result, tmp_path / "model", BUILTIN[name])
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))

    for rows in (1, 2, 25):
        x = load(name).x[:rows]
        predicted = model.predict(frame(name, x))
        wanted = expected(result, x)
        assert list(predicted.columns) == (list(BUILTIN[name].class_names) or ["prediction"])
        assert predicted.to_numpy().squeeze() == pytest.approx(wanted.squeeze(), rel=1e-5, abs=1e-5)


@each_case
def test_a_saved_model_needs_nothing_of_this_project(name: str, config: Any, tmp_path: Path) -> None:
    result = trained(name, config)
    export.save_model(result, tmp_path / "model", BUILTIN[name])
    x = load(name).x[:20]
    np.save(tmp_path / "rows.npy", x)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "model").rename(elsewhere / "moved")
    printed = strangers.run(STRANGER, elsewhere / "moved", tmp_path / "rows.npy", folder=elsewhere)

    found = np.array(json.loads(printed.splitlines()[-1]))
    assert found.squeeze() == pytest.approx(expected(result, x).squeeze(), rel=1e-5, abs=1e-5)


@each_case
def test_nothing_in_a_saved_model_is_pickled(name: str, config: Any, tmp_path: Path) -> None:
    export.save_model(trained(name, config), tmp_path / "model", BUILTIN[name])

    contents = {str(path): path.read_bytes() for path in (tmp_path / "model").rglob("*") if path.is_file()}
    with zipfile.ZipFile(tmp_path / "model/artifacts/network.pt2") as archive:
        contents |= {member: archive.read(member) for member in archive.namelist()}
    assert not [path for path in contents if path.endswith((".pkl", ".pickle", ".joblib"))]
    # pickles of protocol 2 and later open with this byte and end with a full stop
    assert not [path for path, content in contents.items() if content[:1] == b"\x80" and content[-1:] == b"."]
    # what torch.save writes is a zip with a data.pkl
    assert not [path for path, content in contents.items() if b"data.pkl" in content]


def test_saving_infers_nothing_and_warns_of_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mlflow would start a process to find requirements, and log a warning for each thing that it must guess."""

    def refuse(*_args: Any, **_options: Any) -> None:
        raise AssertionError("a process was started")

    result = trained(*CASES[0])
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with caplog.at_level("INFO"), warnings.catch_warnings():
        warnings.simplefilter("error")
        export.save_model(result, tmp_path / "model", BUILTIN["digits"])

    records = [
        record for record in caplog.records if record.thread == threading.get_ident()
    ]  # others' threads talk too
    assert [record.message for record in records if record.levelno > logging.INFO] == []
    assert not [record for record in records if "nferring" in record.message]


def test_the_signature_names_columns_and_classes(tmp_path: Path) -> None:
    export.save_model(trained("iris", TabularMlpConfig(epochs=1)), tmp_path / "model", BUILTIN["iris"])
    signature = mlflow.pyfunc.load_model(str(tmp_path / "model")).metadata.signature

    assert signature.inputs.input_names() == list(BUILTIN["iris"].feature_names)
    assert signature.outputs.input_names() == ["setosa", "versicolor", "virginica"]


def test_columns_may_come_in_any_order_and_a_missing_one_is_refused(tmp_path: Path) -> None:
    result = trained("iris", TabularMlpConfig(epochs=1))
    export.save_model(result, tmp_path / "model", BUILTIN["iris"])
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    rows = pd.DataFrame(load("iris").x[:5], columns=list(BUILTIN["iris"].feature_names), index=list("abcde"))

    backwards = model.predict(rows[rows.columns[::-1]])
    assert backwards.equals(model.predict(rows))
    assert list(backwards.index) == list("abcde")
    with pytest.raises(mlflow.MlflowException, match="petal width"):
        model.predict(rows.drop(columns="petal width (cm)"))


@each_case
def test_the_input_example_is_synthetic_and_can_be_predicted(name: str, config: Any, tmp_path: Path) -> None:
    result = trained(name, config)
    export.save_model(result, tmp_path / "model", BUILTIN[name])
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    example = model.metadata.load_input_example(str(tmp_path / "model"))

    rows = np.asarray(example)
    assert len(rows) >= 2
    assert np.allclose(rows, result.example)
    assert not (rows[:, None] == load(name).x[None]).reshape(len(rows), len(load(name).x), -1).all(axis=2).any()
    assert len(model.predict(example)) == len(rows)


@pytest.mark.parametrize("shape", [(60, 6, 5, 3), (60, 6, 5)])
def test_images_of_bytes_come_out_of_npz_and_go_into_the_saved_model(shape: tuple[int, ...], tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    folder = store(tmp_path / "set", {"data.npz": {"x": x, "y": np.array(["cat", "dog"])[np.arange(60) % 2]}})
    dataset = files.load(folder, "pets")
    result = image_cnn.train(
        Part(dataset, np.arange(40)),
        Part(dataset, np.arange(40, 60)),
        ImageCnnConfig(epochs=1, width=4),
        lambda _step, _metrics: None,
        device="cpu",
        seed=0,
        objective=("loss", "minimize"),
    )
    export.save_model(result, tmp_path / "model", dataset)
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    predicted = model.predict(x[:7])

    assert (model.metadata.signature.inputs.inputs[0].type, list(predicted.columns)) == (np.uint8, ["cat", "dog"])
    assert predicted.to_numpy() == pytest.approx(expected(result, x[:7]), rel=1e-5, abs=1e-5)


def test_requirements_are_pinned_to_versions_that_an_index_serves(tmp_path: Path) -> None:
    export.save_model(trained("iris", TabularMlpConfig(epochs=1)), tmp_path / "model", BUILTIN["iris"])
    lines = (tmp_path / "model/requirements.txt").read_text().splitlines()

    assert [line.split("==")[0] for line in lines] == ["mlflow", "numpy", "pandas", "torch"]
    assert f"torch=={torch.__version__.split('+')[0]}" in lines
    assert not [line for line in lines if "+" in line]


def test_the_metadata_tell_the_data_set(tmp_path: Path) -> None:
    export.save_model(trained("iris", TabularMlpConfig(epochs=1)), tmp_path / "model", BUILTIN["iris"])
    metadata = mlflow.pyfunc.load_model(str(tmp_path / "model")).metadata.metadata

    assert metadata == {"dataset": "iris", "dataset_digest": BUILTIN["iris"].digest, "task": "classification"}


def test_warming_up_leaves_exporting_quick_and_harmless(tmp_path: Path) -> None:
    export.warm_up()
    result = trained("iris", TabularMlpConfig(epochs=1))
    export.save_model(result, tmp_path / "model", BUILTIN["iris"])

    assert (tmp_path / "model/MLmodel").is_file()


FILES_STRANGER = """
import sys, json, mlflow.pyfunc, pandas as pd
from pathlib import Path
folder, files, column = sys.argv[1:]
model = mlflow.pyfunc.load_model(folder)
rows = pd.DataFrame({column: [file.read_bytes() for file in sorted(Path(files).iterdir())]})
print(model.predict(rows).to_json(orient="values", double_precision=15))
"""


@pytest.mark.parametrize(
    ("column", "config", "needed"),
    [
        ("image", ImageCnnConfig(epochs=1, width=8), ["pillow"]),
        ("image", ImageResnetConfig(epochs=1, width=4, depth=1), ["pillow"]),
        (
            "audio",
            AudioClassifierConfig(epochs=2, width=4, depth=2, mels=16, augmentation="strong"),
            ["scipy", "soundfile"],
        ),
    ],
    ids=["image-cnn", "image-resnet", "audio-classifier"],
)
def test_a_model_of_files_predicts_files_as_the_training_code_does(
    column: str, config: Any, needed: list[str], tmp_path: Path
) -> None:
    content = digits(100) if column == "image" else tones()
    dataset = files.load(store(tmp_path / "set", {"data.zip": packed(content)}), "d")
    order = np.random.default_rng(0).permutation(len(content))
    train = catalog.load(next(each for each in catalog.TRAINERS.values() if each.config is type(config)))
    result = train(
        *(Part(dataset, order[:70]), Part(dataset, order[70:]), config, lambda _step, _metrics: None),
        device="cpu",
        seed=0,
        objective=("loss", "minimize"),
    )
    export.save_model(result, tmp_path / "model", dataset)
    (tmp_path / "files").mkdir()
    for i, name in enumerate(sorted(content)[:70]):
        (tmp_path / "files" / f"{i:03}").write_bytes(content[name])
    printed = strangers.run(FILES_STRANGER, tmp_path / "model", tmp_path / "files", column, folder=tmp_path)

    predicted = np.array(json.loads(printed.splitlines()[-1]))
    assert predicted == pytest.approx(expected(result, dataset.x[:70]), abs=1e-5)
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert [(each.name, each.type.name) for each in model.metadata.signature.inputs] == [(column, "binary")]
    lines = (tmp_path / "model/requirements.txt").read_text().splitlines()
    assert [line.split("==")[0] for line in lines] == ["mlflow", "numpy", "pandas", "torch", *needed]
    example = model.metadata.load_input_example(str(tmp_path / "model"))
    assert len(model.predict(example)) == 3
    assert not {*example[column]} & {*content.values()}, "nobody's own data"
    with pytest.raises(ValueError, match=r"row 1: it is no (PNG|WAV)"):
        model.predict(pd.DataFrame({column: [example[column][0], b"?"]}))
