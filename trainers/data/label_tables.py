"""The table of labels in a zip: for each file its label, and whatever else its owner says of it, as who speaks or when it was.

Owns how `labels.csv` is read, and its further columns as a table whose rows are the files: a study may split by one of them.
No model is given them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from trainers.data import tables
from trainers.data.faults import MOST_TOLD, Fault, FaultsError, short, some
from trainers.data.source import Source
from trainers.data.tables import Cells, File, Table
from trainers.data.zips import Member, Zip

LABELS = "labels.csv"
FILE, LABEL = "file", "label"


@dataclass(frozen=True)
class Told:
    """A row of the table.

    Attributes:
        cells: by column, `file` left out.
        line: where it begins.
        delimiter: between the cells of the table.
    """

    cells: Mapping[str, str]
    line: int
    delimiter: str


@dataclass(frozen=True)
class _AtLines:
    """At which line each row stands."""

    lines: list[int]

    def of(self, record: int) -> int:
        return self.lines[record - 1]  # 0 is the header


def read(archive: Zip, table: Member, members: list[Member], encoding: str | None) -> list[Told | None]:
    """What a table says of each of `members`; None of a file that it does not name.

    Raises:
        FaultsError: it is no such table, or names files that are not there.
    """
    name = f"{archive.file}, {table.name}"  # the first file is the one that was uploaded
    given = tables.read_text(name, archive.read(table), Source(encoding=encoding))
    assert given.lines is not None
    if not {FILE, LABEL} <= {*given.columns}:
        raise FaultsError(
            Fault(file=name, detail=f"it has the columns {some(given.columns)}: give it file and label", row=1)
        )
    there = {_composed(each.path) for each in members}
    rows: dict[tuple[str, ...], Told] = {}
    faults: list[Fault] = []
    stripped = [column.values.str.strip() for column in given.columns.values()]
    for record, row in enumerate(zip(*stripped, strict=True), 1):
        cells = dict(zip(given.columns, row, strict=True))
        file, line = cells.pop(FILE), given.lines.of(record)
        path = _composed((*table.path[:-1], *PurePosixPath(file).parts))
        if why := _why_refused(file, cells, rows.get(path), is_there=path in there):
            faults.append(Fault(file=name, row=line, detail=why))
        rows[path] = Told(cells, line, given.delimiter)
        if len(faults) == MOST_TOLD:
            break
    if faults:
        raise FaultsError(*faults)
    return [rows.get(_composed(each.path)) for each in members]


def _why_refused(file: str, cells: Mapping[str, str], before: Told | None, *, is_there: bool) -> str | None:
    """What is wrong with a row, or None."""
    if not is_there:
        return f"there is no file {short(file)!r}: mend the path"
    if not cells[LABEL]:
        return "there is no label: give one, or leave the row out"
    for name, cell in cells.items():
        if before is not None and before.cells[name] != cell:
            return f"{short(file)!r} has another {short(name)} above: leave one out"
    return None


def as_table(told: Sequence[Told | None]) -> Table:
    """What is said of files beside their names, a row a file in the same order; of a file without a row nothing."""
    rows = [each for each in told if each is not None]
    names = dict.fromkeys(name for each in rows for name in each.cells)
    columns = {
        name: Cells("text", pd.Series([None if each is None else each.cells.get(name) for each in told], dtype="str"))
        for name in names
    }
    lines = _AtLines([1 if each is None else each.line for each in told])
    return Table(columns, {"data": File(LABELS, {}, len(told), lines, rows[0].delimiter if rows else ",")})


def _composed(path: tuple[str, ...]) -> tuple[str, ...]:
    """The path with one character for a letter and its accent, which macOS writes as two."""
    return tuple(unicodedata.normalize("NFC", name) for name in path)
