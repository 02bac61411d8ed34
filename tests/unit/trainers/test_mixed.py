"""Tables of mixed columns, from the file through training to a saved model that predicts raw rows."""

import json
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from tests import strangers
from tests.unit.trainers.stored import store
from trainers import augmentation, export, exported_model, metrics, preprocessing, tabular_mlp
from trainers.configs import TabularMlpConfig
from trainers.contract import Dataset, Part, TrainResult
from trainers.data import files
from trainers.data.info import Column

STRANGER = """
import sys, mlflow.pyfunc, pandas as pd
folder, rows = sys.argv[1:]
print(mlflow.pyfunc.load_model(folder).predict(pd.read_csv(rows)).to_json(orient="values", double_precision=15))
"""


def houses(rows: int) -> pd.DataFrame:
    """Made houses; whether one is sold depends on every column."""
    rng = np.random.default_rng(0)
    town = rng.choice(["Bonn", "Köln", "Trier", "北京"], rows)
    price = rng.uniform(1e5, 9e5, rows)
    rooms = rng.integers(1, 9, rows)
    garden = rng.choice(["yes", "no"], rows)
    lift = rng.choice([True, False], rows)
    listed = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 1000, rows), unit="D")
    area = rng.normal(100, 30, rows).round(2)
    signs = [
        town == "Bonn",
        town == "北京",
        price < 4e5,
        rooms > 4,
        garden == "yes",
        lift,
        listed.month < 7,
        area > 100,
    ]
    frame = pd.DataFrame(
        {
            "price": [f"${value:,.2f}" for value in price],
            "rooms": rooms,
            "town": town,
            "garden": garden,
            "lift": lift,
            "listed": listed.strftime("%d.%m.%Y"),
            "area": area,
            "sold": np.where(np.sum(signs, axis=0) + rng.normal(0, 0.3, rows) > 4, "sold", "open"),
        }
    )
    for name in ("price", "town", "garden", "listed", "area"):
        frame.loc[rng.random(rows) < 0.1, name] = None
    return frame


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(
        tmp_path_factory.mktemp("houses") / "set", {"data.csv": houses(600).to_csv(index=False)}, target="sold"
    )


@pytest.fixture(scope="module")
def dataset(stored: Path) -> Dataset:
    return files.load(stored, "houses")


@pytest.fixture(scope="module")
def result(dataset: Dataset) -> TrainResult:
    return train(dataset, TabularMlpConfig(epochs=30))


@pytest.fixture(scope="module")
def saved(result: TrainResult, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    export.save_model(result, folder, dataset)
    return folder


def train(dataset: Dataset, config: TabularMlpConfig, metric: str = "roc_auc") -> TrainResult:
    return tabular_mlp.train(
        Part(dataset, np.arange(450)),
        Part(dataset, np.arange(450, 600)),
        config,
        lambda _step, _metrics: None,
        device="cpu",
        seed=0,
        objective=(metric, "maximize"),
    )


def expected(result: TrainResult, x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return result.network(torch.from_numpy(preprocessing.apply(result.preprocessing, x))).numpy()


def test_every_column_helps(dataset: Dataset, result: TrainResult) -> None:
    assert [column.kind for column in dataset.columns] == [
        *("number", "number", "category", "boolean", "boolean", "date", "number"),
    ]
    assert result.metrics["val/roc_auc"] > 0.85
    held = dataset.x[450:]
    whole = metrics.classification(dataset.y[450:], expected(result, held))["roc_auc"]
    for i, column in enumerate(dataset.columns):
        mixed = held.copy()
        mixed[:, i] = np.random.default_rng(i).permutation(held[:, i])
        assert metrics.classification(dataset.y[450:], expected(result, mixed))["roc_auc"] < whole - 0.003, column


def test_a_saved_model_predicts_the_raw_file_without_this_project(
    saved: Path, result: TrainResult, dataset: Dataset, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    houses(600).drop(columns="sold").to_csv(rows, index=False)
    printed = strangers.run(STRANGER, saved, rows, folder=tmp_path)

    found = np.array(json.loads(printed.splitlines()[-1]))
    assert found == pytest.approx(expected(result, dataset.x), rel=1e-5, abs=1e-5)


def test_a_saved_model_takes_what_training_never_saw(saved: Path, result: TrainResult) -> None:
    """An unknown town, a missing value where there was none, columns left out."""
    model = mlflow.pyfunc.load_model(str(saved))
    row = {"price": "$1,500.00", "rooms": 3, "town": "Aachen", "garden": None, "lift": True, "listed": "31.12.2030"}
    found = model.predict(pd.DataFrame([{**row, "area": np.nan}, {**row, "town": None, "area": 80.0}]))
    days = (pd.Timestamp("2030-12-31") - pd.Timestamp("1970-01-01")).days
    x = np.array([[1500, 3, -1, np.nan, 1, days, np.nan], [1500, 3, np.nan, np.nan, 1, days, 80]])

    assert found.to_numpy() == pytest.approx(expected(result, x), rel=1e-5, abs=1e-5)
    few = pd.DataFrame({"rooms": [3], "lift": [True]})
    x = np.array([[np.nan, 3, np.nan, np.nan, 1, np.nan, np.nan]])
    assert model.predict(few).to_numpy() == pytest.approx(expected(result, x), rel=1e-5, abs=1e-5)
    with pytest.raises(mlflow.MlflowException, match="lift"):
        model.predict(few.drop(columns="lift"))


def test_the_signature_has_the_types_of_the_file(saved: Path) -> None:
    inputs = mlflow.pyfunc.load_model(str(saved)).metadata.signature.inputs

    assert [(column.name, column.type.name, column.required) for column in inputs] == [
        ("price", "string", False),
        ("rooms", "long", True),
        ("town", "string", False),
        ("garden", "string", False),
        ("lift", "boolean", True),
        ("listed", "string", False),
        ("area", "double", False),
    ]


def test_the_input_example_is_made_up_and_can_be_predicted(saved: Path, dataset: Dataset) -> None:
    model = mlflow.pyfunc.load_model(str(saved))
    example = model.metadata.load_input_example(str(saved))

    assert len(model.predict(example)) == len(example) >= 2
    assert set(example["town"]) <= {"Bonn", "Köln", "Trier", "北京"}
    real = houses(600)
    assert not set(example["price"]) & set(real["price"])
    assert not set(example["area"]) & set(real["area"])


def test_nothing_of_the_rows_outside_the_training_part_is_in_the_preprocessing(dataset: Dataset) -> None:
    changed = Dataset(**{**vars(dataset), "x": dataset.x.copy()})
    changed.x[450:] = [1e9, 100, 3, 1, 1, 1e6, 1e9]
    first, second = (preprocessing.fit(Part(each, np.arange(450))) for each in (dataset, changed))

    assert first == second


@pytest.mark.parametrize(
    "values", [{"augmentation": "strong"}, {"depth": 0, "learning_rate": 0.03}, {"batch_norm": True}]
)
def test_every_augmentation_and_depth_goes_with_categories(dataset: Dataset, values: dict[str, Any]) -> None:
    assert train(dataset, TabularMlpConfig(epochs=30, **values)).metrics["val/roc_auc"] > 0.8


def test_augmentation_leaves_indices_whole_and_of_their_own_column() -> None:
    strengths = augmentation.TabularStrengths(noise_std=1.0, feature_dropout=0.3, mixup_alpha=1.0)
    augment = augmentation.of_rows(strengths, 2, torch.device("cpu"), 0)
    x = torch.cat([torch.randn(64, 2), torch.randint(1, 4, (64, 1)), torch.randint(10, 14, (64, 1))], dim=1)
    assert augment is not None
    mixed, _ = augment(x, torch.eye(2)[torch.arange(64) % 2])

    assert set(mixed[:, 2].tolist()) <= {0.0, 1.0, 2.0, 3.0}
    assert set(mixed[:, 3].tolist()) <= {0.0, 10.0, 11.0, 12.0, 13.0}
    assert (mixed[:, 3] != x[:, 3]).any()


def test_tables_of_categories_alone_are_learned(tmp_path: Path) -> None:
    rows = [f"{'ab'[i % 2]},{'xyz'[i % 3]},{'ab'[i % 2] + 'xyz'[i % 3]}" for i in range(600)]
    folder = store(tmp_path / "set", {"data.csv": "\n".join(["first,second,y", *rows])}, target="y")
    dataset = files.load(folder, "letters")
    result = train(dataset, TabularMlpConfig(epochs=20), "accuracy")

    assert result.metrics["val/accuracy"] == 1.0
    export.save_model(result, tmp_path / "model", dataset)
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    predicted = model.predict(pd.DataFrame({"second": ["z", "new"], "first": ["a", "b"]}))
    assert predicted.idxmax(axis=1)[0] == "az"


def test_a_missing_value_is_the_median_and_told(dataset: Dataset) -> None:
    x = np.array([[1.0], [3.0], [np.nan], [100.0]])
    columns = (Column("a", "number", missing=1),)
    made = Dataset("made", "tabular", "regression", x, np.arange(4.0), ("a",), (), "sha256:made", columns)
    fitted = preprocessing.fit(Part(made, np.arange(4)))
    applied = preprocessing.apply(fitted, x)

    assert fitted["columns"][0]["fill"] == 3.0
    assert applied[:, 1].tolist() == [0, 0, 1, 0]
    assert applied[2, 0] == applied[1, 0]


def test_a_frame_as_pandas_reads_the_file_fits_the_signature(tmp_path: Path) -> None:
    """Whatever type pandas makes of a column, the model takes it."""
    names = ("whole", "rare", "words", "decimal", "zip", "code", "flag", "bit", "day", "y")
    kinds = {"zip": "category", "code": "category", "bit": "boolean"}
    rows = [
        (
            i,
            "NA" if i == 3 else i % 9,
            "?" if i == 4 else i / 4,
            i / 8,
            100 + i % 3,
            f"0{i % 3}",
            i % 2 == 0,
            i % 2,
            f"2024-01-{i % 28 + 1:02}",
            f"{i}.5",
        )
        for i in range(60)
    ]
    content = "\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)])
    dataset = files.load(store(tmp_path / "set", {"data.csv": content}, target="y", columns=kinds), "types")
    result = tabular_mlp.train(
        Part(dataset, np.arange(50)),
        Part(dataset, np.arange(50, 60)),
        TabularMlpConfig(epochs=2),
        lambda *_: None,
        device="cpu",
        seed=0,
        objective=("loss", "minimize"),
    )
    export.save_model(result, tmp_path / "model", dataset)
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    frame = pd.read_csv(tmp_path / "set/data.csv", dtype={"code": str})
    found = model.predict(frame)

    assert [column.type.name for column in model.metadata.signature.inputs] == [
        *("long", "double", "string", "double", "long", "string", "boolean", "long", "string"),
    ]
    assert found["prediction"].to_numpy() == pytest.approx(expected(result, dataset.x), rel=1e-5)
    assert len(model.predict(model.metadata.load_input_example(str(tmp_path / "model")))) >= 2


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6)
MAYBE = {
    "count": st.integers(-(2**40), 2**40),
    "ratio": st.floats(-1e9, 1e9, allow_subnormal=False),
    "money": st.decimals(-(10**9), 10**9, places=2).map("${:,.2f}".format),
    "euros": st.integers(-(10**6), 10**6).map(lambda cents: f"{cents // 100},{cents % 100:02} €"),
    "town": WORDS,
    "flag": st.sampled_from(["yes", "No", "YES"]),
    "day": st.dates().map(lambda day: f"{day.day:02}.{day.month:02}.{day.year:04}"),
    "time": st.datetimes().map(lambda time: time.isoformat()),
}
KINDS = {
    "count": "number",
    "ratio": "number",
    "money": "number",
    "euros": "number",
    "town": "category",
    "flag": "boolean",
    "day": "date",
    "time": "date",
}
TABLES = st.lists(
    st.fixed_dictionaries({name: st.none() | cell for name, cell in MAYBE.items()}), min_size=4, max_size=12
)


@given(rows=TABLES, trained=st.integers(2, 4))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_the_model_reads_any_raw_frame_as_the_training_code_reads_its_file(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], trained: int
) -> None:
    frame = pd.DataFrame(rows, dtype=object)
    content = frame.assign(y=[f"{i}.5" for i in range(len(rows))]).to_csv(index=False)
    said = {name: kind for name, kind in KINDS.items() if frame[name].notna().any()}
    said |= {name: "ignore" for name in KINDS if name not in said}
    folder = store(tmp_path_factory.mktemp("any") / "set", {"data.csv": content}, target="y", columns=said)
    if set(said.values()) == {"ignore"}:
        return
    dataset = files.load(folder, "any")
    fitted = json.loads(json.dumps(preprocessing.fit(Part(dataset, np.arange(trained))), allow_nan=False))

    found = exported_model.preprocessed(fitted, frame)
    np.testing.assert_array_equal(found, preprocessing.apply(fitted, dataset.x))


TYPED = {
    "whole": st.integers(-(2**40), 2**40),
    "ratio": st.floats(-1e9, 1e9, allow_subnormal=False),
    "flag": st.booleans(),
    "day": st.dates(),
    "time": st.datetimes(),
    "town": WORDS,
    "code": st.integers(-3, 3),
    "lift": st.booleans(),
}
TYPED_KINDS = {
    "whole": "number",
    "ratio": "number",
    "flag": "boolean",
    "day": "date",
    "time": "date",
    "town": "category",
    "code": "category",
    "lift": "category",
}


@given(
    rows=st.lists(
        st.fixed_dictionaries({name: st.none() | cell for name, cell in TYPED.items()}), min_size=4, max_size=12
    ),
    trained=st.integers(2, 4),
)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_the_model_reads_any_typed_frame_as_the_training_code_reads_its_parquet_file(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], trained: int
) -> None:
    columns = {name: [row[name] for row in rows] for name in TYPED if any(row[name] is not None for row in rows)}
    if not columns:
        return
    kinds = {name: TYPED_KINDS[name] for name in columns}
    folder = store(tmp_path_factory.mktemp("any") / "set", {}, target="y", columns=kinds)
    table = pa.table({**columns, "y": [i + 0.5 for i in range(len(rows))]})
    parquet.write_table(table, folder / "data.parquet")
    dataset = files.load(folder, "any")
    fitted = json.loads(json.dumps(preprocessing.fit(Part(dataset, np.arange(trained))), allow_nan=False))

    found = exported_model.preprocessed(fitted, pd.read_parquet(folder / "data.parquet"))
    np.testing.assert_array_equal(found, preprocessing.apply(fitted, dataset.x))
