"""Tables of which one column is text: what is read, what is told, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainers.stored import lines, store
from trainers.contract import Dataset
from trainers.data import files, keys, profile
from trainers.data.faults import Fault, FaultsError
from trainers.data.info import Column, DatasetInfo, from_json, to_json
from trainers.token_ids import READ_CHARACTERS

SAID = {"text": "review", "target": "liked"}
REVIEWS = ("good food", "很好吃", "bad soup", '"sour, cold"')


def read(tmp_path: Path, content: Any, name: str = "data.csv", **source: Any) -> tuple[Dataset, DatasetInfo, list[str]]:
    folder = store(tmp_path / "set", {name: content}, **{**SAID, **source})
    info, notes = files.examine(folder)
    return files.load(folder, "set"), info, notes


def refused(tmp_path: Path, content: Any, name: str = "data.csv", **source: Any) -> list[Fault]:
    with pytest.raises(FaultsError) as error:
        read(tmp_path, content, name, **source)
    return list(error.value.faults)


def table(*reviews: str, label: tuple[str, str] = ("yes", "no")) -> str:
    return lines("id,review,liked", *(f"{i},{review},{label[i % 2]}" for i, review in enumerate(reviews)))


def test_the_texts_are_read_as_they_are_written_and_other_columns_are_left_out(tmp_path: Path) -> None:
    dataset, info, notes = read(tmp_path, table(*REVIEWS))

    assert dataset.kind == info.kind == "text"
    assert dataset.x.tolist() == ["good food", "很好吃", "bad soup", "sour, cold"]
    assert dataset.x.dtype == object
    assert (dataset.y.tolist(), dataset.class_names) == ([1, 0, 1, 0], ("no", "yes"))
    assert (info.shape, info.feature_names, info.columns) == ((), ("review",), (Column("review", "text"),))
    assert from_json(to_json(info)) == info
    assert notes == [
        "id: ignored beside the text; leave text out to predict from columns",
        "4 texts are few to learn words from: expect little of what words they do not have",
    ]


def test_words_that_stand_for_nothing_in_a_table_are_words_here_and_empty_texts_are_kept(tmp_path: Path) -> None:
    dataset, info, notes = read(tmp_path, table("none", "NA", "", "  "))

    assert dataset.x.tolist() == ["none", "NA", "", "  "]
    assert info.columns[0].missing == 2
    assert "review is empty in 2 rows: they are kept" in notes


def test_a_text_longer_than_is_read_is_told_of(tmp_path: Path) -> None:
    dataset, _, notes = read(tmp_path, table("x" * (READ_CHARACTERS + 1), *REVIEWS[1:]))

    assert len(dataset.x[0]) == READ_CHARACTERS + 1
    assert "1 texts are longer than 100,000 characters: no more of them is read" in notes


def test_the_digest_is_of_the_texts_their_order_and_where_one_ends(tmp_path: Path) -> None:
    written = (REVIEWS, REVIEWS[::-1], ("good foo", "d很好吃", *REVIEWS[2:]))
    first, *others = (read(tmp_path / str(i), table(*each))[0].digest for i, each in enumerate(written))

    assert len({first, *others}) == 3
    assert read(tmp_path / "again", table(*REVIEWS))[0].digest == first


def test_the_same_texts_have_the_same_digest_in_every_format_and_encoding(tmp_path: Path) -> None:
    chinese = table("很好吃", "太难吃", "不错", "不好")
    frame = pd.DataFrame({"review": ["很好吃", "太难吃", "不错", "不好"], "liked": ["yes", "no"] * 2, "o": [[1]] * 4})
    frame.to_parquet(tmp_path / "data.parquet")
    digests = {
        read(tmp_path / "utf8", chinese)[0].digest,
        read(tmp_path / "gbk", chinese.encode("gbk"), encoding="gbk")[0].digest,
        read(tmp_path / "tsv", chinese.replace(",", "\t"), "data.tsv")[0].digest,
        # with a column of lists, which nothing could be made of
        read(tmp_path / "parquet", (tmp_path / "data.parquet").read_bytes(), "data.parquet")[0].digest,
    }

    assert len(digests) == 1


def test_parts_may_be_given_by_a_column(tmp_path: Path) -> None:
    rows = [f"{review},{'ab'[i % 2]},{part}" for part in ("train", "test") for i, review in enumerate(REVIEWS)]
    dataset, info, notes = read(tmp_path, lines("review,liked,part", *rows), split_column="part")

    assert info.parts == {"train": 4, "test": 4}
    assert dataset.part_rows is not None
    assert dataset.part_rows["test"].tolist() == [4, 5, 6, 7]
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("content", "source", "column", "detail"),
    [
        (
            table(*REVIEWS),
            {"text": "reviews"},
            "reviews",
            "there is no such column, as source.json says: there are id,",
        ),
        (table(*REVIEWS), {"text": "liked"}, "liked", "it cannot be both text and target"),
        (
            table(*REVIEWS),
            {"columns": {"id": "number"}},
            "id",
            "every other column is ignored: say nothing of its kind",
        ),
        (table(*REVIEWS), {"columns": {"review": "ignore"}}, "review", "every other column is ignored"),
        (table(*REVIEWS), {"time": "id"}, None, "text goes with a target alone: leave it out, or user, item, time"),
        (table(*REVIEWS), {"task": "language"}, None, "say text alone, without a target, or leave task out"),
        (table(*REVIEWS), {"task": "language", "text": None}, None, "say text alone, without a target"),
        (table(*REVIEWS), {"task": "language", "text": None, "time": "id"}, None, "say text alone, without a target"),
        (table(*REVIEWS), {"task": "recommendation"}, None, "task: recommendation needs the columns user and item"),
        (table("", " ", "", ""), {}, "review", "every text is empty: choose another column"),
        (table(*REVIEWS), {"columns": {"review": "text"}}, None, "the kind of column 'review' is 'text': use one of"),
    ],
)
def test_what_is_said_of_texts_and_cannot_be_is_refused(
    tmp_path: Path, content: str, source: dict[str, Any], column: str | None, detail: str
) -> None:
    faults = refused(tmp_path, content, **source)

    assert (len(faults), faults[0].column) == (1, column)
    assert detail in faults[0].detail


@pytest.mark.parametrize(
    ("values", "detail"),
    [
        (["good", "ba\0d", "so", "la"], "there is a NUL character: remove it, or leave the row out"),
        ([1, 2, 3, 4], "it holds whole values, and text is wanted: store it as text, or choose another"),
    ],
)
def test_what_only_a_typed_file_can_hold_is_refused(tmp_path: Path, values: list[Any], detail: str) -> None:
    pd.DataFrame({"review": values, "liked": ["yes", "no"] * 2}).to_parquet(tmp_path / "data.parquet")
    faults = refused(tmp_path, (tmp_path / "data.parquet").read_bytes(), "data.parquet")

    assert (faults[0].column, faults[0].detail) == ("review", detail)
    assert faults[0].row == (3 if "NUL" in detail else None)


def test_arrays_have_no_column_of_texts(tmp_path: Path) -> None:
    faults = refused(tmp_path, {"x": np.zeros((4, 2)), "y": np.array([0, 1, 0, 1])}, "data.npz")

    assert (
        faults[0].detail == "user, item, time, series and text are columns of a table, and this is none: leave them out"
    )


def test_the_profile_tells_lengths_copies_and_contradictions(tmp_path: Path) -> None:
    dataset, _, _ = read(tmp_path, table("good food", "good food", "bad", "", "bad", "很好吃"))
    seen = profile.of(dataset)

    assert seen["texts"] == {"shortest": 0, "median": 3.0, "longest": 9, "empty": 1}
    assert {each["what"] for each in seen["findings"]} == {"duplicates", "contradictions"}
    assert seen["findings"][0]["text"].startswith("2 of 6 rows are copies")


@pytest.mark.parametrize("name", ["data.csv", "data.parquet"])
def test_rows_may_be_grouped_by_a_column_that_is_ignored_beside_the_text(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"who": ["a", "a", "b", "b"], "review": REVIEWS, "liked": ["yes", "no"] * 2, "o": ["x"] * 4})
    write = frame.to_csv if name == "data.csv" else frame.to_parquet
    write(tmp_path / name, index=False)
    dataset, _, _ = read(tmp_path, (tmp_path / name).read_bytes(), name)
    grouped = keys.attach(dataset, tmp_path / "set", group="who")

    assert grouped.groups is not None
    assert grouped.groups.tolist() == [0, 0, 1, 1]
    with pytest.raises(FaultsError, match="the only column to predict from"):
        keys.attach(dataset, tmp_path / "set", group="review")
