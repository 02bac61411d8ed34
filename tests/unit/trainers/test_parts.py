"""Splits by groups and by time: what they promise of every row, on generated data."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.contract import Dataset, Task
from trainers.data import parts
from trainers.data.split import Splits

EVALUATION = {"validation": 0.2, "test": 0.2, "folds": 1, "repeats": 1, "seed": 0}


def dataset(y: np.ndarray, task: Task = "classification", **columns: np.ndarray) -> Dataset:
    return Dataset(
        name="made",
        kind="tabular",
        task=task,
        x=np.zeros((len(y), 1)),
        y=y,
        feature_names=("x",),
        class_names=("no", "yes") if task == "classification" else (),
        digest="sha256:made",
        **columns,
    )


def split(data: Dataset, **changes: Any) -> Splits:
    return parts.of(data, **{**EVALUATION, **changes})


def split_or_told(data: Dataset, **changes: Any) -> tuple[Splits | None, str]:
    """The split, or why there is none."""
    try:
        return split(data, **changes), ""
    except ValueError as error:
        return None, str(error)


evaluations = {
    "folds": st.integers(1, 6),
    "repeats": st.integers(1, 3),
    "test": st.sampled_from([0.0, 0.1, 0.2, 0.35]),
    "validation": st.sampled_from([0.1, 0.2, 0.4]),
    "seed": st.integers(0, 2**31 - 1),
}


def assert_every_row_is_used_once(made: Splits, rows: int) -> None:
    """Test part, training part and validation part of a fold are all rows, none of them twice."""
    for train, held in made.folds:
        assert sorted([*made.test_rows, *train, *held]) == list(range(rows))
        assert len(train)
        assert len(held)


# ---- groups ----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=12, max_size=60),
    task=st.sampled_from(["classification", "regression"]),
    **evaluations,
)
def test_no_group_is_on_both_sides_and_every_row_is_used_once(
    sizes: list[int], task: Any, seed: int, **evaluation: Any
) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(len(sizes)), sizes) * 7)
    y = rng.integers(0, 2, len(groups)) if task == "classification" else rng.normal(size=len(groups))
    data = dataset(y, task, groups=groups)
    made, refusal = split_or_told(data, **evaluation, seed=seed)
    if made is None:
        assert task == "classification"
        assert "too few groups" in refusal or "rows are too few" in refusal
        return

    assert_every_row_is_used_once(made, len(y))
    assert len(made.folds) == evaluation["folds"] * evaluation["repeats"]
    for train, held in made.folds:
        sides = [set(groups[rows]) for rows in (train, held, made.test_rows)]
        assert not sides[0] & sides[1]
        assert not (sides[0] | sides[1]) & sides[2]
    if evaluation["folds"] > 1:
        for first in range(0, len(made.folds), evaluation["folds"]):
            held = np.concatenate([held for _, held in made.folds[first : first + evaluation["folds"]]])
            assert sorted([*made.test_rows, *held]) == list(range(len(y)))


@settings(deadline=None, max_examples=30)
@given(**{**evaluations, "test": st.just(0.2)})
def test_the_test_part_depends_on_its_share_and_the_seed_alone(seed: int, **evaluation: Any) -> None:
    rng = np.random.default_rng(5)
    data = dataset(rng.integers(0, 2, 400), groups=rng.integers(0, 50, 400))

    made, plain, again = (split(data, **each, seed=seed) for each in (evaluation, {}, evaluation))

    assert made.test_rows.tolist() == plain.test_rows.tolist()
    assert [held.tolist() for _, held in made.folds] == [held.tolist() for _, held in again.folds]


def test_parts_are_near_their_shares_with_the_classes_in_like_shares() -> None:
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 120, 3000)
    y = (rng.random(3000) < 0.2 + 0.3 * (groups % 2)).astype(np.int64)  # a group says something of the class
    made = split(dataset(y, groups=groups), test=0.15)
    train, held = made.folds[0]

    for rows, share in ((made.test_rows, 0.15), (held, 0.2), (train, 0.65)):
        assert len(rows) / 3000 == pytest.approx(share, abs=0.02)
        assert y[rows].mean() == pytest.approx(y.mean(), abs=0.02)


def test_another_seed_or_repeat_deals_other_groups() -> None:
    rng = np.random.default_rng(1)
    data = dataset(rng.integers(0, 2, 300), groups=rng.integers(0, 40, 300))
    made, other = split(data, repeats=2), split(data, seed=1)

    assert made.test_rows.tolist() != other.test_rows.tolist()
    assert made.folds[0][1].tolist() != made.folds[1][1].tolist()


def test_one_huge_group_trains_and_is_neither_test_nor_validation_part() -> None:
    groups = np.concatenate([np.zeros(300, int), np.arange(1, 101)])
    made = split(dataset(np.arange(400) % 2, groups=groups))

    assert set(groups[made.folds[0][0]]) >= {0}
    assert 20 <= len(made.test_rows) <= 80


def test_very_many_groups_are_split_in_a_moment_and_stay_whole() -> None:
    groups = np.arange(200_000) // 2
    made = split(dataset(np.arange(200_000) % 2, groups=groups), folds=5)

    for train, held in made.folds:
        assert not np.intersect1d(groups[train], groups[held]).size
        assert len(held) == pytest.approx(32_000, rel=0.02)


def test_rows_by_groups_are_the_same_on_every_machine_and_version() -> None:
    """Written down once: a change would show the search rows that were promised to the test."""
    made = split(dataset(np.arange(24) % 2, groups=np.arange(24) // 2 % 8))

    assert made.test_rows.tolist() == [10, 11, 14, 15]
    assert made.folds[0][1].tolist() == [8, 9, 12, 13]


@pytest.mark.parametrize(
    ("groups", "changes", "cure"),
    [
        (
            np.arange(40) % 2,
            {},
            "2 groups are too few for a training and a validation part beside a test part, which need 3",
        ),
        (
            np.arange(40) % 5,
            {"folds": 5},
            "5 groups are too few for 5 folds beside a test part, which need 6: use fewer",
        ),
        (np.arange(40) % 1, {"test": 0.0}, "1 groups are too few"),
        (
            np.arange(40) // 20,
            {"test": 0.0},
            "the training part has rows of 1 of 2 classes, as the classes lie in too few",
        ),
    ],
)
def test_too_few_groups_are_refused_with_the_cure(groups: np.ndarray, changes: dict[str, Any], cure: str) -> None:
    with pytest.raises(ValueError, match=cure):
        split(dataset(np.repeat([0, 1], 20), groups=groups), **changes)


# ---- time ------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    times=st.lists(st.integers(0, 30), min_size=20, max_size=120),
    task=st.sampled_from(["classification", "regression"]),
    **evaluations,
)
def test_nothing_is_trained_on_the_future_and_every_row_is_used(
    times: list[int], task: Any, seed: int, **evaluation: Any
) -> None:
    when = np.array(times, float)
    y = np.random.default_rng(seed).integers(0, 2, len(when)) * (1 if task == "classification" else 1.5)
    made, refusal = split_or_told(dataset(y, task, times=when), **evaluation, seed=seed)
    if made is None:
        assert "too few" in refusal or "side by side in time" in refusal
        return

    assert len(made.folds) == evaluation["folds"] * evaluation["repeats"]
    for train, held in made.folds:
        assert when[train].max() < when[held].min()
        if len(made.test_rows):
            assert when[held].max() < when[made.test_rows].min()
    used = [made.folds[0][0], *(held for _, held in made.folds[: evaluation["folds"]]), made.test_rows]
    assert sorted(np.concatenate(used)) == list(range(len(when)))
    assert (len(made.test_rows) > 0) == (evaluation["test"] > 0)


def test_rolling_origin_trains_on_all_that_came_before() -> None:
    rng = np.random.default_rng(0)
    when = rng.permutation(120).astype(float)
    made = split(dataset(rng.normal(size=120), "regression", times=when), folds=4, test=1 / 6)

    assert sorted(when[made.test_rows]) == list(range(100, 120))
    for fold, (train, held) in enumerate(made.folds):
        assert sorted(when[train]) == list(range(20 * (fold + 1)))
        assert sorted(when[held]) == list(range(20 * (fold + 1), 20 * (fold + 2)))


def test_one_validation_part_lies_between_training_and_test() -> None:
    when = np.arange(100.0)[::-1]
    made = split(dataset(np.arange(100) % 2, times=when))

    assert [sorted(when[rows]) for rows in (*made.folds[0], made.test_rows)] == [
        list(range(low, high)) for low, high in pairwise([0, 60, 80, 100])
    ]


@pytest.mark.parametrize(
    ("times", "changes", "cure"),
    [
        (np.repeat([1.0, 2.0], 20), {}, "2 different times are too few"),
        (
            np.arange(40) // 10,
            {"folds": 5},
            "4 different times are too few, .* for 5 folds beside a test part: use fewer",
        ),
        (np.repeat([0.0, 1.0, 2.0], [38, 1, 1]), {}, "or one has too many rows"),
    ],
)
def test_too_few_times_are_refused_with_the_cure(times: np.ndarray, changes: dict[str, Any], cure: str) -> None:
    with pytest.raises(ValueError, match=cure):
        split(dataset(np.arange(40) % 2, times=times.astype(float)), **changes)


def test_a_class_that_is_new_in_validation_is_refused() -> None:
    with pytest.raises(
        ValueError, match="training part has rows of 1 of 2 classes, as the classes do not lie side by side"
    ):
        split(dataset(np.repeat([0, 1], [70, 30]), times=np.arange(100.0)))


def test_own_parts_and_a_column_are_refused_together() -> None:
    data = dataset(
        np.arange(20) % 2, times=np.arange(20.0), part_rows={"train": np.arange(10), "test": np.arange(10, 20)}
    )
    with pytest.raises(ValueError, match="brings parts of its own: leave group and time out"):
        split(data)
