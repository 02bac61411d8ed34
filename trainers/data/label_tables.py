"""The table of labels in a zip: for each file its label, and whatever else its owner says of it, as who speaks or when it was.

Owns how `labels.csv` is read, and its further columns as a table whose rows are the files: a study may split by one of them.
No model is given them.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from trainers.data import texts
from trainers.data.faults import MOST_TOLD, FaultsError, short, some
from trainers.data.tables import Cells, File, Table
from trainers.data.zips import Member, Zip

LABELS = "labels.csv"
FILE, LABEL = "file", "label"


@dataclass(frozen=True)
class Told:
    """A row of the table.

    Attributes:
        cells: by column, `file` left out.
        line: where it stands.
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
    text = texts.decode(table.name, archive.read(table), encoding)
    delimiter = texts.sniff_delimiter(text)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
    names = [name.strip() for name in reader.fieldnames or ()]
    if not {FILE, LABEL} <= {*names}:
        raise FaultsError(archive.fault(table, f"has the columns {some(names) or 'nothing'}: give it file and label"))
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise FaultsError(archive.fault(table, f"has two columns {short(twice[0])!r}: rename one"))
    reader.fieldnames = names
    there = {_composed(each.path) for each in members}
    rows: dict[tuple[str, ...], Told] = {}
    faults: list[str] = []
    try:
        for row in reader:
            path = _composed((*table.path[:-1], *PurePosixPath(row[FILE].strip()).parts))
            beyond = "".join(row.pop(None, []))  # more cells than the header has
            cells = {name: cell.strip() for name, cell in row.items() if name != FILE}
            if why := _why_refused(row[FILE], cells, beyond, rows.get(path), is_there=path in there):
                faults.append(f"row {reader.line_num}: {why}")
            rows[path] = Told(cells, reader.line_num, delimiter)
            if len(faults) == MOST_TOLD:
                break
    except csv.Error as error:
        faults.append(f"row {reader.line_num}: it is no table ({error}): look for a quote that is not closed")
    if faults:
        raise FaultsError(*(archive.fault(table, detail) for detail in faults))
    return [rows.get(_composed(each.path)) for each in members]


def _why_refused(
    file: str, cells: Mapping[str, str], beyond: str, before: Told | None, *, is_there: bool
) -> str | None:
    """What is wrong with a row, or None."""
    if beyond.strip():
        return f"more cells than the header has: quote cells that hold the delimiter ({short(beyond)!r})"
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
