"""A table of who took or rated what: a user, an item, perhaps a rating and a time, and what is known of users and items.

Owns what its owner must say of such a table. Each of its columns has a role; users and items are categories with as many
names as there are, which stay in the files: what is kept of a data set in the database has none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from trainers.data import columns, targets
from trainers.data.faults import Fault, FaultsError, short, some
from trainers.data.info import FEATURE, ITEM, TIME, USER, Column, ColumnKind
from trainers.data.source import SOURCE, Source
from trainers.data.tables import Table
from trainers.data.targets import Target

TIMES = frozenset({"date", "number"})
LARGEST = 2**24 - 2  # users, or items: an index stays exact among floats of 32 bits
NUMBER_ASKED_FOR = "k"  # the column by which the exported model is told how many items to give


def are_said(source: Source) -> bool:
    """Whether the owner says that the table is one of interactions."""
    return source.user is not None or source.item is not None


def read(
    table: Table, source: Source, accepted: tuple[Column, ...] | None, notes: list[str], own: Mapping[str, Column]
) -> tuple[tuple[Column, ...], Target]:
    """The columns by role, in the order user, item, time, features of users, features of items; and the ratings.

    Args:
        table: that it is.
        source: what its owner says.
        accepted: the columns as they were accepted, without names of users and items; None to find out.
        notes: what the owner should know is added here.
        own: by name what columns of tables of users and items are, where features have such: it was found out there.

    Raises:
        FaultsError: for columns that are not there, rows without user, item, time or rating, and features that change.
    """
    _refuse_incomplete(table, source)
    target = _target(table, source)
    described = _describe(table, source, own, notes) if accepted is None else accepted
    named = tuple(
        replace(column, categories=_names(table, column.name)) if column.role in FEATURE else column
        for column in described
    )
    if accepted is None:
        _refuse_changing(table, named)
        notes.insert(0, _about(table, named, target))
    return named, target


def feature(table: Table, name: str, role: str, said: Mapping[str, ColumnKind], notes: list[str]) -> Column:
    """What a column is that is neither the users' nor the items' own; `ignore` where it is of no use.

    Args:
        table: as its owner has written it: that of the interactions, or of users or items alone.
        name: of the column.
        role: that it has.
        said: kinds that the owner says.
        notes: what the owner should know is added here.

    Raises:
        FaultsError: for values that are not of its kind, or too large.
    """
    column = columns.describe(table, name, said.get(name), notes)
    if column.kind != "ignore" and (
        faults := columns.too_large(table, name, columns.encode(column, table.columns[name]))
    ):
        raise FaultsError(*faults)
    return replace(column, role=role)


def without_names(described: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns as they are kept outside the files: who the users are is in none of them."""
    return tuple(replace(column, categories=()) if column.role in FEATURE else column for column in described)


def _roles(source: Source) -> dict[str, str]:
    """Roles by column, in the order in which the columns stand in `Dataset.x`."""
    single = {source.user: USER, source.item: ITEM, source.time: TIME}
    roles = {name: role for name, role in single.items() if name is not None}
    roles |= dict.fromkeys(source.user_features, FEATURE[USER])
    return roles | dict.fromkeys(source.item_features, FEATURE[ITEM])


def _refuse_incomplete(table: Table, source: Source) -> None:
    """Refuses what is said of too few columns, of the same column twice, or of one that is not there."""
    if source.user is None or source.item is None:
        missing = "user" if source.user is None else "item"
        detail = f"say {missing}, the column of it: there are {some(table.columns)}"
        raise FaultsError(Fault(file=SOURCE, detail=detail))
    if source.target is not None:
        raise FaultsError(
            Fault(file=SOURCE, detail="say rating in place of target, or leave it out where there is none")
        )
    given = [source.user, source.item, source.rating, source.time, source.split_column]
    named = [name for name in (*given, *source.user_features, *source.item_features) if name is not None]
    faults = [
        table.fault(f"there is no such column, as {SOURCE} says: there are {some(table.columns)}", column=name)
        for name in dict.fromkeys(named)
        if name not in table.columns
    ]
    faults += [table.fault("it is said to be two things: say one", column=name) for name in _twice(named)]
    taken = {source.user, source.item, *source.user_features, *source.item_features}
    if NUMBER_ASKED_FOR in taken:
        detail = "by this name the model is asked for so many items: give the column another"
        faults.append(table.fault(detail, column=NUMBER_ASKED_FOR))
    if faults:
        raise FaultsError(*faults)


def _twice(names: list[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]


def _target(table: Table, source: Source) -> Target:
    if source.rating is not None:
        return targets.read(table, source.rating, "regression", None, [])
    return Target("recommendation", np.ones(table.rows))


def _describe(table: Table, source: Source, own: Mapping[str, Column], notes: list[str]) -> tuple[Column, ...]:
    roles = _roles(source)
    described = [
        _with_missing(table, own[name])
        if name in own and own[name].role == role
        else _column(table, name, role, source.columns, notes)
        for name, role in roles.items()
    ]
    used = {*roles, source.rating, source.split_column}
    unused = [name for name in table.columns if name not in used]
    if unused:
        cure = "say user_features or item_features to use them"
        notes.append(f"{some([short(name) for name in unused])}: ignored, as nothing is said of them; {cure}")
    return tuple(column for column in described if column.kind != "ignore")


def _column(table: Table, name: str, role: str, said: Mapping[str, ColumnKind], notes: list[str]) -> Column:
    if role in FEATURE:
        _refuse_missing(table, name, role)
        names = _names(table, name)
        if not 2 <= len(names) <= LARGEST:
            detail = f"{len(names)} different {role}s: give at least 2, and at most {LARGEST}"
            raise FaultsError(table.fault(detail, column=name))
        return Column(name, "category", role=role)
    column = feature(table, name, role, said, notes)
    if role == TIME:
        _refuse_missing(table, name, role)
        if column.kind not in TIMES:
            detail = f"a time is a date or a number, and this is read as {column.kind}: say which under columns"
            raise FaultsError(table.fault(detail, column=name))
    return column


def _with_missing(table: Table, column: Column) -> Column:
    """A feature out of a table of users or items with how many interactions lack it, also as that table lacks them."""
    return replace(column, missing=int(columns.as_text(table.columns[column.name]).isna().sum()))


def _names(table: Table, name: str) -> tuple[str, ...]:
    return tuple(sorted(columns.as_text(table.columns[name]).unique()))


def _refuse_missing(table: Table, name: str, role: str) -> None:
    missing = columns.as_text(table.columns[name]).isna().to_numpy()
    if missing.any():
        detail = f"there is no {role} ({int(missing.sum())} rows have none): give one, or leave the row out"
        raise FaultsError(*table.row_faults(missing, name, [detail] * table.rows))


def _refuse_changing(table: Table, described: tuple[Column, ...]) -> None:
    """Refuses a feature that has two values for one user or item; it may be missing in some rows."""
    faults: list[Fault] = []
    for role, feature in FEATURE.items():
        (whose,) = (column for column in described if column.role == role)
        owners = columns.encode(whose, table.columns[whose.name])
        for column in described:
            if column.role == feature:
                values = pd.Series(columns.encode(column, table.columns[column.name]))
                first = values.groupby(owners).transform("first").to_numpy()
                wrong = (values.notna() & (values != first)).to_numpy()
                detail = f"another value than in a row before of the same {role}: a feature of it has one"
                faults += table.row_faults(wrong, column.name, [detail] * table.rows)
    if faults:
        raise FaultsError(*faults)


def _about(table: Table, named: tuple[Column, ...], target: Target) -> str:
    users, items = (next(column for column in named if column.role == role) for role in FEATURE)
    pairs = pd.DataFrame({each.name: columns.encode(each, table.columns[each.name]) for each in (users, items)})
    again = int(pairs.duplicated().sum())
    repeated = f"; {again} rows repeat a user's item" if again else ""
    what = "ratings" if target.task == "regression" else "events: say rating where there is one"
    return f"{len(users.categories)} users and {len(items.categories)} items, {table.rows} {what}{repeated}"
