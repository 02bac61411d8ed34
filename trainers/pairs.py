"""Interactions as pairs of indices on a device, and what is known of users and items beside them.

Owns the indices: 0 is nobody, then come those of the training part in the order of their names, then validation's others,
whom the network knows by their features alone. Everything is fitted on the training part; the rest travels as plain JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from trainers import preprocessing
from trainers.contract import Dataset, Part
from trainers.data.info import FEATURE, ITEM, USER, of_role
from trainers.data.on_device import OnDevice

JUDGED_NEGATIVES = 16  # items a validation pair is compared with for its loss, the same for all trials


@dataclass(frozen=True, kw_only=True)
class Side:
    """Users, or items.

    Attributes:
        role: `user` or `item`.
        column: its name.
        names: those of the training part, index 1 first.
        index_of: by code, as `Dataset.x` has it, the index.
        fitted: the preprocessing of their features as of a table's columns; None where they have none.
        features: float32 `(indices, inputs)`; `(indices, 0)` where they have none. Of nobody, all is missing.
        is_bare: bool `(indices,)`, whether no feature of it is known.
    """

    role: str
    column: str
    names: list[str]
    index_of: np.ndarray
    fitted: dict[str, Any] | None
    features: Tensor
    is_bare: Tensor

    @property
    def known(self) -> int:
        """Indices up to here are of the training part."""
        return len(self.names)

    def described(self) -> dict[str, Any]:
        """For the exported model."""
        return {"column": self.column, "names": self.names, "features": self.fitted}


@dataclass(frozen=True)
class Pairs(OnDevice):
    """A split of interactions as tensors of indices.

    Of ratings x is `(rows, 2)`: user and item. Of events so are the training rows; a row of validation is a user, an item
    that the user has not in training, and `JUDGED_NEGATIVES` others.

    Attributes:
        users: all that is known of them.
        items: the same.
        seen: of events, each of the training part as `user * (items + 1) + item`, ascending and without repetition.
        relevant: of events, items to be found by user `(users,)`, in the order of their indices, those that training
            lacks included.
    """

    x_train: Tensor  # pairs never stream
    x_validation: Tensor
    users: Side
    items: Side
    seen: Tensor
    relevant: np.ndarray

    def example(self, rows: int) -> np.ndarray:
        """Inputs of the exported network for users, and of ratings items, that nobody has heard of."""
        sides = [self.users] if self.task == "recommendation" else [self.users, self.items]
        return np.column_stack([_invented(side.fitted, rows, seed) for seed, side in enumerate(sides)])

    def row(self) -> Tensor:
        return torch.from_numpy(self.example(1))


def prepare(train: Part, validation: Part, device: str) -> Pairs:
    """Makes the tensors of a split.

    Raises:
        ValueError: of events, where training has none of validation's items.
    """
    dataset = train.dataset
    users, items = (_side(role, train, validation, device) for role in (USER, ITEM))
    pairs, held = _indices(train, users, items), _indices(validation, users, items)
    y = dataset.y[train.rows]
    ratings = dataset.task == "regression"
    facts: dict[str, Any] = {
        "kind": dataset.kind,
        "task": dataset.task,
        "user": users.described(),
        "item": items.described(),
        "class_names": [],
        "target_mean": float(y.mean()) if ratings else 0.0,
        "target_scale": _deviation(y) if ratings else 1.0,
    }
    seen = np.unique(_keys(pairs, items))
    relevant = np.zeros(0, np.int64)
    if not ratings:
        facts["seen"] = _by_user(seen, users, items)
        held = _new(held, seen, items)
        relevant = np.bincount(held[:, 0], minlength=len(users.features))
        held = _judged(held[held[:, 1] <= items.known], seen, items, dataset)
    standardised = [
        torch.from_numpy(((dataset.y[part.rows] - facts["target_mean"]) / facts["target_scale"]).astype(np.float32))
        for part in (train, validation)
    ]
    return Pairs(
        task=dataset.task,
        x_train=torch.from_numpy(pairs).to(device),
        y_train=standardised[0][:, None].to(device),
        x_validation=torch.from_numpy(held).to(device),
        y_validation=standardised[1][:, None].to(device) if ratings else torch.zeros(len(held), 1, device=device),
        y_raw=dataset.y[validation.rows],
        preprocessing=facts,
        dtype=np.dtype(np.float32),
        users=users,
        items=items,
        seen=torch.from_numpy(seen).to(device),
        relevant=relevant,
    )


def _deviation(values: np.ndarray) -> float:
    if values.min() == values.max():  # what numpy says of equal values may be rounding noise above 0
        return 1.0
    return float(values.std() or 1.0)


def without_seen(users: np.ndarray, drawn: np.ndarray, seen: np.ndarray, items: int) -> np.ndarray:
    """Whether each drawn item `(rows, n)` is none of its user's `(rows,)`."""
    keys = users[:, None] * (items + 1) + drawn
    places = np.searchsorted(seen, keys).clip(max=len(seen) - 1)
    return np.asarray(seen[places] != keys)


def _side(role: str, train: Part, validation: Part, device: str) -> Side:
    dataset = train.dataset
    (place,) = of_role(dataset.columns, role)
    codes = dataset.x[:, place].astype(np.int64)
    names = dataset.columns[place].categories
    trained = np.unique(codes[train.rows])
    others = np.setdiff1d(np.unique(codes[validation.rows]), trained)
    everyone = np.concatenate([trained, others])
    index_of = np.zeros(len(names), np.int64)
    index_of[everyone] = np.arange(1, len(everyone) + 1)
    rows = np.concatenate([train.rows, validation.rows])
    fitted, features, is_bare = _features(role, dataset, codes, trained, everyone, rows)
    return Side(
        role=role,
        column=dataset.columns[place].name,
        names=[names[code] for code in trained.tolist()],
        index_of=index_of,
        fitted=fitted,
        features=torch.from_numpy(features).to(device),
        is_bare=torch.from_numpy(is_bare).to(device),
    )


def _features(
    role: str, dataset: Dataset, codes: np.ndarray, trained: np.ndarray, everyone: np.ndarray, rows: np.ndarray
) -> tuple[dict[str, Any] | None, np.ndarray, np.ndarray]:
    """The preprocessing of a role's features, fitted on those of the training part; by index its values, and whether all lack."""
    places = of_role(dataset.columns, FEATURE[role])
    if not places:
        return None, np.zeros((len(everyone) + 1, 0), np.float32), np.ones(len(everyone) + 1, bool)
    columns = tuple(replace(dataset.columns[place], role="") for place in places)
    # of each its first value that is not missing: its rows have the same, as uploading has made sure
    first = pd.DataFrame(dataset.x[rows][:, places]).groupby(codes[rows]).first().reindex(everyone)
    values = first.to_numpy(np.float64)
    table = replace(
        dataset,
        kind="tabular",
        task="regression",
        x=values,
        y=np.zeros(len(values)),
        feature_names=tuple(column.name for column in columns),
        columns=columns,
        part_rows=None,
    )
    fitted = preprocessing.fit(Part(table, np.arange(len(trained))))
    for column in fitted["columns"]:
        column["optional"] = True  # who asks need not know it
    by_index = np.vstack([np.full(len(places), np.nan), values])
    return fitted, preprocessing.apply(fitted, by_index), np.isnan(by_index).all(axis=1)


def _indices(part: Part, users: Side, items: Side) -> np.ndarray:
    """User and item of each row as indices, int64 `(rows, 2)`."""
    both = []
    for side in (users, items):
        (place,) = of_role(part.dataset.columns, side.role)
        both.append(side.index_of[part.dataset.x[part.rows, place].astype(np.int64)])
    return np.stack(both, axis=1)


def _keys(pairs: np.ndarray, items: Side) -> np.ndarray:
    keys: np.ndarray = pairs[:, 0] * (items.known + 1) + pairs[:, 1]
    return keys


def _by_user(seen: np.ndarray, users: Side, items: Side) -> list[list[int]]:
    """Places of the items, from 0, that each user of the training part has there."""
    owners, had = np.divmod(seen, items.known + 1)
    ends = np.cumsum(np.bincount(owners, minlength=users.known + 1))
    return [each.tolist() for each in np.split(had - 1, ends[:-1])[1:]]


def _new(held: np.ndarray, seen: np.ndarray, items: Side) -> np.ndarray:
    """Validation's pairs, each once, without those of the training part; all of them where there are no others."""
    unknown = held[:, 1] > items.known
    repeated = np.isin(_keys(held, items), seen) & ~unknown
    return np.unique(held if repeated.all() else held[~repeated], axis=0)


def _judged(held: np.ndarray, seen: np.ndarray, items: Side, dataset: Dataset) -> np.ndarray:
    """Validation's pairs with the items that each is compared with for the loss, `(pairs, 2 + JUDGED_NEGATIVES)`."""
    if not len(held):
        raise ValueError(f"{dataset.name}: no item of validation is in the training part: make that larger")
    random = np.random.default_rng(0)
    drawn = random.integers(1, items.known + 1, (len(held), JUDGED_NEGATIVES))
    again = random.integers(1, items.known + 1, drawn.shape)
    # as in training, what is drawn in vain is drawn once more and then stands
    return np.hstack([held, np.where(without_seen(held[:, 0], drawn, seen, items.known), drawn, again)])


def _invented(fitted: dict[str, Any] | None, rows: int, seed: int) -> np.ndarray:
    """The exported network's input for somebody unknown: index 0, and synthetic features."""
    index = np.zeros((rows, 1), np.float32)
    if fitted is None:
        return index
    raw = preprocessing.synthetic(fitted, rows, np.dtype(np.float64), seed)
    return np.hstack([index, preprocessing.apply(fitted, raw)])
