"""What is known of a data set without loading it, and its JSON; stdlib only, so the control plane may read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from trainers.contract import Kind, Task

ColumnKind = Literal["number", "category", "boolean", "date", "ignore", "text"]
COLUMN_KINDS: tuple[ColumnKind, ...] = tuple(kind for kind in get_args(ColumnKind) if kind != "text")
"""Those that an owner may say a column is; the one text is named by itself."""

USER, ITEM, TIME, SERIES, TARGET, VALUE = "user", "item", "time", "series", "target", "value"
FEATURE = {USER: "user feature", ITEM: "item feature"}
"""Roles of columns of interactions and series; a feature's by whose it is."""


@dataclass(frozen=True)
class Column:
    """A column of a table that a trainer is given.

    Attributes:
        name: as the file's header has it.
        kind: `number`, `category`, `boolean` or `date`, or `text` of the one column that is read as such; ignored columns
            are not among a data set's columns.
        categories: of a category, its different values as text; a raw row holds their index.
        missing: rows without a value.
        format: how its cells are written, as `trainers.data.cells` knows it; empty where they are nothing special.
        role: what it is to interactions (`user`, `item`, `time`, `user feature`, `item feature`) or series (`time`,
            `series`, `target`, `value` of what else is known of a step); else empty.
    """

    name: str
    kind: ColumnKind
    categories: tuple[str, ...] = ()
    missing: int = 0
    format: str = ""
    role: str = ""


def of_role(columns: tuple[Column, ...], role: str) -> list[int]:
    """The places of a role's columns in `Dataset.x`."""
    return [i for i, column in enumerate(columns) if column.role == role]


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What is known of a data set before it is loaded.

    Attributes:
        name: as studies name it.
        kind: which trainers fit.
        task: what is predicted.
        rows: how many, of all parts together.
        shape: of one raw row: `(features,)`, or `(height, width)` or `(height, width, channels)` in pixels, or `()`, a text.
        feature_names: one per column for tabular data, the text's column, empty for images.
        class_names: one per class, in the order of the class indices; empty for regression.
        digest: `sha256:…` of its rows: the same rows have the same digest.
        columns: one per feature name, in the same order.
        class_counts: rows per class, of the training part alone where parts are given; empty for regression.
        parts: rows of the `train`, `validation` and `test` parts that its owner gave; None where there is one part.
    """

    name: str
    kind: Kind
    task: Task
    rows: int
    shape: tuple[int, ...]
    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    digest: str
    columns: tuple[Column, ...] = ()
    class_counts: tuple[int, ...] = ()
    parts: dict[str, int] | None = None


def to_json(info: DatasetInfo) -> dict[str, Any]:
    """Plain JSON of it: lists, not tuples, and every attribute."""
    plain = asdict(info)
    lists = {name: list(value) for name, value in plain.items() if isinstance(value, tuple)}
    columns = [{**column, "categories": list(column["categories"])} for column in plain["columns"]]
    return {**plain, **lists, "columns": columns}


def from_json(value: Mapping[str, Any]) -> DatasetInfo:
    """Reads what `to_json` wrote.

    Raises:
        TypeError: for an attribute that is unknown or missing.
    """
    names = ("shape", "feature_names", "class_names", "class_counts")
    columns = [Column(**{**column, "categories": tuple(column.get("categories", ()))}) for column in value["columns"]]
    return DatasetInfo(**{**value, **{name: tuple(value[name]) for name in names}, "columns": tuple(columns)})
