"""Tables of series that have classes: one row a series, split by series, or refused with the cure."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.trainers import made_labelled
from tests.unit.trainers.stored import lines, store
from trainers import scoring
from trainers.contract import Dataset
from trainers.data import files, keys, labelled_series, parts, profile, steps
from trainers.data.faults import FaultsError
from trainers.data.info import to_json

SAID = {"time": "t", "series": "id", "target": "label"}
HEADER = "id,t,v,w,who,label"
ROWS = [
    f"{who}{run},{step},{step * 1.5},{'' if step == 1 else step},{who},{'xy'[run % 2]}"
    for who in "ab"
    for run in range(4)
    for step in reversed(range(2 + run % 3))
]


def test_rows_of_steps_become_a_row_a_series_in_the_order_of_time(tmp_path: Path) -> None:
    folder = store(tmp_path / "set", {"data.csv": lines(HEADER, *ROWS)}, **SAID)

    dataset, notes = files.read_new(folder)

    assert (dataset.kind, dataset.task, dataset.class_names) == ("labelled-series", "classification", ("x", "y"))
    assert [(each.name, each.role) for each in dataset.columns] == [
        ("t", "time"),
        ("id", "series"),
        ("v", "value"),
        ("w", "value"),
    ]
    assert dataset.y.tolist() == [0, 1, 0, 1] * 2
    assert dataset.x.shape == (8, 4, 2)
    np.testing.assert_array_equal(dataset.x[2], [[0, 0], [1.5, np.nan], [3, 2], [4.5, 3]])
    assert steps.lengths(dataset.x).tolist() == [2, 3, 4, 2] * 2
    assert notes == [
        "each series has a class, its label: say task: regression to forecast numbers instead",
        "who: ignored, as of further columns numbers are read, and yes and no",
    ]
    (folder / "about.json").write_text(json.dumps(to_json(files.describe(dataset))))
    again = files.load(folder, "set")
    assert (again.digest, again.columns) == (dataset.digest, dataset.columns)


@pytest.mark.parametrize(
    ("target", "said", "kind"),
    [
        (["x", "x", "y", "y"] * 8, {}, "labelled-series"),
        ([0, 0, 1, 1] * 8, {}, "labelled-series"),
        ([0, 1, 1, 1] * 8, {}, "series"),
        ([0.5, 0.5, 1.5, 1.5] * 8, {}, "series"),
        ([0, 0, 1, 1] * 8, {"task": "regression"}, "series"),
    ],
)
def test_what_is_a_class_all_along_each_series_is_its_class(
    target: list[Any], said: dict[str, str], kind: str, tmp_path: Path
) -> None:
    table = lines("id,t,v,label", *(f"{i // 2},{i % 2},{i % 5},{label}" for i, label in enumerate(target)))

    info, _ = files.examine(store(tmp_path / "set", {"data.csv": table}, **SAID, **said))

    assert info.kind == kind


def whole_numbers(classes: int, **changed: int) -> str:
    """30 series a class of 3 rows each, with other labels in some rows."""
    rows = [f"{run},{step},{run % 7},{run % classes}" for run in range(classes * 30) for step in range(3)]
    for row, label in changed.items():
        place = int(row.removeprefix("row"))
        rows[place] = f"{rows[place].rsplit(',', 1)[0]},{label}"
    return lines("id,t,v,label", *rows)


def test_however_many_whole_numbers_are_classes_where_none_changes_within_a_series(tmp_path: Path) -> None:
    info, notes = files.examine(store(tmp_path / "set", {"data.csv": whole_numbers(26)}, **SAID))

    assert (info.kind, info.class_names) == ("labelled-series", tuple(map(str, range(26))))
    assert notes == ["each series has a class, its label: say task: regression to forecast numbers instead"]


def test_one_mistyped_whole_number_does_not_turn_classes_into_a_forecast(tmp_path: Path) -> None:
    table = {"data.csv": whole_numbers(5, row17=4)}

    with pytest.raises(FaultsError) as refused:
        files.examine(store(tmp_path / "set", table, **SAID))
    (fault,) = refused.value.faults
    assert (fault.row, fault.column) == (19, "label")
    assert fault.detail.startswith(
        "it stays the same along 149 of 150 series, and is another here than in the first row"
    )
    assert "say task: regression to forecast numbers" in fault.detail
    info, _ = files.examine(store(tmp_path / "forecast", table, **SAID, task="regression"))
    assert info.kind == "series"


def test_numbers_that_change_within_some_series_are_forecast_with_a_note(tmp_path: Path) -> None:
    changed = {f"row{3 * run}": 9 for run in range(20)}

    info, notes = files.examine(store(tmp_path / "set", {"data.csv": whole_numbers(5, **changed)}, **SAID))

    assert info.kind == "series"
    told = "label: numbers to forecast, as it changes within 20 of 150 series; say task: classification"
    assert any(note.startswith(told) for note in notes)


@pytest.mark.parametrize(
    ("rows", "said", "detail"),
    [
        (["a9,0,1,1,a,x", "a9,1,1,1,a,y"], {}, "another class than in the first row of its series"),
        (["a9,0,1,1,a,z", "a9,1,1,1,a,z"], {}, "the class 'z' has one series, and needs two"),
        ([], {"series": None, "task": "classification"}, "say time, series and target: series is missing"),
        ([], {"series": "no"}, "three columns of the table"),
        ([], {"columns": {"v": "ignore", "w": "ignore"}}, "no column of numbers to tell the classes by"),
        ([], {"columns": {"z": "number"}}, "there is no such column"),
        (["a9,0,1,1,a,"], {}, "there is no target"),
        ([",0,1,1,a,x"], {}, "there is no series"),
        (["a9,,1,1,a,x"], {}, "there is no time"),
    ],
)
def test_what_cannot_be_is_refused_with_the_cure(
    rows: list[str], said: dict[str, Any], detail: str, tmp_path: Path
) -> None:
    with pytest.raises(FaultsError, match=detail):
        files.examine(store(tmp_path / "set", {"data.csv": lines(HEADER, *ROWS, *rows)}, **SAID | said))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("prediction", {}),
        ("prediction", {"target": "v", "columns": {"w": "ignore"}}),
        ("step", {"target": "v", "columns": {"w": "ignore"}}),
    ],
)
def test_a_column_of_series_with_the_name_of_what_models_give_is_refused(
    name: str, said: dict[str, Any], tmp_path: Path
) -> None:
    table = lines(HEADER.replace("id", name), *ROWS)
    folder = store(tmp_path / "set", {"data.csv": table}, **SAID | {"series": name} | said)

    with pytest.raises(FaultsError, match=f"beside a column '{name}' of its own: give this column another name"):
        files.examine(folder)


def test_series_that_would_take_too_much_room_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelled_series, "MOST_VALUES", 63)

    with pytest.raises(FaultsError, match="8 series, the longest of 4 steps, take 64 values, and 63 are allowed"):
        files.examine(store(tmp_path / "set", {"data.csv": lines(HEADER, *ROWS)}, **SAID))


def test_one_long_series_among_many_short_ones_is_refused_before_all_are_made_as_long(tmp_path: Path) -> None:
    rows = [f"{run},{step},{run + step},{run % 2}" for run in range(1100) for step in range(4096 if run == 0 else 2)]

    with pytest.raises(
        FaultsError, match="the longest, 4096 steps, take 4505600 values, where there are 6294: cut the"
    ):
        files.examine(store(tmp_path / "set", {"data.csv": lines("id,t,v,label", *rows)}, **SAID))


def test_a_networks_input_is_made_of_a_few_series_at_a_time() -> None:
    x = np.random.default_rng(0).normal(size=(4000, 1024, 1))
    x[:, 100:] = np.nan
    facts = {"steps": 16, "mean": [0.0], "scale": [1.0], "flagged": []}

    tracemalloc.start()
    made = steps.network_input(facts, x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < x.nbytes, "of all series at once it was several times as much"
    np.testing.assert_array_equal(made[1234, :, 0], x[1234, 84:100, 0].astype(np.float32))


def test_of_a_very_long_series_the_last_steps_are_kept(tmp_path: Path) -> None:
    rows = [f"{run},{step},{step + run},{run % 2}" for run in range(4) for step in range(4100 if run == 2 else 3)]

    dataset, notes = files.read_new(store(tmp_path / "set", {"data.csv": lines("id,t,v,label", *rows)}, **SAID))

    assert dataset.x.shape == (4, 4096, 1)
    assert dataset.x[2, [0, -1], 0].tolist() == [6, 4101]
    assert "the longest series has 4100 steps: of each the last 4096 are kept" in notes


def test_parts_of_ones_own_have_whole_series(tmp_path: Path) -> None:
    table = [f"{row},{'test' if row[:2] in {'a2', 'a3'} else 'train'}" for row in ROWS]
    said = {**SAID, "split_column": "part"}

    info, _ = files.examine(store(tmp_path / "set", {"data.csv": lines(HEADER + ",part", *table)}, **said))
    assert (info.parts, info.class_counts) == ({"train": 6, "test": 2}, (3, 3))

    cut = [row.replace("train", "test") if row.startswith("b3,0") else row for row in table]
    with pytest.raises(FaultsError, match="another part than in the first row of its series"):
        files.examine(store(tmp_path / "cut", {"data.csv": lines(HEADER + ",part", *cut)}, **said))


def test_splits_are_by_series_stratified_and_by_groups_or_begin(tmp_path: Path) -> None:
    table = made_labelled.table()
    table["clock"] = table.second + 100 * table.run.str.removeprefix("run ").astype(int)
    folder = store(tmp_path / "set", {"data.csv": table.to_csv(index=False)}, **made_labelled.SAID)
    dataset = files.load(folder, "runs")
    shares: dict[str, Any] = {"validation": 0.2, "test": 0.2, "folds": 1, "repeats": 1, "seed": 0}

    made = parts.of(dataset, **shares)
    train, validation = made.folds[0]
    assert sorted([*made.test_rows, *train, *validation]) == list(range(90))
    assert [np.bincount(dataset.y[rows]).tolist() for rows in (made.test_rows, validation)] == [[6, 6, 6]] * 2

    grouped = keys.attach(dataset, folder, group="driver")
    names = sorted(table.run.unique())
    assert grouped.groups is not None
    assert [f"driver {group}" for group in grouped.groups] == table.groupby("run").driver.first()[names].tolist()
    by_group = parts.of(grouped, **shares)
    assert not set(grouped.groups[by_group.test_rows]) & set(grouped.groups[by_group.folds[0][0]])
    with pytest.raises(FaultsError, match="another group than in the first row of its series"):
        keys.attach(dataset, folder, group="braked")

    timed = keys.attach(dataset, folder, time="clock")
    assert timed.times is not None
    assert timed.ends is not None
    assert timed.ends.tolist() == table.groupby("run").clock.max()[names].tolist()
    assert timed.times.tolist() == table.groupby("run").clock.min()[names].tolist()
    by_time = parts.of(timed, **shares)
    assert timed.times[by_time.test_rows].min() > timed.times[by_time.folds[0][1]].max()


def overlapping(folder: Path, steps_each: int) -> Dataset:
    """40 series that begin one after the other, with so many steps each."""
    rows = [f"{run:02},{run + step},{step},{run % 2}" for run in range(40) for step in range(steps_each)]
    stored = store(folder, {"data.csv": lines("id,t,v,label", *rows)}, **SAID)
    return keys.attach(files.load(stored, "set"), stored, time="t")


@pytest.mark.parametrize("folds", [1, 3])
def test_by_time_no_step_of_a_series_is_as_late_as_a_part_after_its_own(folds: int, tmp_path: Path) -> None:
    made = parts.of(overlapping(tmp_path / "set", 4), validation=0.2, test=0.2, folds=folds, repeats=1, seed=0)

    for train, validation in made.folds:  # a series has the number of its first step, and ends 3 later
        assert train.max() + 3 < validation.min()
        assert validation.max() + 3 < made.test_rows.min()
    assert made.test_rows.tolist() == list(range(32, 40))
    assert scoring.learnt_rows(made).max() == 28
    assert made.folds[-1][0].tolist() == list(range(21)), "those from 21 on end when validation begins at 24"


def test_by_time_series_that_all_last_into_the_next_part_are_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="each of the 24 series of a part has steps from when on the next"):
        parts.of(overlapping(tmp_path / "set", 30), validation=0.2, test=0.2, folds=1, repeats=1, seed=0)


def test_a_column_of_groups_is_not_read_as_a_value(tmp_path: Path) -> None:
    rows = [f"{run},{step},{step},{run // 2},{run % 2}" for run in range(8) for step in range(3)]
    folder = store(tmp_path / "set", {"data.csv": lines("id,t,v,who,label", *rows)}, **SAID)
    dataset = files.load(folder, "set")

    grouped = keys.attach(dataset, folder, group="who")

    assert (dataset.x.shape, grouped.x.shape) == ((8, 3, 2), (8, 3, 1))
    assert [each.name for each in grouped.columns] == ["t", "id", "v"]


def test_the_profile_tells_lengths_classes_and_values() -> None:
    seen = profile.of(made_labelled.dataset())

    lengths = made_labelled.table().groupby("run").size()
    assert seen["series"]["series"] == 90
    assert seen["series"]["shortest"] == pytest.approx(lengths.min(), abs=1)
    assert seen["series"]["longest"] == lengths.max()
    assert {each["name"]: each["rows"] for each in seen["classes"]} == dict.fromkeys(made_labelled.KINDS, 30)
    assert [each["name"] for each in seen["columns"]] == ["speed", "braked"]
    assert seen["columns"][0]["missing"] > 0


# ---- as the network takes them ---------------------------------------------------------------------------------------


def test_gaps_are_the_value_before_and_flagged_and_the_last_steps_are_read() -> None:
    x = np.array(
        [[[np.nan, 1], [3, 2], [np.nan, 3], [5, 4]], [[7, np.nan], [np.nan, 9], [np.nan, np.nan], [np.nan] * 2]]
    )
    facts = {"steps": 3, "mean": [3.0, 0.0], "scale": [2.0, 1.0], "flagged": [0]}

    made = steps.network_input(facts, x)

    assert made.dtype == np.float32
    assert made[0].tolist() == [[0, 2, 0, 1], [0, 3, 1, 1], [1, 4, 0, 1]]
    assert made[1].tolist() == [[2, 0, 0, 1], [2, 9, 1, 1], [0, 0, 0, 0]]
    assert steps.network_input({**facts, "steps": 6}, x)[1].tolist() == [*made[1].tolist(), *[[0, 0, 0, 0]] * 3]


def test_what_is_known_of_a_labelled_set_names_no_series() -> None:
    assert "run 1" not in json.dumps(to_json(files.describe(made_labelled.dataset())))
    assert all(not asdict(each)["categories"] for each in made_labelled.dataset().columns if each.role == "series")
