"""Files that cannot be used: refused by file, row and column, with a cure."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainers.stored import lines, store
from trainers.data import files
from trainers.data.faults import Fault, FaultsError

GOOD = lines("a,y", *(f"{i}.5,{i % 2}" for i in range(10)))
NUMBERS = [f"{i}.5,{i % 2}" for i in range(30)]


def refused(tmp_path: Path, content: Any, name: str = "data.csv", **source: Any) -> list[Fault]:
    folder = store(tmp_path / "set", {name: content}, **{"target": "y", **source})
    with pytest.raises(FaultsError) as error:
        files.examine(folder)
    return list(error.value.faults)


@pytest.mark.parametrize(
    ("content", "row", "column", "detail"),
    [
        ("", None, None, "the file is empty: give a header and rows"),
        ("\n \n", None, None, "the file is empty: give a header and rows"),
        ("a,y\n", None, None, "there is a header and no row: give rows"),
        ("a,b,y\n1,2,3\n1,2\n", 3, None, "2 cells, and the header has 3: give it all of them, or look for a quote"),
        ('a,b,y\n1,"2\n3",3\n\n1,2,3,4\n', 5, None, "4 cells, and the header has 3: quote cells that hold ','"),
        ("a,a,y\n1,2,3\n", 1, "a", "two columns have this name: rename one"),
        ("a,b\n1,2\n", None, "y", "there is no column 'y' to be the target: there are a, b"),
        ("a,y\n1,0\n2,0\n", None, "y", "every row is of the class 0: there is nothing to learn, choose another target"),
        ("a,y\n1,x\n2,z\n3,x\n", 3, "y", "the class 'z' has one row, and needs two: leave it out, or give more"),
        ("a,y\n1,0.5\n2,\n3,NA\n", 3, "y", "there is no target (2 rows have none): give one, or leave the row out"),
        (
            "a,y\n1,0.5\n-inf,1.5\n",
            3,
            "a",
            "a value that is infinite or beyond 1e+30: give a smaller one, or leave the ",
        ),
        (
            "a,y\n1,0.5\n2,inf\n3,2\n",
            3,
            "y",
            "inf is infinite or beyond 1e+30: give a smaller number, or leave the row out",
        ),
        ("a,y\n1,0.5\n2,0.5\n", None, "y", "every target is 0.5: there is nothing to learn, choose another target"),
        (
            "a,y\n1,0.5\n2,-1e99\n3,2\n",
            3,
            "y",
            "-1e99 is infinite or beyond 1e+30: give a smaller number, or leave the ",
        ),
        (lines("y", "1", "0", "1", "0"), None, None, "there is no column to predict from: give one beside the target"),
        (
            lines("a,y", *NUMBERS, "oops,1"),
            32,
            "a",
            "'oops' is no number, and nearly all others here are: mend it, or ",
        ),
        (lines("a,y", *(f"{i}.5,n{i}" for i in range(30))), None, "y", "30 classes in 30 rows are too many"),
        ("a,y\n1,\0\n", 2, None, "there is a NUL character: save it as a text file in UTF-8"),
        (b"PK\x03\x04....", None, None, "this is an Excel or zip file: unpack it, or save the table as CSV in UTF-8"),
        (
            "a,y\nMüller,1\n".encode("latin-1"),
            2,
            None,
            "it is not utf-8 here: say encoding: latin-1, or save it as UTF-8",
        ),
        ("a,y\nMüller \u20ac,1\n".encode("cp1252"), 2, None, "it is not utf-8 here: say encoding: cp1252, or save"),
        ("a,y\n1,2\n上海,1\n".encode("gbk"), 3, None, "it is not utf-8 here: say encoding: gbk, or save it as UTF-8"),
    ],
)
def test_a_fault_is_told_by_row_and_column_with_its_cure(
    tmp_path: Path, content: str | bytes, row: int | None, column: str | None, detail: str
) -> None:
    fault = refused(tmp_path, content)[0]

    assert (fault.file, fault.row, fault.column) == ("data.csv", row, column)
    assert fault.detail.startswith(detail)


@pytest.mark.parametrize(
    ("source", "column", "detail"),
    [
        ({"target": None}, None, "say target, the column to predict: there are a, y"),
        ({"encoding": "klingon"}, None, "there is no encoding 'klingon': say utf-8, latin-1, cp1252, gbk or another"),
        (
            {"task": "clustering"},
            None,
            "task is 'clustering': use classification or regression or recommendation or structured or language, or leave",
        ),
        (
            {"columns": {"a": "text"}},
            None,
            "the kind of column 'a' is 'text': use one of number, category, boolean, date",
        ),
        ({"columns": {"b": "number"}}, "b", "there is no such column, as source.json says: there are a, y"),
        ({"columns": {"a": "date"}}, "a", "'0.5' is no date, as a is said to be"),
        ({"columns": {"a": "boolean"}}, "a", "it has 10 different values, and a boolean has two: say category"),
        ({"split_column": "part"}, "part", "there is no such column"),
        ({"split_column": "a"}, "a", "'0.5' is no part: write train, validation or test"),
        ({"colour": "red"}, None, "'colour' is unknown: use target, task, encoding, delimiter, columns, split_column"),
    ],
)
def test_what_its_owner_says_of_it_is_checked(
    tmp_path: Path, source: dict[str, Any], column: str | None, detail: str
) -> None:
    fault = refused(tmp_path, GOOD, **source)[0]

    assert fault.column == column
    assert fault.detail.startswith(detail)


def test_a_number_column_with_texts_is_told_by_each_row(tmp_path: Path) -> None:
    faults = refused(tmp_path, "a,y\n1,0.5\nx,1.5\n,2.5\nz,3.5\n", columns={"a": "number"})

    assert [(fault.row, fault.column) for fault in faults] == [(3, "a"), (5, "a")]


def test_faults_of_several_columns_are_told_at_once_but_not_without_end(tmp_path: Path) -> None:
    rows = [f"{i},{i},0.{i}" for i in range(100, 200)]
    faults = refused(tmp_path, lines("a,b,y", *rows, "inf,1,0.5", "2,inf,0.5", *["inf,inf,0.5"] * 100))

    assert len(faults) == 20
    assert {fault.column for fault in faults} >= {"a"}


def test_a_fault_in_a_part_is_told_by_its_file_and_line(tmp_path: Path) -> None:
    folder = store(tmp_path / "set", {"train.csv": GOOD, "test.csv": GOOD.replace("3.5", "inf")}, target="y")
    with pytest.raises(FaultsError) as error:
        files.examine(folder)

    assert [(fault.file, fault.row, fault.column) for fault in error.value.faults] == [("test.csv", 5, "a")]


@pytest.mark.parametrize(
    ("names", "detail"),
    [
        ({"train.csv": GOOD, "test.csv": GOOD.replace("a,y", "b,y")}, "only it or only train.csv has 'a', 'b'"),
        ({"train.csv": GOOD, "test.tsv": GOOD}, "give files of one format, one file for each part"),
        ({"data.csv": GOOD, "data.tsv": GOOD}, "give files of one format, one file for each part"),
        ({"test.csv": GOOD}, "give data.EXT, or train.EXT with"),
        ({"table.xlsx": GOOD}, "give data.EXT, or train.EXT with"),
        ({"data.parquet": GOOD}, "it is no Parquet file"),
        ({"data.npz": b"PK\x03\x04 broken"}, "it is no npz file"),
        ({"data.npz": b""}, "it is no npz file"),
        (
            {"train.csv": lines("a,y", *["1.5,u", "2,v", "3,u", "4,v"]), "test.csv": lines("a,y", "3,w", "4,w")},
            "the class 'w' has no row of the training part, and needs two: leave it out, or give more",
        ),
    ],
)
def test_files_that_do_not_go_together_are_refused(tmp_path: Path, names: dict[str, Any], detail: str) -> None:
    folder = store(tmp_path / "set", names, target="y")
    with pytest.raises(FaultsError) as error:
        files.examine(folder)

    assert error.value.faults[0].detail.startswith(detail)


X = np.zeros((6, 4, 4), np.uint8)
Y = np.arange(6) % 2


@pytest.mark.parametrize(
    ("arrays", "column", "detail"),
    [
        ({"x": X}, "y", "the file has x: save it by np.savez with x and y"),
        ({"x": X, "y": Y[:5]}, "y", "x has the shape (6, 4, 4) and y (5,): give one y for each row of x"),
        ({"x": X[0, 0], "y": Y[:4]}, "x", "x has the shape (4,): give (rows, height, width)"),
        ({"x": X[:0], "y": Y[:0]}, "x", "x has the shape (0, 4, 4), without a value: give rows"),
        (
            {"x": np.zeros((6, 3, 8, 8)), "y": Y},
            "x",
            "images of the shape (3, 8, 8) have 8 channels: move the channels",
        ),
        ({"x": np.array([["a"]] * 6), "y": Y}, "x", "x holds <U1: give numbers"),
        ({"x": X * np.nan, "y": Y}, "x", "x[0] has a pixel that is NaN or infinite"),
        ({"x": X, "y": Y * 1j}, "y", "y holds complex128: give numbers or text"),
        ({"x": X, "y": Y * np.nan}, "y", "there is no target (6 rows have none)"),
        ({"x": X, "y": Y * 0}, "y", "every row is of the class 0"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], column: str, detail: str
) -> None:
    fault = refused(tmp_path, arrays, "data.npz")[0]

    assert (fault.file, fault.column) == ("data.npz", column)
    assert fault.detail.startswith(detail)


class Dangerous:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("it was unpickled",))


@pytest.mark.parametrize("name", ["x", "y"])
def test_objects_are_refused_and_not_unpickled(tmp_path: Path, name: str) -> None:
    objects = np.empty(6, object)
    objects[:] = [Dangerous() for _ in range(6)]
    fault = refused(tmp_path, {"x": X, "y": Y, name: objects}, "data.npz")[0]

    assert (fault.column, fault.detail) == (
        name,
        "it holds Python objects, which are not unpickled: save it as an array of numbers or text",
    )


def test_a_truncated_npz_is_refused(tmp_path: Path) -> None:
    whole = io.BytesIO()
    np.savez(whole, x=X, y=Y)
    broken = io.BytesIO()
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(broken, "w") as other:
        for name in archive.namelist():
            other.writestr(name, archive.read(name)[:100])

    assert refused(tmp_path, broken.getvalue(), "data.npz")[0].file == "data.npz"


def test_a_parquet_column_that_is_no_value_is_refused_unless_it_is_ignored(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.5, 2.5, 3.0] * 4, "list": [[1], [2], [3]] * 4, "y": ["u", "v", "u"] * 4})
    content = io.BytesIO()
    frame.to_parquet(content)
    fault = refused(tmp_path / "1", content.getvalue(), "data.parquet")[0]

    assert (fault.column, fault.detail[:37]) == ("list", "cells of type list<element: int64> ar")
    folder = store(tmp_path / "2", {"data.parquet": content.getvalue()}, target="y", columns={"list": "ignore"})
    assert files.examine(folder)[0].feature_names == ("a",)
