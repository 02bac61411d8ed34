"""`sequence` on labelled series: learned, read the same however long the others are, and exported as they were trained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException

from tests import strangers
from tests.unit.trainers import made_labelled, resuming
from tests.unit.trainers.stored import store
from trainers import export, preprocessing, scoring, sequence
from trainers.configs import SequenceConfig
from trainers.contract import Dataset, Part, TrainResult
from trainers.data import files, on_device, parts
from trainers.series_networks import READERS, SeriesClassifier
from tuner import predict

GOLDEN: dict[str, list[float]] = {
    "gru": [
        1.11982,
        1.07245,
        1.02509,
        0.983908,
        0.92772,
        0.852275,
        0.746771,
        0.671948,
        0.581451,
        0.492819,
        0.414732,
        0.333725,
        0.335072,
        0.288858,
        0.255623,
        0.239759,
        0.228715,
        0.21213,
        0.211527,
        0.207675,
    ],
    "tcn": [
        1.2097,
        1.11475,
        1.07024,
        1.07528,
        1.05079,
        1.03083,
        1.02455,
        0.988864,
        0.987427,
        0.963905,
        0.902324,
        0.925013,
        0.901935,
        0.893607,
        0.872245,
        0.874077,
        0.816621,
        0.822103,
        0.846177,
        0.895539,
    ],
    "transformer": [
        1.16331,
        1.16699,
        1.11612,
        1.02417,
        1.10211,
        1.09231,
        1.0625,
        0.997609,
        1.00273,
        0.974681,
        0.944082,
        0.898092,
        0.808192,
        0.848398,
        0.812724,
        0.753104,
        0.76351,
        0.767078,
        0.775045,
        0.751783,
    ],
}
by_architecture = pytest.mark.parametrize("architecture", READERS)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As workers train."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def train(config: SequenceConfig, given: Dataset | None = None) -> tuple[TrainResult, list[dict[str, float]]]:
    epochs: list[dict[str, float]] = []
    result = sequence.train(
        *made_labelled.split(given or made_labelled.dataset()),
        config,
        lambda _step, metrics: epochs.append(dict(metrics)),
        device="cpu",
        seed=0,
        objective=("roc_auc", "maximize"),
    )
    return result, epochs


# ---- training --------------------------------------------------------------------------------------------------------


@by_architecture
def test_real_digits_are_told_apart_line_by_line(architecture: str) -> None:
    """A scan read as a course in time is a makeshift, but its pixels are real and nobody made them easy."""
    result, _ = train(SequenceConfig(architecture=architecture, epochs=20, learning_rate=0.01), made_labelled.digits())

    assert result.metrics["val/accuracy"] > 0.8
    assert result.curves["confusion_matrix"][0][0] > 5


@by_architecture
def test_one_batch_is_learned_by_heart(architecture: str) -> None:
    few = Part(made_labelled.dataset(), np.arange(24))
    losses: list[float] = []
    sequence.train(
        few,
        few,
        SequenceConfig(architecture=architecture, epochs=80, batch_size=1000, learning_rate=0.01, weight_decay=0),
        lambda _step, metrics: losses.append(metrics["train/loss"]),
        device="cpu",
        seed=0,
        objective=("loss", "minimize"),
    )

    assert losses[-1] < 0.02


@by_architecture
def test_the_first_twenty_steps_are_those_they_have_always_been(architecture: str) -> None:
    _, epochs = train(
        SequenceConfig(architecture=architecture, epochs=20, batch_size=1000, width=8, dropout=0.1, learning_rate=0.03)
    )

    assert [epoch["train/loss"] for epoch in epochs] == pytest.approx(GOLDEN[architecture], rel=1e-4)


@by_architecture
def test_what_is_behind_the_end_of_a_series_changes_nothing(architecture: str) -> None:
    torch.manual_seed(0)
    network = SeriesClassifier(30, 4, 3, SequenceConfig(architecture=architecture, width=8, depth=2)).eval()
    x = torch.randn(5, 30, 4)
    x[:, :, -1] = 1
    x[1:, 9:] = 0
    noisy = x.clone()
    noisy[1:, 9:, :-1] = 5.0

    with torch.no_grad():
        together, alone, of_noise = network(x), network(x[1:]), network(noisy)

    assert torch.allclose(together[1:], alone, atol=1e-6)
    assert torch.allclose(together, of_noise, atol=1e-6)


def test_nothing_is_fitted_on_series_that_are_not_trained_on() -> None:
    given = made_labelled.dataset()
    _, validation_part = made_labelled.split(given)
    x = given.x.copy()
    x[validation_part.rows] *= 1000
    on_device.forget()

    first, second = (train(SequenceConfig(epochs=1), each)[1] for each in (given, replace(given, x=x, digest="other")))

    assert first[0]["train/loss"] == second[0]["train/loss"]
    assert first[0]["val/loss"] != second[0]["val/loss"]


def test_classes_are_weighed_a_threshold_is_chosen_and_the_test_part_is_scored_beside_the_majority() -> None:
    whole = made_labelled.dataset()
    rows = np.flatnonzero(whole.y < 2)
    two = replace(whole, x=whole.x[rows], y=whole.y[rows], class_names=whole.class_names[:2], digest="two")
    result, _ = train(
        SequenceConfig(architecture="tcn", epochs=20, learning_rate=0.01, class_weighting="sampling"), two
    )
    made = parts.of(two, validation=0.2, test=0.2, folds=1, repeats=1, seed=0)

    scores = scoring.score(result, Part(two, scoring.learnt_rows(made)), Part(two, made.test_rows), seed=0)

    assert "val/threshold" in result.facts
    assert scores.baseline["accuracy"] == 0.5
    assert scores.baseline["roc_auc"] == 0.5
    found = scores.test["roc_auc"]
    assert 0.9 < found.low <= found.value <= found.high


def test_of_long_series_so_many_last_steps_are_read_as_are_asked_for() -> None:
    result, _ = train(SequenceConfig(epochs=1, max_steps=5))
    x = made_labelled.dataset().x

    given = preprocessing.apply(result.preprocessing, x)
    whole = preprocessing.apply({**result.preprocessing, "steps": x.shape[1]}, x)

    assert given.shape[1] == 5
    lengths = whole[:, :, -1].sum(axis=1).astype(int)
    for mine, all_steps, length in zip(given, whole, lengths, strict=True):
        assert mine.tolist() == all_steps[length - 5 : length].tolist()


# ---- the exported model ----------------------------------------------------------------------------------------------

STRANGER = """
import sys, mlflow.pyfunc, pandas as pd
rows, *folders = sys.argv[1:]
for folder in folders:
    print(mlflow.pyfunc.load_model(folder).predict(pd.read_csv(rows)).to_json(orient="split", double_precision=15))
"""


def test_a_fresh_process_without_us_predicts_series_as_the_training_code_does(tmp_path: Path) -> None:
    given = made_labelled.dataset()
    table = made_labelled.table().drop(columns="course")
    table.to_csv(tmp_path / "rows.csv", index=False)
    results = {
        architecture: train(SequenceConfig(architecture=architecture, epochs=2, width=8))[0] for architecture in READERS
    }
    for architecture, result in results.items():
        export.save_model(result, tmp_path / architecture, given)

    printed = strangers.run(STRANGER, tmp_path / "rows.csv", *(tmp_path / each for each in results), folder=tmp_path)

    for line, result in zip(printed.splitlines()[-3:], results.values(), strict=True):
        told = json.loads(line)
        found = pd.DataFrame(told["data"], columns=told["columns"])
        assert found.columns.tolist() == ["run", *made_labelled.KINDS]
        assert found.run.tolist() == sorted(table.run.unique())
        wanted = scoring.predict(result, Part(given, np.arange(90)))
        assert found[list(made_labelled.KINDS)].to_numpy() == pytest.approx(wanted, rel=1e-5, abs=1e-7)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[mlflow.pyfunc.PyFuncModel, str]:
    result, _ = train(SequenceConfig(architecture="tcn", epochs=2, width=8))
    folder = tmp_path_factory.mktemp("exported") / "model"
    export.save_model(result, folder, made_labelled.dataset())
    return mlflow.pyfunc.load_model(str(folder)), str(folder)


def test_a_model_tells_classes_takes_its_example_of_nobody_and_series_of_any_length(
    exported: tuple[mlflow.pyfunc.PyFuncModel, str],
) -> None:
    model, folder = exported
    example = model.metadata.load_input_example(folder)
    long = pd.DataFrame({"run": 7, "second": range(500), "speed": 30.0, "braked": "no"}).astype({"run": "str"})

    assert set(example["run"]) == {"a new series, 0", "a new series, 1", "a new series, 2"}
    assert len(model.predict(example)) == 3
    assert model.predict(long).run.tolist() == ["7"]
    one = model.predict(long.head(1), params={"output": "class"})
    assert one.columns.tolist() == ["run", "prediction"]
    assert one.prediction.tolist()[0] in made_labelled.KINDS
    without = model.predict(long.drop(columns="speed"))
    assert without.notna().all().all(), "a column that lacked values may be left out"


def test_a_class_with_the_name_of_the_series_column_is_told_from_it(tmp_path: Path) -> None:
    given = replace(made_labelled.dataset(), class_names=("run", "prediction", "turns"), digest="named")
    result, _ = train(SequenceConfig(architecture="tcn", epochs=1, width=8), given)
    export.save_model(result, tmp_path / "model", given)
    made_labelled.table().drop(columns="course").to_csv(tmp_path / "rows.csv", index=False)
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))

    found = predict.predict(model, predict.read(tmp_path / "rows.csv", predict.taken(model)))

    assert found.columns.tolist() == ["run", "p(run)", "p(prediction)", "turns", "prediction"]
    assert set(found.prediction) <= set(given.class_names)


def test_the_very_file_of_training_is_taken_where_series_have_whole_numbers_for_names(tmp_path: Path) -> None:
    table = made_labelled.table(30)
    table["run"] = table.run.str.removeprefix("run ").astype(int)
    written = {"data.csv": table.to_csv(index=False)}
    given = files.load(store(tmp_path / "set", written, **made_labelled.SAID), "runs")
    result, _ = train(SequenceConfig(architecture="tcn", epochs=1, width=8), given)
    export.save_model(result, tmp_path / "model", given)
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))

    found = model.predict(pd.read_csv(tmp_path / "set" / "data.csv"))
    by_command = predict.predict(model, predict.read(tmp_path / "set" / "data.csv", predict.taken(model)))

    assert found.run.tolist() == by_command.run.tolist() == sorted(map(str, range(30)))
    assert by_command.columns.tolist() == ["run", *made_labelled.KINDS, "prediction"]
    assert len(model.predict(model.metadata.load_input_example(str(tmp_path / "model")))) == 3


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        ({"second": np.nan}, "second, row 0 \\(the first is 0\\): no value, and the model takes numbers as 12 here"),
        ({"run": None}, "run, row 0 \\(the first is 0\\): no value: say which series the row is of"),
    ],
)
def test_rows_that_cannot_be_used_are_refused_with_the_cure(
    exported: tuple[mlflow.pyfunc.PyFuncModel, str], changed: dict[str, object], detail: str
) -> None:
    rows = pd.DataFrame({"run": ["a"], "second": [0], "speed": [30.0], "braked": ["no"]}).assign(**changed)
    code = exported[0].unwrap_python_model()

    with pytest.raises(MlflowException, match=detail):
        code.predict(rows)
    with pytest.raises(MlflowException, match="there is no row"):
        code.predict(rows.head(0))
    with pytest.raises(MlflowException, match="the rows lack 'second'"):
        code.predict(rows.drop(columns="second"))


def test_training_again_gives_the_same_model() -> None:
    first, second = (train(SequenceConfig(epochs=2, dropout=0.2))[0] for _ in range(2))

    assert (first.metrics, resuming.digest(first.network)) == (second.metrics, resuming.digest(second.network))
