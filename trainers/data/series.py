"""A table of values in the course of time, of one series or several: what its owner must say, and its columns by role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from trainers.data import columns, targets
from trainers.data.faults import Fault, FaultsError, short, some
from trainers.data.info import SERIES, TARGET, TIME, VALUE, Column, of_role
from trainers.data.source import PARTS, SOURCE, Source
from trainers.data.tables import Table
from trainers.data.targets import Target

TIMES = frozenset({"date", "number"})
VALUES = frozenset({"number", "boolean"})
ANSWERS = ("prediction", "step")  # columns that a model gives beside the names of series; a classifier the first alone


def are_said(source: Source) -> bool:
    """Whether the owner says that the table is of series: it has a time, and no users."""
    return source.series is not None or (source.time is not None and source.user is None and source.item is None)


def read(
    table: Table, source: Source, accepted: tuple[Column, ...] | None, notes: list[str]
) -> tuple[tuple[Column, ...], Target]:
    """The columns by role, in the order time, series if there are several, target, values; and the target's values.

    Args:
        table: that it is.
        source: what its owner says.
        accepted: the columns as they were accepted; None to find out.
        notes: what the owner should know is added here.

    Raises:
        FaultsError: for columns that are not there or are not of their kind, and for rows without a value.
    """
    for what, name in (("time", source.time), ("target", source.target)):
        if name is None:
            detail = f"of series say time and target, and series where there are several: {what} is missing; there are "
            raise FaultsError(Fault(file=SOURCE, detail=detail + some(table.columns)))
    refuse_absent(table, source)
    assert source.target is not None
    target = targets.read(table, source.target, "regression", None, [])
    if accepted is not None:
        return accepted, target
    roles = {source.time: TIME, source.series: SERIES, source.target: TARGET}
    described = tuple(column(table, name, role, source, notes) for name, role in roles.items() if name is not None)
    further = values(table, source, notes)
    if further:
        names = [short(each.name) for each in further]
        cure = f"say columns: {{{names[0]}: ignore}} to forecast without"
        notes.append(f"{some(names)}: the past of it is read beside that of {short(source.target)}; {cure}")
    return (*described, *further), target


def refuse_absent(table: Table, source: Source) -> None:
    """Refuses columns of time, series and target that are not there, or are the same.

    Raises:
        FaultsError: naming one.
    """
    named = [name for name in (source.time, source.series, source.target) if name is not None]
    absent = [name for name in named if name not in table.columns]
    if absent or len(set(named)) < len(named):
        detail = f"time, series and target are three columns of the table: there are {some(table.columns)}"
        raise FaultsError(table.fault(detail, column=absent[0] if absent else source.target))


def values(table: Table, source: Source, notes: list[str]) -> tuple[Column, ...]:
    """The further columns of numbers, or of yes and no; others are ignored, with a note.

    Raises:
        FaultsError: naming rows that are not of their column's kind.
    """
    taken = {source.time, source.series, source.target, source.split_column}
    described = [
        columns.describe(table, name, source.columns.get(name), notes) for name in table.columns if name not in taken
    ]
    unused = [short(each.name) for each in described if each.kind not in {*VALUES, "ignore"}]
    if unused:
        notes.append(f"{some(unused)}: ignored, as of further columns numbers are read, and yes and no")
    return tuple(replace(each, role=VALUE) for each in described if each.kind in VALUES)


def refuse_mixed_parts(
    table: Table, described: tuple[Column, ...], x: np.ndarray, part_rows: Mapping[str, np.ndarray] | None
) -> None:
    """Refuses parts that a series' owner gives where one is not all later than the part before it.

    Args:
        table: that it is.
        described: its columns.
        x: their values, `(rows, columns)`.
        part_rows: rows of each part; None where there is one.

    Raises:
        FaultsError: naming the first row that is too early.
    """
    (place,) = of_role(described, TIME)
    given = [(part, part_rows[part]) for part in PARTS if part in part_rows] if part_rows else []
    for (before, earlier), (part, later) in pairwise(given):
        early = x[later, place] <= x[earlier, place].max()
        if early.any():
            detail = f"a row of {part} is not later than all of {before}, so the future would be known: cut by time"
            raise FaultsError(table.fault(detail, row=int(later[early][0]), column=described[place].name))


def column(
    table: Table, name: str, role: str, source: Source, notes: list[str], *, are_told_apart: bool = True
) -> Column:
    """A column that its owner names.

    Args:
        table: that it is of.
        name: of it.
        role: time, series or target.
        source: what the owner says.
        notes: what the owner should know is added here.
        are_told_apart: whether a model is to know series by their names.

    Raises:
        FaultsError: it is not of its role's kind, lacks values, or has a name that models need.
    """
    if role == SERIES:
        _refuse_missing(table, name, role)
        _refuse_name_of_answers(table, name, ANSWERS if are_told_apart else ANSWERS[:1])
        if not are_told_apart:
            return Column(name, "category", format=columns.of_names(table.columns[name]), role=role)
        _refuse_too_many(table, name)
        return replace(columns.describe(table, name, "category", notes), role=role)
    if role == TARGET:
        return replace(columns.describe(table, name, "number", notes), role=role)
    _refuse_missing(table, name, role)
    time = columns.describe(table, name, source.columns.get(name), notes)
    if time.kind not in TIMES:
        detail = f"a time is a date or a number, and this is read as {time.kind}: say which under columns"
        raise FaultsError(table.fault(detail, column=name))
    return replace(time, role=role)


def _refuse_missing(table: Table, name: str, role: str) -> None:
    missing = columns.as_text(table.columns[name]).isna().to_numpy()
    if missing.any():
        detail = f"there is no {role} ({int(missing.sum())} rows have none): give one, or leave the row out"
        raise FaultsError(*table.row_faults(missing, name, [detail] * table.rows))


def _refuse_name_of_answers(table: Table, name: str, answers: Sequence[str]) -> None:
    """Refuses a column of series that stands beside one of the same name in what a model gives."""
    if name in answers:
        detail = f"a model gives the names of series beside a column {name!r} of its own: give this column another name"
        raise FaultsError(table.fault(detail, column=name))


def _refuse_too_many(table: Table, name: str) -> None:
    different = columns.as_text(table.columns[name]).nunique()
    if different > columns.MAX_CATEGORIES:
        detail = f"there are {different} series, and {columns.MAX_CATEGORIES} are allowed: give fewer in a data set"
        raise FaultsError(table.fault(detail, column=name))
