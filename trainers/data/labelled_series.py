"""A table of series of which each has a class: steps in the rows, and one row of a data set for each whole series.

Owns when a table is one, and what must be the same all along a series: its class, its part, its group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from trainers.data import columns, series, steps, targets
from trainers.data.faults import Fault, FaultsError, short, some
from trainers.data.info import SERIES, TIME, Column
from trainers.data.source import SOURCE, Source
from trainers.data.tables import Table
from trainers.data.targets import Target

NEARLY_ALL = 0.9  # of series: from so many on that are said to have a class, the others are taken for mistakes
MOST_VALUES = 2**26  # of all series, made as long as the longest: half a gibibyte
MOST_PADDING = 16  # times the values that there are, where it is more than
FREE_VALUES = 2**22  # 32 MiB


@dataclass(frozen=True)
class Laid:
    """Series as rows.

    Attributes:
        x: `(series, steps, values)`, as `trainers.data.steps` lays them out.
        target: of each series.
        part_rows: series of each part; None where there is one.
        first: `(series,)` the table's first row of each.
    """

    x: np.ndarray
    target: Target
    part_rows: dict[str, np.ndarray] | None
    first: np.ndarray


def are_said(table: Table, source: Source, notes: list[str]) -> bool:
    """Whether each series has a class: as the owner says, or as text says, or a whole number that never changes within one.

    Args:
        table: that it is.
        source: what its owner says.
        notes: what the owner should know is added here.

    Raises:
        FaultsError: whole numbers stay the same along nearly all series, but not along all.
    """
    if source.task is not None or source.series not in table.columns or source.target not in table.columns:
        return source.task == "classification"
    assert source.series is not None
    assert source.target is not None
    values = targets.whole_numbers(table, source.target)
    if values is None:
        return targets.read(table, source.target, None, None, []).task == "classification"
    of_rows = numbered(table, source.series)
    several = np.bincount(of_rows) > 1  # a series of one row does not tell
    others = values != values[_first(of_rows)][of_rows]
    changing = np.bincount(of_rows[others], minlength=len(several)) > 0
    series_count, constant = int(several.sum()), int((several & ~changing).sum())
    if constant == series_count:
        return series_count > 0
    stays = f"it stays the same along {constant} of {series_count} series"
    if constant >= NEARLY_ALL * series_count:
        cure = "mend it if each series has a class, or say task: regression to forecast numbers"
        details = [f"{stays}, and is another here than in the first row of its series: {cure}"] * table.rows
        raise FaultsError(*table.row_faults(others, source.target, details))
    if constant:
        within = f"{series_count - constant} of {series_count} series"
        told = f"numbers to forecast, as it changes within {within}; say task: classification if it is a class"
        notes.append(f"{short(source.target)}: {told}")
    return False


def read(
    table: Table,
    source: Source,
    accepted: tuple[tuple[Column, ...], tuple[str, ...]] | None,
    notes: list[str],
) -> tuple[tuple[Column, ...], Target]:
    """The columns by role, in the order time, series, values; and the class of each row.

    Args:
        table: that it is.
        source: what its owner says.
        accepted: the columns and the classes as they were accepted; None to find out.
        notes: what the owner should know is added here.

    Raises:
        FaultsError: for columns that are not there or are not of their kind, and for rows without a class.
    """
    for what, name in (("time", source.time), ("series", source.series), ("target", source.target)):
        if name is None:
            detail = f"of series that have classes say time, series and target: {what} is missing; there are "
            raise FaultsError(Fault(file=SOURCE, detail=detail + some(table.columns)))
    assert source.target is not None
    series.refuse_absent(table, source)
    target = targets.read(table, source.target, "classification", accepted[1] if accepted else None, notes)
    if accepted is not None:
        return accepted[0], target
    if source.task is None:
        notes.append(
            f"each series has a class, its {short(source.target)}: say task: regression to forecast numbers instead"
        )
    assert source.time is not None
    assert source.series is not None
    time = series.column(table, source.time, TIME, source, notes)
    whose = series.column(table, source.series, SERIES, source, notes, are_told_apart=False)
    values = series.values(table, source, notes)
    if not values:
        detail = "there is no column of numbers to tell the classes by: give one beside time, series and target"
        raise FaultsError(table.fault(detail))
    return (time, whose, *values), target


def lay(
    table: Table,
    source: Source,
    encoded: np.ndarray,
    target: Target,
    part_rows: Mapping[str, np.ndarray] | None,
    notes: list[str],
) -> Laid:
    """Rows of steps as rows of series, in the order of the series' names.

    Args:
        table: that they are of.
        source: what its owner says.
        encoded: `(rows, 1 + values)` of the time and the values.
        target: of each row.
        part_rows: rows of each part.
        notes: what the owner should know is added here.

    Raises:
        FaultsError: a series has two classes or lies in two parts, or all of them together are too large.
    """
    assert source.series is not None
    assert source.target is not None
    of_rows = numbered(table, source.series)
    longest = int(np.bincount(of_rows).max())
    series_count, kept = int(of_rows.max()) + 1, min(longest, steps.LONGEST)
    if (size := series_count * kept * (encoded.shape[1] - 1)) > MOST_VALUES:
        detail = f"{series_count} series, the longest of {longest} steps, take {size} values, and {MOST_VALUES} are allowed: "
        raise FaultsError(table.fault(detail + "shorten the long ones, or leave columns out"))
    if size > max(FREE_VALUES, MOST_PADDING * encoded[:, 1:].size):
        detail = (
            f"{series_count} series made as long as the longest, {longest} steps, take {size} values, where there are "
        )
        cure = f"{encoded[:, 1:].size}: cut the long ones into series of like lengths, or leave them out"
        raise FaultsError(table.fault(detail + cure))
    if longest > kept:
        notes.append(f"the longest series has {longest} steps: of each the last {kept} are kept")
    twice = int(pd.DataFrame({"series": of_rows, "time": encoded[:, 0]}).duplicated().sum())
    if twice:
        notes.append(f"{twice} rows have the time of another row of their series: such rows keep their order")
    return Laid(
        x=steps.laid_out(of_rows, encoded[:, 0], encoded[:, 1:]),
        target=replace(target, y=one_each(table, source.target, of_rows, target.y, "class")),
        part_rows=None if part_rows is None else _parts(table, source.series, of_rows, part_rows),
        first=_first(of_rows),
    )


def numbered(table: Table, name: str) -> np.ndarray:
    """The series of each row `(rows,)`, numbered in the order of their names."""
    codes: np.ndarray = pd.factorize(columns.as_text(table.columns[name]), sort=True)[0].astype(np.int64)
    return codes


def one_each(table: Table, name: str, of_rows: np.ndarray, values: np.ndarray, what: str) -> np.ndarray:
    """The value of each series `(series,)`.

    Args:
        table: that the rows are of.
        name: of the column to tell of.
        of_rows: `(rows,)` of `numbered`.
        values: `(rows,)` of integers.
        what: a series has one of.

    Raises:
        FaultsError: a series has two.
    """
    found: np.ndarray = values[_first(of_rows)]
    wrong = values != found[of_rows]
    if wrong.any():
        cure = "a series has one, so name what has another as a series of its own"
        detail = f"another {what} than in the first row of its series: {cure}"
        raise FaultsError(*table.row_faults(wrong, name, [detail] * table.rows))
    return found


def _parts(table: Table, name: str, of_rows: np.ndarray, part_rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    numbers = np.empty(len(of_rows), np.int64)
    for number, rows in enumerate(part_rows.values()):
        numbers[rows] = number
    of_series = one_each(table, name, of_rows, numbers, "part")
    return {part: np.flatnonzero(of_series == number) for number, part in enumerate(part_rows)}


def _first(of_rows: np.ndarray) -> np.ndarray:
    return np.unique(of_rows, return_index=True)[1]
