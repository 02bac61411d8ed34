import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.data.builtin import BUILTIN
from trainers.data.load import load
from trainers.data.split import sizes, splits

EVALUATION = {"validation": 0.2, "test": 0.2, "folds": 1, "repeats": 1, "seed": 0}


@pytest.mark.parametrize("name", BUILTIN)
def test_the_table_of_built_in_sets_tells_what_is_loaded(name: str) -> None:
    info, dataset = BUILTIN[name], load(name)

    assert dataset.x.shape == (info.rows, *info.shape)
    assert dataset.digest == info.digest
    assert (dataset.kind, dataset.task, dataset.y.shape) == (info.kind, info.task, (info.rows,))
    if info.task == "classification":
        assert set(dataset.y) == set(range(len(info.class_names)))
    if info.kind == "tabular":
        assert len(info.feature_names) == info.shape[0]


@given(
    rows=st.integers(0, 300),
    validation=st.floats(0.01, 0.99),
    test=st.one_of(st.just(0.0), st.floats(0.01, 0.9)),
    folds=st.integers(1, 6),
    repeats=st.integers(1, 3),
    seed=st.integers(0, 2**63),
)
def test_sizes_are_those_of_splits_and_parts_never_overlap(
    rows: int, validation: float, test: float, folds: int, repeats: int, seed: int
) -> None:
    evaluation = {"validation": validation, "test": test, "folds": folds, "repeats": repeats}
    y = np.random.default_rng(0).normal(size=rows)
    try:
        expected = sizes(rows, **evaluation)
    except ValueError:
        with pytest.raises(ValueError, match="too few"):
            splits(y, "regression", **evaluation, seed=seed)
        return
    made = splits(y, "regression", **evaluation, seed=seed)

    assert len(made.test_rows) == expected.test
    assert tuple((len(train), len(held)) for train, held in made.folds) == expected.folds
    assert len(made.folds) == folds * repeats
    for train, held in made.folds:
        assert sorted([*made.test_rows, *train, *held]) == list(range(rows))
    if folds > 1:
        for first in range(0, folds * repeats, folds):
            held = np.concatenate([held for _, held in made.folds[first : first + folds]])
            assert sorted([*made.test_rows, *held]) == list(range(rows))


@given(
    counts=st.lists(st.integers(10, 60), min_size=2, max_size=6),
    folds=st.integers(1, 4),
    share=st.floats(0.15, 0.3),
    seed=st.integers(0, 1000),
)
def test_each_part_has_each_class_in_its_share_to_a_row_or_two(
    counts: list[int], folds: int, share: float, seed: int
) -> None:
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    made = splits(y, "classification", validation=share, test=share, folds=folds, repeats=2, seed=seed)

    parts = [made.test_rows, *(part for fold in made.folds for part in fold)]
    for part in parts:
        found = np.bincount(y[part], minlength=len(counts))
        assert found.min() >= 1
        assert np.abs(found - len(part) * np.array(counts) / len(y)).max() < 2.0
    if folds > 1:
        held = np.array([np.bincount(y[held], minlength=len(counts)) for _, held in made.folds[:folds]])
        assert (held.max(axis=0) - held.min(axis=0)).max() <= 1


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    y = load("iris").y

    first, again, other = (splits(y, "classification", **{**EVALUATION, "seed": seed}) for seed in (3, 3, 4))

    assert (first.test_rows == again.test_rows).all()
    assert (first.folds[0][1] == again.folds[0][1]).all()
    assert (first.test_rows != other.test_rows).any()


def test_rows_are_the_same_on_every_machine_and_version() -> None:
    """These rows were written down once: a change would show the search rows that were promised to the test."""
    made = splits(np.arange(20) % 2, "classification", **EVALUATION)

    assert made.test_rows.tolist() == [7, 10, 12, 13]
    assert made.folds[0][1].tolist() == [0, 1, 4, 17]


def test_the_test_part_does_not_move_with_folds_repeats_or_the_validation_share() -> None:
    y = load("wine").y
    expected = splits(y, "classification", **EVALUATION).test_rows

    for change in ({"folds": 5}, {"repeats": 3}, {"validation": 0.4}, {"folds": 20, "repeats": 2}):
        assert (splits(y, "classification", **{**EVALUATION, **change}).test_rows == expected).all()


def test_repeats_are_shuffled_anew() -> None:
    made = splits(load("iris").y, "classification", **{**EVALUATION, "repeats": 2})

    assert (made.folds[0][1] != made.folds[1][1]).any()


def test_a_class_with_too_few_rows_is_refused_by_index() -> None:
    y = np.array([0] * 50 + [1] * 2)
    with pytest.raises(ValueError, match=r"class 1 has 2 rows.* at least 3"):
        splits(y, "classification", **EVALUATION)
    with pytest.raises(ValueError, match=r"class 1 has 2 rows.* at least 5"):
        splits(y, "classification", **{**EVALUATION, "test": 0.0, "folds": 5})


@pytest.mark.parametrize("change", [{"folds": 0}, {"repeats": 0}, {"test": 1.0}, {"validation": 0.0}, {"test": -0.1}])
def test_impossible_evaluations_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        splits(np.arange(100.0), "regression", **{**EVALUATION, **change})


def test_a_part_that_is_too_small_for_the_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="1 rows cannot hold some of each of 2 classes"):
        splits(np.arange(14) % 2, "classification", **{**EVALUATION, "test": 0.1})


def test_from_its_counts_alone_a_class_too_small_for_the_folds_is_refused_with_the_cure() -> None:
    info = BUILTIN["wine"]
    change = {"validation": 0.2, "test": 0.2, "repeats": 1, "class_counts": info.class_counts}
    with pytest.raises(ValueError, match=r"class 2 has 38 rows outside the test part, but 45 folds .* use fewer folds"):
        sizes(info.rows, **change, folds=45)

    assert len(sizes(info.rows, **change, folds=38).folds) == 38


@given(
    counts=st.lists(st.integers(0, 12), min_size=1, max_size=5),
    validation=st.floats(0.05, 0.9),
    test=st.one_of(st.just(0.0), st.floats(0.05, 0.9)),
    folds=st.integers(1, 6),
)
def test_counts_are_refused_exactly_where_rows_are(
    counts: list[int], validation: float, test: float, folds: int
) -> None:
    y = np.repeat(np.arange(len(counts)), counts)
    evaluation = {"validation": validation, "test": test, "folds": folds, "repeats": 1}
    try:
        expected = sizes(len(y), **evaluation, class_counts=np.bincount(y, minlength=len(counts)).tolist())
    except ValueError as error:
        with pytest.raises(ValueError, match=re.escape(str(error))):
            splits(y, "classification", **evaluation, seed=0)
        return
    made = splits(y, "classification", **evaluation, seed=0)

    assert len(made.test_rows) == expected.test
    assert tuple((len(train), len(held)) for train, held in made.folds) == expected.folds
    for _, held in made.folds:
        assert set(y[held]) == set(y)


PARTS = {"train": np.arange(60), "validation": np.arange(60, 80), "test": np.arange(80, 100)}


@pytest.mark.parametrize("given_parts", [("train", "validation", "test"), ("train", "test"), ("train", "validation")])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_parts_that_are_given_stay_and_the_others_are_split_off_the_training_part(
    given_parts: tuple[str, ...], task: Any
) -> None:
    y = np.arange(100) % 3
    part_rows = {name: PARTS[name] for name in given_parts}
    rows = sum(len(each) for each in part_rows.values())
    made = splits(y[:rows] if "test" in part_rows else y, task, **EVALUATION, part_rows=part_rows)
    train, held = made.folds[0]

    assert made.test_rows.tolist() == PARTS["test"].tolist() or "test" not in given_parts
    assert held.tolist() == PARTS["validation"].tolist() or "validation" not in given_parts
    assert len(made.test_rows) == (20 if "test" in given_parts else 12)
    assert len(held) == (20 if "validation" in given_parts else 12)
    own = [train, *(part for part, name in ((made.test_rows, "test"), (held, "validation")) if name not in given_parts)]
    assert sorted(np.concatenate(own)) == PARTS["train"].tolist()
    expected = sizes(
        rows,
        **{key: value for key, value in EVALUATION.items() if key != "seed"},
        parts={name: len(each) for name, each in part_rows.items()},
    )
    assert (expected.test, expected.folds) == (len(made.test_rows), ((len(train), len(held)),))


def test_folds_go_round_the_training_part_where_a_test_part_is_given() -> None:
    part_rows = {"train": PARTS["train"], "test": np.arange(60, 100)}
    made = splits(np.arange(100) % 2, "classification", **{**EVALUATION, "folds": 5}, part_rows=part_rows)

    assert made.test_rows.tolist() == list(range(60, 100))
    assert sorted(np.concatenate([held for _, held in made.folds])) == list(range(60))


@pytest.mark.parametrize("change", [{"folds": 2}, {"repeats": 2}])
def test_folds_and_repeats_are_refused_where_a_validation_part_is_given(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="brings its own validation part: set folds and repeats to 1"):
        splits(np.arange(100) % 2, "classification", **{**EVALUATION, **change}, part_rows=PARTS)
