"""The column by which rows are split: read whatever it is to trainers, and refused where it is of no use."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.clips import clip, tone
from tests.unit.trainers import made_interactions
from tests.unit.trainers.stored import lines, store
from tests.zipped import packed, picture
from trainers.contract import Dataset
from trainers.data import files, keys, parts, preview
from trainers.data.faults import FaultsError
from trainers.data.load import load

ROWS = 60
FRAME = pd.DataFrame(
    {
        "a": np.linspace(0, 1, ROWS).round(3),
        "patient": [f"p{i // 4}" for i in range(ROWS)],
        "note": [f"free text number {i}" for i in range(ROWS)],
        "seen": [f"{1 + i % 28:02}.{1 + i // 28:02}.2024" for i in range(ROWS)],
        "year": [2000 + i // 10 for i in range(ROWS)],
        "gaps": ["x" if i % 3 else "" for i in range(ROWS)],
        "y": ["yes" if i % 2 else "no" for i in range(ROWS)],
    }
)


def stored(folder: Path, form: str = "csv", **said: Any) -> tuple[Dataset, Path]:
    content: Any = FRAME.to_csv(index=False)
    if form == "parquet":
        buffer = io.BytesIO()
        FRAME.to_parquet(buffer)
        content = buffer.getvalue()
    made = store(folder / "set", {f"data.{form}": content}, target="y", **said)
    return files.load(made, "set"), made


def refusal(dataset: Dataset, folder: Path | None, **column: str) -> str:
    with pytest.raises(FaultsError) as refused:
        keys.attach(dataset, folder, **column)
    return str(refused.value)


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("said", [{}, {"columns": {"patient": "ignore"}}])
def test_groups_are_read_whether_or_not_they_are_a_feature(tmp_path: Path, form: str, said: dict[str, Any]) -> None:
    dataset, folder = stored(tmp_path, form, **said)
    keyed = keys.attach(dataset, folder, group="patient")

    assert keyed.groups is not None
    assert [len(set(keyed.groups[start : start + 4])) for start in range(0, ROWS, 4)] == [1] * 15
    assert len(set(keyed.groups)) == 15
    assert "patient" not in keyed.feature_names
    assert [column.name for column in keyed.columns] == list(keyed.feature_names)
    kept = [i for i, name in enumerate(dataset.feature_names) if name != "patient"]
    np.testing.assert_array_equal(keyed.x, dataset.x[:, kept])


def test_rows_without_a_group_are_one_group(tmp_path: Path) -> None:
    dataset, folder = stored(tmp_path)
    groups = keys.attach(dataset, folder, group="gaps").groups

    assert groups is not None
    assert len(set(groups[::3])) == 1
    assert len(set(groups)) == 2


@pytest.mark.parametrize(
    ("column", "said", "first_and_last"),
    [
        ("seen", {}, (19723.0, 19786.0)),
        ("seen", {"columns": {"seen": "ignore"}}, (19723.0, 19786.0)),
        ("year", {}, (2000.0, 2005.0)),
        ("a", {}, (0.0, 1.0)),
    ],
)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_times_are_dates_or_numbers_and_stay_a_feature(
    tmp_path: Path, form: str, column: str, said: dict[str, Any], first_and_last: tuple[float, float]
) -> None:
    dataset, folder = stored(tmp_path, form, **said)
    keyed = keys.attach(dataset, folder, time=column)

    assert keyed.times is not None
    assert (keyed.times.min(), keyed.times.max()) == first_and_last
    assert keyed.feature_names == dataset.feature_names
    assert keys.is_date(dataset, folder, column) == (column == "seen")


@pytest.mark.parametrize(
    ("column", "cure"),
    [
        ({"group": "doctor"}, "there is no column 'doctor': there are a, patient, note, seen, year, gaps"),
        ({"time": "doctor"}, "there is no column 'doctor'"),
        ({"group": "y"}, "it is the target, and no row may tell it of another: give another column"),
        ({"time": "patient"}, "it holds neither dates nor numbers"),
        ({"time": "gaps"}, "it holds neither dates nor numbers"),
    ],
)
def test_a_column_of_no_use_is_refused(tmp_path: Path, column: dict[str, str], cure: str) -> None:
    assert cure in refusal(*stored(tmp_path), **column)


def test_rows_without_a_time_are_refused_by_their_line(tmp_path: Path) -> None:
    folder = store(tmp_path / "set", {"data.csv": "when,x,y\n1,5,a\n,6,b\n3,7,a\n4,8,b\n"}, target="y")

    told = refusal(files.load(folder, "set"), folder, time="when")
    assert "data.csv, row 3, column 'when': there is no time (1 rows have none): give one, or leave the row out" in told


def test_the_only_feature_cannot_be_the_groups(tmp_path: Path) -> None:
    folder = store(tmp_path / "set", {"data.csv": "x,y\n1,a\n1,b\n2,a\n2,b\n"}, target="y")

    assert "the only column to predict from" in refusal(files.load(folder, "set"), folder, group="x")


def test_arrays_beside_x_and_y_are_columns_to_split_images_by(tmp_path: Path) -> None:
    arrays = {
        "x": np.zeros((ROWS, 4, 4)),
        "y": np.arange(ROWS) % 2,
        "patient": np.arange(ROWS) // 4,
        "other": np.zeros(3),
    }
    folder = store(tmp_path / "set", {"data.npz": arrays})
    dataset = files.load(folder, "set")
    keyed = keys.attach(dataset, folder, group="patient")

    assert keyed.groups is not None
    assert len(set(keyed.groups)) == 15
    assert keyed.x is dataset.x
    assert "there is no column 'doctor': there are patient" in refusal(dataset, folder, group="doctor")


def test_a_built_in_set_is_split_by_a_feature() -> None:
    keyed = keys.attach(load("diabetes"), None, group="sex")

    assert keyed.groups is not None
    assert (len(set(keyed.groups)), keyed.x.shape[1]) == (2, 9)
    assert "there is no column 'sex': there are none" in refusal(load("digits"), None, group="sex")


def test_a_preview_tells_sizes_groups_and_dates(tmp_path: Path) -> None:
    _, folder = stored(tmp_path)
    shares = {"validation": 0.2, "test": 0.2, "folds": 1, "repeats": 1, "seed": 0}

    by_group = preview.preview("set", folder, {**shares, "group": "patient"})["split"]
    assert (by_group["by"], by_group["column"]) == ("group", "patient")
    assert (by_group["test"], by_group["test_groups"]) == (12, 3)
    assert by_group["folds"] == [{"train": 36, "validation": 12, "train_groups": 9, "validation_groups": 3}]
    by_time = preview.preview("set", folder, {**shares, "time": "seen"})["split"]
    assert by_time["test_from"] == "2024-02-21"
    assert by_time["folds"] == [{"train": 36, "validation": 12, "validation_from": "2024-02-09"}]
    assert preview.preview("set", folder, {**shares, "time": "year"})["split"]["test_from"] == 2005.0
    refused = preview.preview("set", folder, {**shares, "group": "gaps"})["faults"]
    assert "2 groups are too few" in refused[0]["detail"]


# ---- zips ------------------------------------------------------------------------------------------------------------

SHARES = {"validation": 0.2, "test": 0.2, "folds": 3, "repeats": 1, "seed": 0}
HEADER = "file;label;speaker;day;dose"


def spoken(speakers: int = 9, clips: int = 6) -> dict[str, bytes]:
    """Clips whose names say nothing, and a table that says who speaks, when (1.5 a decimal comma), and what."""
    rows, content = [], {}
    for i in range(speakers * clips):
        name = f"take {i * 7 % 100:02}.wav"
        content[f"all/{name}"] = clip(tone(300 + 400 * (i % 2), 0.05))
        day, dose = f"{1 + i % 28:02}.0{1 + i // 28}.2024", f"{i // 8},5"
        rows.append(f"{name};{'yes' if i % 2 else 'no'};s{i // clips};{day};{dose}")
    return {**content, "all/labels.csv": lines(HEADER, *rows).encode()}


def said_of(content: dict[str, bytes], column: str) -> list[str]:
    """What the table says of each file, in the order of the files' names."""
    written = pd.read_csv(io.BytesIO(content["all/labels.csv"]), sep=";", dtype="str").set_index("file")
    return written.sort_index()[column].tolist()


def test_no_speaker_of_a_zip_is_on_both_sides_of_any_split(tmp_path: Path) -> None:
    content = spoken()
    folder = store(tmp_path / "set", {"data.zip": packed(content)})
    dataset = files.load(folder, "set")
    keyed = keys.attach(dataset, folder, group="speaker")
    speakers = np.array(said_of(content, "speaker"))

    assert np.array(dataset.class_names)[dataset.y].tolist() == said_of(content, "label")
    assert keyed.groups is not None
    assert [f"s{number}" for number in keyed.groups] == speakers.tolist()
    assert keyed.x is dataset.x
    split = parts.of(keyed, **SHARES)  # type: ignore[arg-type]
    for train_rows, validation_rows in split.folds:
        sides = [{*speakers[rows]} for rows in (train_rows, validation_rows, split.test_rows)]
        assert all(sides)
        assert sum(map(len, sides)) == 9
    told = preview.preview("set", folder, {**SHARES, "group": "speaker"})["split"]
    assert (told["test_groups"], [fold["validation_groups"] for fold in told["folds"]]) == (
        len({*speakers[split.test_rows]}),
        [len({*speakers[held]}) for _, held in split.folds],
    )


@pytest.mark.parametrize(("column", "first_and_last"), [("day", (19723.0, 19779.0)), ("dose", (0.5, 6.5))])
def test_files_are_split_by_what_their_table_says_of_their_time(
    tmp_path: Path, column: str, first_and_last: tuple[float, float]
) -> None:
    content = spoken()
    folder = store(tmp_path / "set", {"data.zip": packed(content)})
    keyed = keys.attach(files.load(folder, "set"), folder, time=column)

    assert keyed.times is not None
    assert (keyed.times.min(), keyed.times.max()) == first_and_last
    split = parts.of(keyed, **SHARES)  # type: ignore[arg-type]
    for train_rows, validation_rows in split.folds:
        assert keyed.times[train_rows].max() < keyed.times[validation_rows].min()
        assert keyed.times[validation_rows].max() < keyed.times[split.test_rows].min()
    assert keys.is_date(keyed, folder, column) == (column == "day")


def test_a_speaker_is_one_however_accents_are_written(tmp_path: Path) -> None:
    dot = picture(np.zeros((4, 4), np.uint8))
    rows = [f"{i}.png,{i % 2},{unicodedata.normalize('NFD' if i % 3 else 'NFC', 'éva')} {i // 6}" for i in range(24)]
    content = {"labels.csv": lines("file,label,who", *rows).encode()} | {f"{i}.png": dot for i in range(24)}
    folder = store(tmp_path / "set", {"data.zip": packed(content)})
    keyed = keys.attach(files.load(folder, "set"), folder, group="who")

    assert keyed.groups is not None
    assert len({*keyed.groups.tolist()}) == 4


def test_a_zips_owner_is_told_what_it_may_be_split_by(tmp_path: Path) -> None:
    _, notes = files.examine(store(tmp_path / "set", {"data.zip": packed(spoken())}))

    assert "labels.csv also has speaker, day, dose: a study may split by it (evaluation: group or time)" in notes


def test_a_column_of_no_use_to_split_a_zip_by_is_refused(tmp_path: Path) -> None:
    content = spoken()
    folder = store(tmp_path / "set", {"data.zip": packed(content)})
    dataset = files.load(folder, "set")

    assert "labels.csv: there is no column 'doctor': there are speaker, day, dose" in refusal(
        dataset, folder, group="doctor"
    )
    assert "it is the target" in refusal(dataset, folder, group="label")
    assert "it holds neither dates nor numbers" in refusal(dataset, folder, time="speaker")
    bare = content["all/labels.csv"].replace(b"03.01.2024", b"")
    gaps = store(tmp_path / "gaps", {"data.zip": packed({**content, "all/labels.csv": bare})})
    told = refusal(files.load(gaps, "gaps"), gaps, time="day")
    assert "labels.csv, row 4, column 'day': there is no time (1 rows have none)" in told


def test_class_folders_have_no_columns_to_split_by(tmp_path: Path) -> None:
    dot = picture(np.zeros((4, 4), np.uint8))
    content = packed({f"{name}/{i}.png": dot for name in "ab" for i in range(2)})
    folder = store(tmp_path / "set", {"data.zip": content})

    told = refusal(files.load(folder, "set"), folder, group="patient")
    assert told == (
        "data.zip: class folders have no columns: put a labels.csv with the columns file, label and patient into it, "
        "or give parts as folders"
    )


# ---- interactions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", [{"group": "who"}, {"group": "club"}, {"time": "when"}])
def test_interactions_keep_to_the_split_of_their_own(tmp_path: Path, column: dict[str, str]) -> None:
    said = {"user": "who", "item": "what", "time": "when", "user_features": ["club"]}
    folder = store(tmp_path / "set", {"data.csv": made_interactions.table().to_csv(index=False)}, **said)

    refused = preview.preview("set", folder, {**SHARES, **column})["faults"]
    assert [fault["detail"] for fault in refused] == [
        "interactions are split by user, and by the time that their data set names: leave group and time out"
    ]
