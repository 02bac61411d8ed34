"""Files as clumsy and hostile people have them: each is read, or refused in a few words; none is a crash."""

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.lib import format as npy
from pyarrow import parquet

from tests.unit.trainers.stored import lines, store
from trainers.data import files, inspect
from trainers.data.faults import Fault, FaultsError

NUMBERS = [f"{i}.5,{i % 2}" for i in range(30)]


def refused(tmp_path: Path, content: Any, name: str = "data.csv", **source: Any) -> list[Fault]:
    folder = store(tmp_path / "set", {name: content}, **{"target": "y", **source})
    with pytest.raises(FaultsError) as error:
        files.examine(folder)
    assert len(json.dumps([vars(fault) for fault in error.value.faults])) < 20_000
    return list(error.value.faults)


def npz(**members: bytes) -> bytes:
    """An archive with members as they are given, which need not be arrays."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return made.getvalue()


def array(values: Any) -> bytes:
    made = io.BytesIO()
    npy.write_array(made, np.asarray(values), allow_pickle=False)
    return made.getvalue()


def claiming(header: str) -> bytes:
    """An array of whose header nothing but its length is right."""
    text = header.encode().ljust(118) + b"\n"
    return npy.magic(1, 0) + len(text).to_bytes(2, "little") + text


# ---- much of something -----------------------------------------------------------------------------------------------

LONG = "x" * 100_000


@pytest.mark.parametrize(
    ("content", "source"),
    [
        (lines("a,y", *NUMBERS, f"{LONG},1"), {}),
        (lines("a,y", *(f"{i}.5,{LONG}" for i in range(30))), {}),
        (lines("a,y", *(f"{i}.5,{LONG}{i % 2}" for i in range(30))), {}),
        (lines("a,y", *(f"{i}.5,{LONG}{i % 2}" for i in range(30))), {"task": "regression"}),
        (lines("a,y", f"1,{LONG}", "2,b", "3,b"), {}),
        (lines("a,y", *(f"{i}{LONG},{i}" for i in range(30))), {"columns": {"a": "number"}}),
        (lines("a,y", *(f"{LONG}{i},{i}" for i in range(30))), {"columns": {"a": "date"}}),
        (lines("a,y", *(f"{LONG}{i % 2},{i}" for i in range(30))), {"columns": {"a": "boolean"}}),
        (lines(f"{LONG},y", *NUMBERS), {}),
        (lines("a,y", *NUMBERS), {"columns": {LONG: "text"}}),
        (lines("a,y", *NUMBERS), {LONG: 1}),
        (lines("a,y", *NUMBERS), {"delimiter": LONG}),
        (lines("a,y", *(f"{LONG},{i}" for i in range(30))), {"split_column": "a"}),
        (lines("a,y", *NUMBERS), {"split_column": LONG}),
    ],
)
def test_long_cells_and_names_are_told_in_short(tmp_path: Path, content: str, source: dict[str, Any]) -> None:
    for fault in refused(tmp_path, content, **source):
        assert len(fault.detail) < 500


def test_thousands_of_columns_are_read_and_faults_of_them_told_in_short(tmp_path: Path) -> None:
    names = [f"column {i}" for i in range(5_000)]
    rows = [",".join([*(f"{i * j % 97}.5" for j in range(5_000)), str(i)]) for i in range(12)]
    content = lines(",".join([*names, "y"]), *rows)
    folder = store(tmp_path / "good", {"data.csv": content}, target="y")

    assert len(files.examine(folder)[0].columns) == 4_948  # every 97th is 0.5 in every row
    fault = refused(tmp_path / "1", content, target="z")[0]
    assert fault.detail.endswith("column 18, column 19 and 4981 more")
    faults = refused(tmp_path / "2", content.replace("\n", "\n" + ",".join(["inf"] * 5_000) + ",3\n", 1))
    assert len(faults) == 20


def test_notes_come_to_an_end(tmp_path: Path) -> None:
    names = ",".join(f"c{i}" for i in range(500))
    content = lines(f"{names},a,y", *(",".join(["same"] * 500) + f",{row}" for row in NUMBERS))
    notes = files.examine(store(tmp_path / "set", {"data.csv": content}, target="y"))[1]

    assert len(notes) == 101
    assert notes[-1].startswith("and ")


def test_long_values_of_a_category_are_not_told_apart(tmp_path: Path) -> None:
    content = lines("a,b,y", *(f"{['u', 'v', LONG, LONG + '2'][i % 4]},{i},{i % 2}" for i in range(80)))
    info, notes = files.examine(store(tmp_path / "set", {"data.csv": content}, target="y"))

    assert info.columns[0].categories == ("u", "v")
    assert "a has 2 values of more than 1000 characters: they are not told apart" in notes
    assert np.isin(files.load(tmp_path / "set", "d").x[:, 0], [0, 1, -1]).all()


def test_what_is_to_be_kept_is_bounded(tmp_path: Path) -> None:
    words = [f"{i:0900}" for i in range(500)]
    rows = [",".join([*(f"w{words[(i + j) % 500]}" for j in range(25)), str(i % 2)]) for i in range(1_200)]
    content = lines(",".join([*(f"c{j}" for j in range(25)), "y"]), *rows)
    folder = store(tmp_path / "set", {"data.csv": content}, target="y")

    answer = json.loads(inspect.bounded(inspect.inspect(folder)))

    assert "takes 11 MB, and 8 MB are allowed: leave columns out" in answer["faults"][0]["detail"]


def test_lines_are_found_in_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many faults a file has, and in whatever order its columns tell them."""
    readers: list[object] = []
    reader = csv.reader
    monkeypatch.setattr(csv, "reader", lambda *given, **options: readers.append(1) or reader(*given, **options))
    rows = [f'{i}.5,{i}.5,"0.{i}\n"' for i in range(100, 150)]
    faults = refused(tmp_path, lines("a,b,y", *rows, "inf,1,0.5", "2,inf,0.5", "1,1,0.5", "inf,2,0.5"))

    assert [(fault.row, fault.column) for fault in faults] == [(102, "a"), (105, "a"), (103, "b")]
    assert len(readers) == 4 + 1 + 1, (
        "for each delimiter that is tried on the first lines, for the header, for all lines"
    )


# ---- text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (lines(",a,y", *(f"{i % 7},{row}" for i, row in enumerate(NUMBERS))), ("Unnamed: 0", "a")),
        (lines(" a , y", *NUMBERS), ("a",)),
        (lines("\n\na,y", *NUMBERS), ("a",)),
        (lines("a,y", *NUMBERS).replace("\n", "\r\n"), ("a",)),
        (lines("a,y", *NUMBERS).replace("\n", "\r"), ("a",)),
        (lines("a,y", *NUMBERS[:10]) + "\r\n".join(NUMBERS[10:20]) + "\r" + "\r".join(NUMBERS[20:]), ("a",)),
        (lines("a,y", *NUMBERS).encode("utf-16"), ("a",)),
        (b"\xfe\xff" + lines("a,y", *NUMBERS).encode("utf-16-be"), ("a",)),
        (b"\xef\xbb\xbf" + lines("a,y", *NUMBERS).encode(), ("a",)),
        (lines("a,y", *NUMBERS) + "\n\n\n", ("a",)),
        (lines("a,y", *NUMBERS).rstrip(), ("a",)),
        (lines("a\ty", *NUMBERS).replace(",", "\t"), ("a",)),
        (lines('"a\nb",y', *NUMBERS), ("a\nb",)),
    ],
)
def test_odd_text_files_are_read(tmp_path: Path, content: str | bytes, names: tuple[str, ...]) -> None:
    info, _ = files.examine(store(tmp_path / "set", {"data.csv": content}, target="y"))

    assert (info.rows, info.feature_names) == (30, names)


@pytest.mark.parametrize(
    ("content", "source", "detail"),
    [
        ("y\n1\n2\n1\n2\n", {}, "there is no column to predict from"),
        ("just a line of prose", {"target": "y"}, "there is a header and no row"),
        (lines("a,y", *NUMBERS, '"open,1'), {}, "quote"),
        ('"a,y\n' + "\n".join(NUMBERS), {}, "quote"),
        ('"' + "a,y\n" * 5_000_000, {}, "look for a quote that is not closed"),
        (lines("a,y", *NUMBERS, '"' + "1,1\n" * 5_000_000), {}, "look for a quote that is not closed"),
        (lines("a,y", *NUMBERS).encode("utf-16")[:-1], {}, "it is not utf-16 here"),
        (lines("a,y", *NUMBERS).encode("utf-16-le"), {}, "there is a NUL character"),
        (lines("a,y", *NUMBERS).encode("utf-32"), {}, "there is a NUL character"),
        (b"\x1f\x8b" + b"0" * 1000, {}, "this is a gzip file"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 1000, {}, "it is not utf-8 here"),
        (bytes(range(256)) * 50, {}, "it is not utf-8 here"),
        (lines("a,y", *NUMBERS), {"delimiter": "、"}, "delimiter is '、': use one ASCII character"),
        (lines("a,y", *NUMBERS), {"delimiter": ""}, "delimiter is ''"),
        (lines("a,y", *NUMBERS), {"delimiter": "\\t"}, "delimiter is"),
        (lines("a,y", *NUMBERS), {"encoding": "hex"}, "there is no encoding 'hex'"),
        (lines("a,y", *NUMBERS), {"encoding": "undefined"}, "it is not undefined here"),
        (lines("a,y", *NUMBERS, r"\ud800,1"), {"encoding": "unicode_escape"}, "half a character"),
        (lines("part,a,y", *(f",{row}" for row in NUMBERS)), {"split_column": "part"}, "'' is no part"),
        ("<html><body>\n<p>not found</p>\n</body></html>\n", {}, "there is no column 'y' to be the target"),
        ('[{"a": 1, "y": 2}]\n[{"a": 3, "y": 4}]\n', {}, "there is no column 'y' to be the target"),
    ],
)
def test_what_is_no_table_is_refused_with_the_cure(
    tmp_path: Path, content: str | bytes, source: dict[str, Any], detail: str
) -> None:
    assert detail in refused(tmp_path, content, **source)[0].detail


# ---- Parquet ---------------------------------------------------------------------------------------------------------


def stored_parquet(table: pa.Table) -> bytes:
    made = io.BytesIO()
    parquet.write_table(table, made)
    return made.getvalue()


Y = pa.array([0, 1] * 20)


@pytest.mark.parametrize(
    ("table", "detail"),
    [
        (pa.table({"a": pa.array([], pa.int64()), "y": pa.array([], pa.int64())}), "there is a header and no row"),
        (pa.table({}), "there is a header and no row"),
        (pa.table({"a": [{"b": 1}] * 40, "y": Y}), "cells of type struct<b: int64> are not read"),
        (pa.table({"a": [[1]] * 40, "y": Y}), "cells of type list<element: int64> are not read"),
        (pa.table({"a": [b"\xff"] * 40, "y": Y}), "cells of type binary are not read"),
        (pa.table({"a": pa.array([1] * 40, pa.time64("us")), "y": Y}), "cells of type time64[us] are not read"),
        (pa.table({"a": pa.array([1] * 40, pa.duration("us")), "y": Y}), "cells of type duration[us] are not read"),
        (pa.table([[*range(40)], [*range(40)], Y], names=["a", "a", "y"]), "two columns have this name"),
        (pa.table([[*range(40)], [*range(40)], Y], names=["a", " a ", "y"]), "two columns have this name"),
        (pa.table({"a": range(40), "y": pa.nulls(40)}), "there is no target (40 rows have none)"),
        (pa.table({"a": pa.nulls(40), "y": Y}), "there is no column to predict from"),
        (
            pa.table({"a": pa.StructArray.from_arrays([Y] * 3_000, [f"field {i}" for i in range(3_000)]), "y": Y}),
            "cells of type struct<field 0: int64",
        ),
    ],
)
def test_odd_parquet_files_are_refused_with_the_cure(tmp_path: Path, table: pa.Table, detail: str) -> None:
    fault = refused(tmp_path, stored_parquet(table), "data.parquet")[0]

    assert fault.detail.startswith(detail)
    assert len(fault.detail) < 500


def test_odd_parquet_types_are_read(tmp_path: Path) -> None:
    n = 40
    table = pa.table(
        {
            "tiny": pa.array(range(n), pa.uint8()),
            "half": pa.array(np.arange(n, dtype=np.float16)),
            "money": pa.array([f"{i}.25" for i in range(n)]).cast(pa.decimal128(20, 2)),
            "word": pa.array(["a", "b"] * 20).dictionary_encode(),
            "long word": pa.array(["a", "b"] * 20, pa.large_string()),
            "zoned": pa.array([i * 10**15 for i in range(n)], pa.timestamp("ns", tz="Asia/Tokyo")),
            "old": pa.array([i * 86_400_000 for i in range(n)], pa.date64()),
            "far": pa.array([i * 2**55 for i in range(n)], pa.int64()),
            "y": Y,
        }
    )
    info, _ = files.examine(store(tmp_path / "set", {"data.parquet": stored_parquet(table)}, target="y"))

    kinds = {column.name: column.kind for column in info.columns}
    assert kinds == {
        "tiny": "number",
        "half": "number",
        "money": "number",
        "word": "category",
        "long word": "category",
        "zoned": "date",
        "old": "date",
        "far": "number",
    }


def test_damaged_parquet_files_are_refused(tmp_path: Path) -> None:
    whole = stored_parquet(pa.table({"a": [f"{i}" for i in range(40)], "y": Y}))
    for place in range(4, len(whole), 7):
        broken = bytearray(whole)
        broken[place : place + 3] = b"\xff\x00\xff"
        folder = store(tmp_path / str(place), {"data.parquet": bytes(broken)}, target="y")
        answer = inspect.inspect(folder)  # raises nothing
        assert answer.keys() in ({"faults"}, {"info", "notes", "profile"})


# ---- npz -------------------------------------------------------------------------------------------------------------

X = array(np.zeros((6, 4, 4), np.uint8))
SIX = array(np.arange(6) % 2)


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (array(np.zeros((6, 2))), "it is no npz file"),
        (b"\x80\x04N.", "it is no npz file"),
        (npz(x=b"no array", y=SIX), "it is no array: save it by np.savez"),
        (npz(x=X, y=b""), "it "),
        (npz(x=X[:40], y=SIX), "it cannot be read"),
        (npz(x=claiming("{'descr': '|O', 'fortran_order': False, 'shape': (6,)}"), y=SIX), "it holds Python objects"),
        (npz(x=npy.magic(2, 0) + (2**24).to_bytes(4, "little") + b" " * 2**24, y=SIX), "it cannot be read"),
        (npz(x=claiming("{'descr': '<f8', 'fortran_order': False, 'shape': (-6, 4, 4)}"), y=SIX), "it cannot be read"),
        (npz(x=claiming("{'descr': '<f8', 'fortran_order': False, 'shape': 'six'}"), y=SIX), "it cannot be read"),
        (npz(x=claiming("{'descr': '<q9', 'fortran_order': False, 'shape': (6,)}"), y=SIX), "it cannot be read"),
        (npz(x=claiming("(" * 100), y=SIX), "it cannot be read"),
        (npz(x=claiming("__import__('os').abort()"), y=SIX), "it cannot be read"),
        (npz(x=array(np.zeros(6, [("a", "i4"), ("b", "f8")])[:, None]), y=SIX), "x holds [('a', '<i4'), ('b', '<f8')]"),
        (npz(x=X, y=array(np.array([b"\xff", b"a"] * 3))), "y holds bytes that are no UTF-8"),
        (npz(x=X, y=array(np.array(["2024-01-01"] * 6, "M8[D]"))), "y holds datetime64[D]"),
        (npz(x=array(np.zeros((6, 0))), y=SIX), "x has the shape (6, 0), without a value"),
        (npz(x=array(np.zeros((6, 2, 2, 1, 1))), y=SIX), "x has the shape (6, 2, 2, 1, 1)"),
        (npz(x=array(5), y=array(5)), "x has the shape () and y ()"),
    ],
)
def test_odd_npz_files_are_refused_with_the_cure(tmp_path: Path, content: bytes, detail: str) -> None:
    fault = refused(tmp_path, content, "data.npz")[0]

    assert fault.detail.startswith(detail)
    assert len(fault.detail) < 500


def test_damaged_npz_files_are_refused(tmp_path: Path) -> None:
    made = io.BytesIO()
    np.savez_compressed(made, x=np.random.default_rng(0).normal(size=(6, 4)), y=np.arange(6) % 2)
    whole = made.getvalue()
    for place in range(0, len(whole), 5):
        broken = bytearray(whole)
        broken[place : place + 3] = b"\xff\x00\xff"
        answer = inspect.inspect(store(tmp_path / str(place), {"data.npz": bytes(broken)}))  # raises nothing
        assert answer.keys() in ({"faults"}, {"info", "notes", "profile"})
