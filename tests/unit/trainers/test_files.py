"""Files that people have, read as they meant them."""

import io
import json
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainers.stored import lines, store
from trainers.data import files
from trainers.data.info import from_json, to_json

MIXED = lines(
    "price,town,built,garden,sold",
    '"$1,234.50",Bonn,31.12.2023,yes,no',
    '"$2,000.00",Köln,01.02.2024,no,yes',
    '-,"Köln ",02.02.2024,N/A,no',
    "$7.25,?,,yes,yes",
)


def read(tmp_path: Path, content: str | bytes, name: str = "data.csv", **source: Any) -> Any:
    folder = store(tmp_path / "set", {name: content}, **source)
    info, notes = files.examine(folder)
    return files.load(folder, "set"), info, notes


def test_a_table_of_mixed_columns_is_read_as_its_owner_meant_it(tmp_path: Path) -> None:
    dataset, info, notes = read(tmp_path, MIXED, target="sold")
    nan = np.nan

    assert [(column.name, column.kind, column.missing) for column in info.columns] == [
        ("price", "number", 1),
        ("town", "category", 1),
        ("built", "date", 1),
        ("garden", "boolean", 1),
    ]
    assert info.columns[1].categories == ("Bonn", "Köln")
    days = [(date(*day) - date(1970, 1, 1)).days for day in ((2023, 12, 31), (2024, 2, 1), (2024, 2, 2))]
    wanted = [
        [1234.5, 0, days[0], 1],
        [2000, 1, days[1], 0],
        [nan, 1, days[2], nan],
        [7.25, nan, nan, 1],
    ]
    np.testing.assert_array_equal(dataset.x, wanted)
    assert dataset.y.tolist() == [0, 1, 0, 1]
    assert (info.task, info.class_names, info.class_counts) == ("classification", ("no", "yes"), (2, 2))
    assert notes == []


def test_the_same_rows_have_the_same_digest_whatever_the_file(tmp_path: Path) -> None:
    frame = pd.read_csv(io.StringIO(MIXED))
    parquet = io.BytesIO()
    frame.to_parquet(parquet)
    variants = {
        "plain.csv": (MIXED, {}),
        "bom.csv": (b"\xef\xbb\xbf" + MIXED.encode(), {}),
        "windows.csv": (MIXED.replace("\n", "\r\n"), {}),
        "latin.csv": (MIXED.encode("latin-1"), {"encoding": "latin-1"}),
        "gbk.csv": (MIXED.replace("ö", "ü").encode("gbk"), {"encoding": "gbk"}),
        "utf16.csv": (MIXED.encode("utf-16"), {}),
        "semicolons.csv": (frame.to_csv(sep=";", index=False), {}),
        "tabs.tsv": (frame.to_csv(sep="\t", index=False), {}),
        "said.csv": (frame.to_csv(sep="%", index=False), {"delimiter": "%"}),
        "columns.parquet": (parquet.getvalue(), {}),
    }
    digests = {}
    for name, (content, source) in variants.items():
        folder = store(tmp_path / name, {f"data.{name.split('.')[1]}": content}, target="sold", **source)
        digests[name] = files.examine(folder)[0].digest

    other = digests.pop("gbk.csv")
    assert len(set(digests.values())) == 1
    assert other not in digests.values()


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (["1", "-2", "+3"], [1, -2, 3]),
        (["1.5", "2e3", ".25"], [1.5, 2000, 0.25]),
        (["1,234,567", "12", "1.5"], [1234567, 12, 1.5]),
        (["1.234,50 €", "-12,5 €", "7 €"], [1234.5, -12.5, 7]),
        (["EUR 1'234.50", "5 USD", "-£3"], [1234.5, 5, -3]),
        (["1\u00a0234,5", "1\u202f000", "2"], [1234.5, 1000, 2]),
        (["12.5%", "3 %", "NA"], [12.5, 3, np.nan]),
        (["¥1,000", "n/a", "?"], [1000, np.nan, np.nan]),
    ],
)
def test_numbers_are_read_in_every_usual_form(tmp_path: Path, cells: list[str], wanted: list[float]) -> None:
    rows = [f'"{cell}",{i / 4}' for i, cell in enumerate(cells)]
    dataset, info, _ = read(tmp_path, lines("a,y", *rows), target="y")

    assert info.columns[0].kind == "number"
    np.testing.assert_array_equal(dataset.x[:, 0], wanted)


def test_a_file_with_semicolons_may_have_decimal_commas(tmp_path: Path) -> None:
    dataset, _, _ = read(tmp_path, lines("a;b;y", "1,234;1.5;0,5", "2,5;2.5;1,5", "0,1;3.5;2"), target="y")

    assert dataset.x.tolist() == [[1.234, 1.5], [2.5, 2.5], [0.1, 3.5]]
    assert dataset.y.tolist() == [0.5, 1.5, 2.0]


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (["2024-01-31", "1999-12-01"], ["2024-01-31", "1999-12-01"]),
        (["2024-01-31T12:00:00Z", "2024-01-31 12:00:00+02:00"], ["2024-01-31T12:00", "2024-01-31T10:00"]),
        (["31.01.2024", "1.2.2024"], ["2024-01-31", "2024-02-01"]),
        (["31/01/2024", "01/02/2024"], ["2024-01-31", "2024-02-01"]),
        (["01/31/2024 18:30", "2/1/2024 06:00"], ["2024-01-31T18:30", "2024-02-01T06:00"]),
        (["31 Jan 2024", "1 Feb 2024"], ["2024-01-31", "2024-02-01"]),
        (["2024年1月31日", "2024年2月1日"], ["2024-01-31", "2024-02-01"]),
        (["31.01.24", "01.02.24"], ["2024-01-31", "2024-02-01"]),
    ],
)
def test_dates_are_read_in_every_usual_form(tmp_path: Path, cells: list[str], wanted: list[str]) -> None:
    dataset, info, notes = read(
        tmp_path, lines("a,y", *(f"{cell},{i / 4}" for i, cell in enumerate(cells))), target="y"
    )

    assert info.columns[0].kind == "date"
    assert notes == []
    assert dataset.x[:, 0] == pytest.approx(np.array(wanted, "datetime64[s]").astype(int) / 86400)


def test_dates_that_can_be_read_two_ways_are_noted(tmp_path: Path) -> None:
    _, info, notes = read(tmp_path, lines("a,y", "01/02/2024,0.5", "03/04/2024,1.5"), target="y")

    assert info.columns[0].format == "%m/%d/%Y"
    assert notes == ["a is read as %m/%d/%Y, and could be %d/%m/%Y: write dates as 2024-12-31 to be sure"]


@pytest.mark.parametrize("words", [("true", "false"), ("YES", "no"), ("T", "F"), ("oui", "non"), ("是", "否")])
def test_words_for_yes_and_no_are_booleans_and_yes_is_the_second_class(tmp_path: Path, words: tuple[str, str]) -> None:
    yes, no = words
    dataset, info, _ = read(tmp_path, lines("a,y", *[f"{yes},{yes}", f"{no},{no}"] * 3), target="y")

    assert info.columns[0].kind == "boolean"
    assert dataset.x[:, 0].tolist() == [1, 0] * 3
    assert info.class_names == (no, yes)


def test_what_cannot_help_is_ignored_and_noted(tmp_path: Path) -> None:
    rows = [f"{i},{i + 100},same,,free text number {i},{i % 7}.5,{i % 2}" for i in range(30)]
    _, info, notes = read(tmp_path, lines(",customer_id,constant,empty,comment,kept,y", *rows), target="y")

    assert info.feature_names == ("kept",)
    assert notes == [
        "integer target: classification, 2 classes; say task: regression to change it",
        "Unnamed: 0 is ignored: it numbers the rows; say columns: {Unnamed: 0: …} to use it",
        "customer_id is ignored: it numbers the rows; say columns: {customer_id: …} to use it",
        "constant is ignored: it is same in every row; say columns: {constant: …} to use it",
        "empty is ignored: it has no value; say columns: {empty: …} to use it",
        "comment is ignored: free text, 30 different values in 30 rows; say columns: {comment: category} to use it",
    ]


def test_kinds_may_be_said(tmp_path: Path) -> None:
    rows = [f"{i},0{i % 3},{['M', 'F'][i % 2]},{i % 2},{i % 5}" for i in range(30)]
    said = {"id": "number", "zip": "category", "sex": "boolean", "code": "ignore"}
    dataset, info, _ = read(tmp_path, lines("id,zip,sex,code,y", *rows), target="y", task="regression", columns=said)

    assert [(column.name, column.kind) for column in info.columns] == [
        ("id", "number"),
        ("zip", "category"),
        ("sex", "boolean"),
    ]
    assert info.columns[1].categories == ("00", "01", "02")
    assert dataset.x[:2].tolist() == [[0, 0, 1], [1, 1, 0]]
    assert info.task == "regression"


def test_the_rarest_of_too_many_categories_are_one(tmp_path: Path) -> None:
    names = [f"c{i:04}" for i in range(1100)]
    rows = [f"{name},{i % 2}" for i, name in enumerate([*names, *names[100:], *names[100:]])]
    dataset, info, notes = read(tmp_path, lines("a,y", *rows), target="y")

    assert info.columns[0].categories == tuple(names[100:])
    assert (dataset.x[:100, 0] == -1).all()
    assert dataset.x[100:102, 0].tolist() == [0, 1]
    assert "a has 1100 different values: the 1000 most frequent are told apart" in notes


@pytest.mark.parametrize(
    ("targets", "task", "class_names"),
    [
        (["3", "10", "7"] * 5, "classification", ("3", "7", "10")),
        (["1.0", "0.0"] * 5, "classification", ("0", "1")),
        ([str(i) for i in range(15)], "regression", ()),
        ([str(i + 0.5) for i in range(3)] * 5, "regression", ()),
        (["setosa", "none", "-"] * 5, "classification", ("-", "none", "setosa")),
        (["$1,500", "$2,000", "$900.5"] * 5, "regression", ()),
    ],
)
def test_the_task_is_found_by_the_target(
    tmp_path: Path, targets: list[str], task: str, class_names: tuple[str, ...]
) -> None:
    rows = [f'{i % 7}.5,"{target}"' for i, target in enumerate(targets)]
    dataset, info, _ = read(tmp_path, lines("a,y", *rows), target="y")

    assert (info.task, info.class_names) == (task, class_names)
    assert dataset.y.dtype == (np.int64 if task == "classification" else np.float64)


def test_a_task_that_is_said_decides(tmp_path: Path) -> None:
    content = lines("a,y", *(f"{i % 7}.5,{i % 3}" for i in range(30)))
    _, found, notes = read(tmp_path / "1", content, target="y")
    _, said, none = read(tmp_path / "2", content, target="y", task="regression")

    assert (found.task, said.task) == ("classification", "regression")
    assert notes == ["integer target: classification, 3 classes; say task: regression to change it"]
    assert none == []


def test_cells_may_hold_line_breaks_and_delimiters(tmp_path: Path) -> None:
    rows = [f'"one, two\nthree {i % 2}",{i % 7}.5,{i % 2}' for i in range(10)]
    dataset, info, _ = read(tmp_path, lines("a,b,y", *rows), target="y")

    assert info.columns[0].categories == ("one, two\nthree 0", "one, two\nthree 1")
    assert len(dataset.y) == 10


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, 2, None, 4] * 3, dtype="Int64"),
            "half": np.float32([0.5, 1.5, 2.5, np.nan] * 3),
            "money": [Decimal("1.50"), Decimal("2.25"), None, Decimal(1)] * 3,
            "flag": pd.array([True, False, None, True] * 3, dtype="boolean"),
            "day": [date(2024, 1, 1), None, date(2024, 1, 3), date(2024, 1, 4)] * 3,
            "time": pd.to_datetime(["2024-01-01 12:00", None, "2024-01-03 00:00", "2024-01-04 00:00"] * 3, utc=True),
            "town": pd.Categorical(["Bonn", "Köln", None, "Bonn"] * 3),
            "y": ["a", "b", "a", "b"] * 3,
        }
    )
    folder = tmp_path / "set"
    store(folder, {}, target="y")
    frame.to_parquet(folder / "data.parquet")
    info, _ = files.examine(folder)
    dataset = files.load(folder, "set")

    kinds = ["number", "number", "number", "boolean", "date", "date", "category"]
    assert [column.kind for column in info.columns] == kinds
    assert [column.missing for column in info.columns] == [3] * 7
    np.testing.assert_array_equal(dataset.x[0], [1, 0.5, 1.5, 1, 19723, 19723.5, 0])
    np.testing.assert_array_equal(dataset.x[1], [2, 1.5, 2.25, 0, np.nan, np.nan, 1])


def test_what_was_accepted_stands_when_the_set_is_loaded(tmp_path: Path) -> None:
    folder = store(tmp_path / "set", {"data.csv": MIXED}, target="sold")
    info, _ = files.examine(folder)
    accepted = {**to_json(info), "class_names": ["yes", "no"], "feature_names": ["garden"]}
    accepted["columns"] = [column for column in accepted["columns"] if column["name"] == "garden"]
    (folder / "about.json").write_text(json.dumps(accepted))
    dataset = files.load(folder, "set")

    assert dataset.y.tolist() == [1, 0, 1, 0]
    assert dataset.feature_names == ("garden",)
    np.testing.assert_array_equal(dataset.x[:, 0], [1, 0, np.nan, 1])


def test_parts_may_be_files(tmp_path: Path) -> None:
    table = lines("a,y", *(f"{i}.5,{i % 2}" for i in range(10)))
    folder = store(tmp_path / "set", {f"{part}.csv": table for part in ("test", "train")}, target="y")
    info, _ = files.examine(folder)
    dataset = files.load(folder, "set")

    assert (info.rows, info.parts, info.class_counts) == (20, {"train": 10, "test": 10}, (5, 5))
    assert {part: rows.tolist() for part, rows in dataset.part_rows.items()} == {
        "train": list(range(10)),
        "test": list(range(10, 20)),
    }


def test_parts_may_be_told_by_a_column(tmp_path: Path) -> None:
    rows = [f"{i}.5,{i % 2},{['Train', 'train', 'train', 'test', 'test'][i % 5]}" for i in range(20)]
    dataset, info, _ = read(tmp_path, lines("a,y,part", *rows), target="y", split_column="part")

    assert info.feature_names == ("a",)
    assert info.parts == {"train": 12, "test": 8}
    assert dataset.part_rows["test"].tolist() == [3, 4, 8, 9, 13, 14, 18, 19]


@pytest.mark.parametrize("shape", [(20, 5, 4), (20, 5, 4, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_images_are_read_out_of_npz(tmp_path: Path, shape: tuple[int, ...], dtype: Any) -> None:
    x = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    y = np.array(["cat", "dog"])[np.arange(20) % 2]
    folder = store(tmp_path / "set", {"data.npz": {"x": x, "y": y}})
    info, _ = files.examine(folder)
    dataset = files.load(folder, "set")

    assert (info.kind, info.task, info.shape, info.class_names) == (
        "image",
        "classification",
        shape[1:],
        ("cat", "dog"),
    )
    assert dataset.x.dtype == (np.float64 if dtype is np.int64 else dtype)
    assert (dataset.x == x).all()
    assert dataset.y.tolist() == [0, 1] * 10


def test_rows_of_numbers_are_read_out_of_npz(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(20, 3))
    x[3, 1] = np.nan
    folder = store(tmp_path / "set", {"train.npz": {"x": x, "y": x[:, :1] * 2}, "test.npz": {"x": x, "y": x[:, 0]}})
    info, _ = files.examine(folder)

    assert (info.kind, info.task, info.feature_names) == ("tabular", "regression", ("x0", "x1", "x2"))
    assert [column.missing for column in info.columns] == [0, 2, 0]
    np.testing.assert_array_equal(files.load(folder, "set").x, np.concatenate([x, x]))


@pytest.mark.parametrize("wrong", [True, False])
def test_inspection_in_a_process_of_its_own_says_one_json(tmp_path: Path, *, wrong: bool) -> None:
    folder = store(tmp_path / "set", {"data.csv": MIXED}, target="town" if wrong else "sold")
    command = [sys.executable, "-m", "trainers.data.inspect", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    said = json.loads(ran.stdout)

    if wrong:
        detail = "there is no target (1 rows have none): give one, or leave the row out"
        assert said == {"faults": [{"file": "data.csv", "row": 5, "column": "town", "detail": detail}]}
    else:
        assert from_json(said["info"]) == files.examine(folder)[0]
        assert said["notes"] == []


def test_inspection_loads_no_torch() -> None:
    program = "import sys, trainers.data.inspect; print({'torch', 'sklearn', 'mlflow', 'scipy'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert ran.stdout.strip() == "set()"
