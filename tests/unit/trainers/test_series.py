"""Tables of series: read by their roles and split by their time, or refused with the cure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.trainers import made_series
from tests.unit.trainers.stored import lines, store
from trainers.data import files, parts, profile
from trainers.data.faults import FaultsError

SMALL = lines("day,place,value,note", "2024-01-02,a,2,x", "2024-01-01,a,1,y", "2024-01-01,b,5,z")


def test_time_series_and_target_are_read_by_their_roles(tmp_path: Path) -> None:
    folder = store(tmp_path / "set", {"data.csv": SMALL}, time="day", series="place", target="value")

    info, notes = files.examine(folder)

    assert (info.kind, info.task) == ("series", "regression")
    assert [(each.name, each.kind, each.role) for each in info.columns] == [
        ("day", "date", "time"),
        ("place", "category", "series"),
        ("value", "number", "target"),
    ]
    assert notes == ["note: ignored, as of further columns numbers are read, and yes and no"]


def test_further_columns_of_numbers_are_read_beside_the_past(tmp_path: Path) -> None:
    table = lines("day,v,price,open,place", *(f"{day},{day % 3},{day * 1.5},{'yn'[day % 2]},x" for day in range(30)))
    said: dict[str, Any] = {"time": "day", "target": "v", "columns": {"place": "ignore"}}

    dataset, notes = files.read_new(store(tmp_path / "set", {"data.csv": table}, **said))

    assert [(each.name, each.kind, each.role) for each in dataset.columns[2:]] == [
        ("price", "number", "value"),
        ("open", "boolean", "value"),
    ]
    assert dataset.x[4].tolist() == [4, 1, 6, 1]
    assert notes == [
        "price, open: the past of it is read beside that of v; say columns: {price: ignore} to forecast without"
    ]
    seen = profile.of(dataset)
    assert seen["series"] == {"series": 1, "shortest": 30, "median": 30.0, "longest": 30}
    assert [each["name"] for each in seen["columns"]] == ["price", "open"]


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ({"time": "day"}, "target is missing"),
        ({"series": "place", "target": "value"}, "time is missing"),
        ({"time": "date", "target": "value"}, "three columns of the table"),
        ({"time": "day", "target": "day"}, "three columns of the table"),
        ({"time": "note", "target": "value"}, "a time is a date or a number"),
        ({"time": "day", "target": "note"}, "is no number"),
        ({"time": "day", "target": "value", "columns": {"x": "number"}}, "there is no such column"),
        ({"time": "day", "target": "value", "split_column": "part"}, "there is no such column"),
    ],
)
def test_what_cannot_be_is_refused_with_the_cure(said: dict[str, Any], detail: str, tmp_path: Path) -> None:
    with pytest.raises(FaultsError, match=detail):
        files.examine(store(tmp_path / "set", {"data.csv": SMALL}, **said))


def test_more_series_than_are_told_apart_are_refused(tmp_path: Path) -> None:
    table = lines("t,shop,v", *(f"{t},s{shop},{t + shop}" for shop in range(1001) for t in range(2)))
    made = store(tmp_path / "set", {"data.csv": table}, time="t", series="shop", target="v")

    with pytest.raises(FaultsError, match="there are 1001 series, and 1000 are allowed: give fewer in a data set"):
        files.examine(made)


def test_series_are_split_by_no_other_column_than_their_time() -> None:
    given = made_series.dataset()
    shares: dict[str, Any] = {"validation": 0.2, "test": 0.2, "folds": 1, "repeats": 1, "seed": 0}
    others = {"groups": given.x[:, 1].astype(np.int64), "times": np.arange(len(given.y), dtype=np.float64)}

    for name, values in others.items():
        with pytest.raises(ValueError, match="split by the time that their data set names: leave group and time out"):
            parts.of(replace(given, **{"times": None, name: values}), **shares)


@pytest.mark.parametrize(("test_days", "row"), [((3, 4), None), ((2, 4), 5), ((4, 1), 6)])
def test_parts_that_overlap_in_time_are_refused(test_days: tuple[int, int], row: int | None, tmp_path: Path) -> None:
    table = lines("day,v,part", "2,1,train", "1,2,train", "0,3,train", *(f"{day},4,test" for day in test_days))
    made = store(tmp_path / "set", {"data.csv": table}, time="day", target="v", split_column="part")

    if row is None:
        assert files.examine(made)[0].parts == {"train": 3, "test": 2}
        return
    with pytest.raises(FaultsError, match="a row of test is not later than all of train") as refused:
        files.examine(made)
    assert (refused.value.faults[0].row, refused.value.faults[0].column) == (row, "day")
