"""Tables of users and items: how they are read, what is refused, and how they are split."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainers import made_interactions
from tests.unit.trainers.stored import lines, store
from trainers.data import files, interaction_split, parts
from trainers.data.faults import FaultsError
from trainers.data.info import from_json, to_json

SMALL = lines(
    "who,what,when,age,stars", "ann,tea,2024-03-01,40,5", "bob,tea,2024-01-01,,3", "ann,jam,2024-02-01,40,1.5"
)


def test_users_items_time_and_features_are_read_by_their_roles(tmp_path: Path) -> None:
    folder = store(tmp_path / "set", {"data.csv": SMALL}, user="who", item="what", time="when", user_features=["age"])

    info, notes = files.examine(folder)
    dataset = files.load(folder, "set")

    assert (info.kind, info.task, info.rows) == ("interactions", "recommendation", 3)
    assert [(column.name, column.role) for column in info.columns] == [
        ("who", "user"),
        ("what", "item"),
        ("when", "time"),
        ("age", "user feature"),
    ]
    assert dataset.columns[0].categories == ("ann", "bob")
    assert dataset.x[:, :2].tolist() == [[0, 1], [1, 1], [0, 0]]
    assert notes == [
        "2 users and 2 items, 3 events: say rating where there is one",
        "stars: ignored, as nothing is said of them; say user_features or item_features to use them",
    ]


def test_a_rating_makes_it_regression(tmp_path: Path) -> None:
    folder = store(tmp_path / "set", {"data.csv": SMALL}, user="who", item="what", rating="stars")

    dataset = files.load(folder, "set")

    assert (dataset.kind, dataset.task, dataset.y.tolist()) == ("interactions", "regression", [5.0, 3.0, 1.5])


def test_what_is_kept_outside_the_files_names_no_user_and_the_digest_stays(tmp_path: Path) -> None:
    folder = store(tmp_path / "set", {"data.csv": SMALL}, user="who", item="what")
    info, _ = files.examine(folder)
    kept = json.dumps(to_json(info))
    (folder / "about.json").write_text(kept)

    assert "ann" not in kept
    assert files.load(folder, "set").digest == info.digest == from_json(json.loads(kept)).digest


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ({"user": "who"}, "say item"),
        ({"item": "what"}, "say user"),
        ({"user": "who", "item": "what", "target": "stars"}, "rating in place of target"),
        ({"user": "who", "item": "thing"}, "there is no such column"),
        ({"user": "who", "item": "who"}, "said to be two things"),
        ({"user": "who", "item": "what", "user_features": ["age", "age"]}, "said to be two things"),
        ({"user": "who", "item": "what", "time": "age"}, "no time"),
        (
            {"user": "who", "item": "what", "user_features": ["stars"]},
            "another value than in a row before of the same user",
        ),
        ({"user": "k", "item": "what"}, "give the column another"),
        ({"user": "hole", "item": "what"}, "there is no user"),
        ({"user": "one", "item": "what"}, "1 different users"),
        ({"user": "who", "item": "what", "rating": "what"}, "said to be two things"),
        ({"user": "who", "item": "what", "time": "word"}, "a time is a date or a number"),
    ],
)
def test_what_cannot_be_is_refused_with_the_cure(said: dict[str, Any], detail: str, tmp_path: Path) -> None:
    text = (
        SMALL.replace("stars", "stars,k,hole,one,word").replace(",5\n", ",5,1,a,x,p\n").replace(",3\n", ",3,2,,x,q\n")
    )
    folder = store(tmp_path / "set", {"data.csv": text.replace(",1.5\n", ",1.5,1,b,x,p\n")}, **said)

    with pytest.raises(FaultsError, match=detail):
        files.examine(folder)


def test_arrays_are_no_interactions(tmp_path: Path) -> None:
    arrays = {"data.npz": {"x": np.zeros((4, 2)), "y": np.array([0, 1, 0, 1])}}

    with pytest.raises(FaultsError, match="user"):
        files.examine(store(tmp_path / "set", arrays, user="who", item="what"))


# ---- the split -------------------------------------------------------------------------------------------------------


def _when(rows: np.ndarray) -> pd.DataFrame:
    return made_interactions.table().iloc[rows]


def test_of_each_user_the_last_ones_are_held_out_test_after_validation_after_training() -> None:
    made = parts.of(made_interactions.dataset(), validation=0.2, test=0.2, folds=1, repeats=1, seed=0)
    (train_rows, validation_rows), test_rows = made.folds[0], made.test_rows

    assert sorted(np.concatenate([train_rows, validation_rows, test_rows]).tolist()) == list(range(720))
    assert (len(validation_rows), len(test_rows)) == (144, 144)
    latest, earliest = (getattr(_when(train_rows).groupby("who").when, end)() for end in ("max", "min"))
    assert (earliest == 0).all()  # each user has something to go by
    between = _when(validation_rows).groupby("who").when
    assert (between.min() > latest.reindex(between.min().index)).all()
    tested = _when(test_rows).groupby("who").when.min()
    assert (tested > between.max().reindex(tested.index)).all()
    assert len(tested) == 80


def test_without_time_the_order_is_drawn_by_the_seed() -> None:
    dataset = made_interactions.dataset()
    untimed = replace(dataset, x=np.delete(dataset.x, 2, axis=1), columns=dataset.columns[:2] + dataset.columns[3:])
    shares: dict[str, Any] = {"validation": 0.2, "test": 0.2, "folds": 1, "repeats": 1}

    first, again, other = (parts.of(untimed, **shares, seed=seed).test_rows for seed in (1, 1, 2))

    assert first.tolist() == again.tolist() != other.tolist()
    assert len(_when(first).who.unique()) == 80


def test_folds_deal_each_users_rows_and_never_move_the_test_part() -> None:
    dataset = made_interactions.dataset()
    untimed = replace(dataset, x=np.delete(dataset.x, 2, axis=1), columns=dataset.columns[:2] + dataset.columns[3:])
    one, five = (
        parts.of(untimed, validation=0.2, test=0.2, folds=folds, repeats=repeats, seed=0)
        for folds, repeats in ((1, 1), (5, 2))
    )

    assert one.test_rows.tolist() == five.test_rows.tolist()
    assert len(five.folds) == 10
    held = np.concatenate([held for _, held in five.folds[:5]])
    assert sorted(held.tolist()) == sorted(np.setdiff1d(np.arange(720), five.test_rows).tolist())


def test_folds_are_refused_where_time_says_what_comes_after_what() -> None:
    with pytest.raises(ValueError, match="set folds and repeats to 1"):
        interaction_split.splits(made_interactions.dataset(), validation=0.2, test=0.2, folds=2, repeats=1, seed=0)


def test_the_owners_parts_are_taken_as_they_are() -> None:
    dataset = replace(made_interactions.dataset(), part_rows={"train": np.arange(600), "test": np.arange(600, 720)})

    made = parts.of(dataset, validation=0.2, test=0.2, folds=1, repeats=1, seed=0)

    assert made.test_rows.tolist() == list(range(600, 720))
    assert len(made.folds[0][1]) == 120
