"""A zip of interactions, users and items: joined as if all were columns of one table, and refused by file and row."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.trainers import made_interactions
from tests.unit.trainers.stored import lines, store
from tests.zipped import packed
from trainers.data import files, keys, profile, zipped_tables
from trainers.data.faults import FaultsError
from trainers.data.info import from_json, to_json
from trainers.data.source import read_source

SAID = {"user": "who", "item": "what", "time": "when"}
EVENTS = lines("who,what,when", "ann,tea,3", "bob,tea,1", "ann,jam,2", "cid,tea,1")
USERS = lines("who,age,city", "bob,31,Rome", "ann,40,Oslo", "dan,,Rome")
ITEMS = lines("what;sweet;price", "jam;yes;1,5", "tea;no;0,5")
GOOD = {"interactions.csv": EVENTS, "users.csv": USERS, "items.csv": ITEMS}


def zipped(folder: Path, tables: dict[str, str], **said: Any) -> Path:
    content = packed({name: text.encode() for name, text in tables.items()})
    return store(folder, {"data.zip": content}, **{**SAID, **said})


def test_features_stand_beside_each_interaction(tmp_path: Path) -> None:
    folder = zipped(tmp_path / "set", {f"shop/{name}": text for name, text in GOOD.items()})
    info, notes = files.examine(folder)
    dataset = files.load(folder, "set")

    assert [(column.name, column.kind, column.role) for column in info.columns] == [
        ("who", "category", "user"),
        ("what", "category", "item"),
        ("when", "number", "time"),
        ("age", "number", "user feature"),
        ("city", "category", "user feature"),
        ("sweet", "boolean", "item feature"),
        ("price", "number", "item feature"),
    ]
    assert notes == [
        "3 users and 2 items, 4 events: say rating where there is one",
        "1 users of interactions are not in users.csv: no feature of them is known",
        "1 users of users.csv have no interaction: nothing is learned from them",
    ]
    assert [column.missing for column in info.columns] == [0, 0, 0, 1, 1, 0, 0]
    nan, oslo, rome, none = np.nan, 0, 1, dataset.x[3, 4]
    np.testing.assert_array_equal(
        dataset.x,
        [
            [0, 1, 3, 40, oslo, 0, 0.5],
            [1, 1, 1, 31, rome, 0, 0.5],
            [0, 0, 2, 40, oslo, 1, 1.5],
            [2, 1, 1, nan, none, 0, 0.5],
        ],
    )
    assert np.isnan(none)
    assert dataset.columns[4].categories == ("Oslo", "Rome")
    assert profile.of(dataset)["rows"] == 4


def test_it_is_the_same_data_set_as_the_one_table_and_stays_it(tmp_path: Path) -> None:
    """Digest, columns and values, also where they were accepted before."""
    table = made_interactions.table()
    tables = {
        "interactions.csv": table[["who", "what", "when"]].to_csv(index=False),
        "users.csv": table[["who", "club"]].drop_duplicates().sample(frac=1, random_state=0).to_csv(index=False),
        "items.csv": table[["what", "worth"]].drop_duplicates().sample(frac=1, random_state=0).to_csv(index=False),
    }
    folder = zipped(tmp_path / "set", tables)
    info, _ = files.examine(folder)
    (folder / "about.json").write_text(json.dumps(to_json(info)))
    dataset, joined = files.load(folder, "set"), made_interactions.dataset()

    assert dataset.digest == info.digest == joined.digest
    assert from_json(to_json(info)) == info
    np.testing.assert_array_equal(dataset.x, joined.x)
    changed = {**tables, "users.csv": tables["users.csv"].replace("u001,b", "u001,c")}
    assert files.load(zipped(tmp_path / "changed", changed), "set").digest != dataset.digest


@pytest.mark.parametrize(("in_events", "in_users"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_user_is_the_same_however_accents_are_written(tmp_path: Path, in_events: Any, in_users: Any) -> None:
    zoe = "zoé"
    tables = {
        "interactions.csv": EVENTS.replace("ann", unicodedata.normalize(in_events, zoe)),
        "users.csv": USERS.replace("ann", unicodedata.normalize(in_users, zoe)),
    }
    dataset = files.load(zipped(tmp_path / "set", tables), "set")

    assert dataset.columns[0].categories == ("bob", "cid", zoe)
    np.testing.assert_array_equal(dataset.x[:, 3], [40, 31, 40, np.nan])


def test_long_texts_of_few_users_do_not_fill_memory(tmp_path: Path) -> None:
    """2 MB of text, which beside each of 4,000 interactions were 4 GB: refused, and left out where it is said to be ignored."""
    bios = ["".join(np.random.default_rng(user).choice([*"abcdefgh"], 1_000_000)) for user in range(2)]
    tables = {
        "interactions.csv": lines("who,what", *(f"u{i % 2},i{i % 50}" for i in range(4_000))),
        "users.csv": lines("who,bio,age", *(f"u{i},{bio},{i}" for i, bio in enumerate(bios))),
    }
    with pytest.raises(FaultsError, match=r"users.csv: beside each interaction its values take 3\.\d GiB, and 2 are"):
        files.examine(zipped(tmp_path / "set", tables, time=None))

    info, _ = files.examine(zipped(tmp_path / "ignored", tables, time=None, columns={"bio": "ignore"}))
    assert [column.name for column in info.columns] == ["who", "what", "age"]


def test_texts_that_help_nobody_are_not_joined(tmp_path: Path) -> None:
    users = range(30)
    tables = {
        "interactions.csv": lines("who,what", *(f"u{user},i{item}" for user in users for item in range(5))),
        "users.csv": lines("who,name,country", *(f"u{user},name of {user},{'ab'[user % 2]}" for user in users)),
    }
    folder = zipped(tmp_path / "set", tables, time=None)
    info, _ = files.examine(folder)

    for accepted in (None, info.columns):
        table, said, _described = zipped_tables.read({"data": folder / "data.zip"}, read_source(folder), accepted, [])
        assert [*table.columns] == ["who", "what", "country"]
        assert said.user_features == ("country",)


def test_what_a_column_is_shows_where_a_row_is_a_user(tmp_path: Path) -> None:
    """A name of each user is free text, however often its user had something."""
    users = range(30)
    tables = {
        "interactions.csv": lines("who,what", *(f"u{user},i{item}" for user in users for item in range(5))),
        "users.csv": lines("who,name,country", *(f"u{user},name of {user},{'ab'[user % 2]}" for user in users)),
    }
    info, notes = files.examine(zipped(tmp_path / "set", tables, time=None))

    assert [column.name for column in info.columns] == ["who", "what", "country"]
    assert "name is ignored: free text, 30 different values in 30 rows" in " ".join(notes)


@pytest.mark.parametrize(
    ("said", "features", "note"),
    [
        ({"user_features": ["city"]}, ["city", "sweet", "price"], "users.csv: age: ignored, as other features"),
        ({"columns": {"age": "ignore", "price": "ignore"}}, ["city", "sweet"], None),
        ({"columns": {"age": "category"}}, ["age", "city", "sweet", "price"], None),
        (
            {"user_features": ["age"], "columns": {"city": "category"}},
            ["age", "sweet", "price"],
            "users.csv: city: ignored, as other features",
        ),
    ],
)
def test_features_may_be_chosen(tmp_path: Path, said: dict[str, Any], features: list[str], note: str | None) -> None:
    info, notes = files.examine(zipped(tmp_path / "set", GOOD, **said))

    assert [column.name for column in info.columns if "feature" in column.role] == features
    assert note is None or any(note in each for each in notes)


@pytest.mark.parametrize(
    ("change", "said", "why"),
    [
        ({"interactions.csv": None}, {}, "data.zip: there is no interactions.csv in it"),
        ({"notes.txt": "?"}, {}, "data.zip: 'notes.txt' is not one of interactions.csv, users.csv, items.csv"),
        ({"old/users.csv": USERS}, {}, "'users.csv' is not one of interactions.csv, users.csv, items.csv, each once"),
        ({}, {"item": None}, "source.json: say item, the column of it in the tables of the zip"),
        (
            {"users.csv": "id,age\nann,1\n"},
            {},
            "users.csv, column 'who': there is no such column, as source.json says: there are id, age",
        ),
        ({"users.csv": USERS + "bob,1,Rome\n"}, {}, "users.csv, row 5, column 'who': this one is in a row above, too"),
        ({"users.csv": USERS + ",1,Rome\n"}, {}, "users.csv, row 5, column 'who': nobody is named here"),
        ({"users.csv": USERS + "eve,1\n"}, {}, "users.csv, row 5: 2 cells, and the header has 3"),
        (
            {"users.csv": USERS + "eve,1e40,Rome\n"},
            {},
            "users.csv, row 5, column 'age': a value that is infinite or beyond",
        ),
        ({"items.csv": "what,age\njam,1\n"}, {}, "users.csv, column 'age': another table has a column of this name"),
        ({"users.csv": USERS}, {"columns": {"city": "number"}}, "users.csv, row 2, column 'city': 'Rome' is no number"),
        (
            {"interactions.csv": lines("who,what,when", "ann,tea,1", ",tea,2")},
            {},
            "interactions.csv, row 3, column 'who'",
        ),
        ({}, {"split_column": "part"}, "interactions.csv, column 'part': there is no such column"),
    ],
)
def test_what_does_not_go_together_is_refused_by_file_and_row(
    tmp_path: Path, change: dict[str, str | None], said: dict[str, Any], why: str
) -> None:
    tables = {name: text for name, text in {**GOOD, **change}.items() if text is not None}

    with pytest.raises(FaultsError) as refused:
        files.examine(zipped(tmp_path / "set", tables, **said))
    assert why in str(refused.value)


def test_a_zip_of_which_nobody_said_what_it_is_has_its_cure(tmp_path: Path) -> None:
    content = packed({name: text.encode() for name, text in GOOD.items()})

    with pytest.raises(FaultsError, match="is a table: say user and item"):
        files.examine(store(tmp_path / "set", {"data.zip": content}))


def test_two_zips_are_refused_and_so_is_a_split_by_a_column(tmp_path: Path) -> None:
    content = packed({name: text.encode() for name, text in GOOD.items()})
    with pytest.raises(FaultsError, match=r"give one zip: parts of interactions are told by split_column"):
        files.examine(store(tmp_path / "two", {"train.zip": content, "test.zip": content}, **SAID))

    folder = zipped(tmp_path / "set", GOOD)
    with pytest.raises(FaultsError, match="interactions are split by user"):
        keys.attach(files.load(folder, "set"), folder, group="city")
