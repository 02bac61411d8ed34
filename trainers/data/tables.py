"""Table files as columns of cells, nothing yet decided about them: CSV, TSV and Parquet, one file or one a part.

Owns `Table`, and the way back from one of its rows to the file and line where a person finds it.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from trainers.data import cells, texts
from trainers.data.faults import MOST_TOLD, Fault, FaultsError, short, some
from trainers.data.source import Source

Given = Literal["text", "whole", "number", "boolean", "date"]
LARGEST_CELL = 2**24  # bytes
LONGEST_NAME = 1_000  # characters of a column's name


@dataclass(frozen=True)
class Cells:
    """A column as its file gives it.

    Attributes:
        given: what the file says that it is; a CSV file says `text` of everything.
        values: `(rows,)` text without values left out; or float64 with NaN for a missing value, booleans as 0 and 1,
            dates as days since 1970.
    """

    given: Given
    values: pd.Series


class Lines(Protocol):
    """Where a file's records are."""

    def of(self, record: int) -> int:
        """The line of a record, counted from 0, which is the header."""


@dataclass(frozen=True)
class File:
    """One file of a table: its name, its rows, and of a text file where its records begin and what is between cells."""

    name: str
    columns: dict[str, Cells]
    rows: int
    lines: Lines | None = None
    delimiter: str = ","


@dataclass(frozen=True)
class Table:
    """The rows of all files, one after the other.

    Attributes:
        columns: by name, in the order of the first file.
        files: by part; one `data` where there are no parts.
    """

    columns: dict[str, Cells]
    files: dict[str, File]

    @property
    def rows(self) -> int:
        """Of all files together."""
        return sum(file.rows for file in self.files.values())

    def fault(self, detail: str, *, row: int | None = None, column: str | None = None) -> Fault:
        """A fault of this table, `row` counted from 0 over all files."""
        files = list(self.files.values())
        column = None if column is None else short(column)
        if row is None:
            return Fault(file=", ".join(file.name for file in files), column=column, detail=detail)
        while row >= files[0].rows:
            row -= files.pop(0).rows
        line = row + 2 if files[0].lines is None else files[0].lines.of(row + 1)
        return Fault(file=files[0].name, row=line, column=column, detail=detail)

    def row_faults(self, wrong: np.ndarray, column: str, details: Iterable[str]) -> list[Fault]:
        """A fault for each of the first rows that are `wrong` `(rows,)`, with its detail; others are not told."""
        told = zip(np.flatnonzero(wrong)[:MOST_TOLD].tolist(), details, strict=False)
        return [self.fault(detail, row=row, column=column) for row, detail in told]


def read(paths: Mapping[str, Path], source: Source) -> Table:
    """Reads a table's files.

    Raises:
        FaultsError: for a file that is no table, and for files with different columns.
    """
    files = {part: _read_file(path, source) for part, path in paths.items()}
    first = next(iter(files.values()))
    for file in files.values():
        if set(file.columns) != set(first.columns):
            names = some([repr(name) for name in sorted(set(file.columns) ^ set(first.columns))])
            raise FaultsError(
                Fault(file=file.name, detail=f"only it or only {first.name} has {names}: give both alike")
            )
        for name, column in file.columns.items():
            if column.given != first.columns[name].given:
                detail = f"it is {column.given} here and {first.columns[name].given} in {first.name}: give both alike"
                raise FaultsError(Fault(file=file.name, column=name, detail=detail))
    joined = {
        name: Cells(column.given, pd.concat([file.columns[name].values for file in files.values()], ignore_index=True))
        for name, column in first.columns.items()
    }
    return Table(joined, files)


def _read_file(path: Path, source: Source) -> File:
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path, source)
    return read_text(path.name, path.read_bytes(), source)


def read_text(name: str, raw: bytes, source: Source) -> File:
    """Reads a CSV or TSV file out of its bytes.

    Raises:
        FaultsError: it is no table.
    """
    csv.field_size_limit(LARGEST_CELL)
    text = texts.decode(name, raw, source.encoding)
    if not text.strip():
        raise FaultsError(Fault(file=name, detail="the file is empty: give a header and rows"))
    delimiter = source.delimiter or ("\t" if name.lower().endswith(".tsv") else texts.sniff_delimiter(text))
    header = texts.header(name, text, delimiter)
    lines = texts.Lines(text, delimiter)
    names = _names(name, header)
    content = texts.as_utf8(name, text)
    ragged: list[tuple[int, int]] = []

    def skip(row: pyarrow.csv.InvalidRow) -> str:
        ragged.append((row.number, row.actual_columns))
        return "skip"

    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(content),
            # one thread: with more, rows are not numbered
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=min(len(content) + 1, LARGEST_CELL)),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip
            ),
            convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
        )
    except pa.ArrowInvalid as error:
        cure = "look for a quote that is not closed"
        raise FaultsError(Fault(file=name, detail=f"it is no table: {short(str(error))}; {cure}")) from None
    if ragged:
        raise FaultsError(*(_ragged(name, lines, names, delimiter, *each) for each in ragged[:MOST_TOLD]))
    columns = {each: Cells("text", _text(table.column(i))) for i, each in enumerate(names)}
    _with_rows(name, columns, table.num_rows)
    if columns[names[-1]].values.iloc[-1].endswith(("\n", "\r")) and not text.rstrip().endswith('"'):
        raise FaultsError(
            Fault(file=name, row=lines.of(table.num_rows), detail="a quote in it is not closed: close it, or double it")
        )
    return File(name, columns, table.num_rows, lines, delimiter)


def _ragged(file: str, lines: texts.Lines, names: list[str], delimiter: str, number: int, found: int) -> Fault:
    few, many = "give it all of them, or look for a quote that is not closed", f"quote cells that hold {delimiter!r}"
    detail = f"{found} cells, and the header has {len(names)}: {many if found > len(names) else few}"
    return Fault(file=file, row=lines.of(number - 1), detail=detail)


def _read_parquet(path: Path, source: Source) -> File:
    try:
        table = pyarrow.parquet.ParquetFile(path).read()
        names = _names(path.name, table.column_names)
    except (FaultsError, MemoryError):
        raise
    except Exception as error:  # Arrow does not say what a damaged file makes it raise
        raise FaultsError(Fault(file=path.name, detail=f"it is no Parquet file: {short(str(error))}")) from None
    wanted = {source.text, source.target, source.split_column} if source.text in names else set(names)
    columns = {
        name: _typed(path.name, name, table.column(i))
        for i, name in enumerate(names)
        if name in wanted and source.columns.get(name) != "ignore"
    }
    return File(path.name, _with_rows(path.name, columns, table.num_rows), table.num_rows)


def _names(file: str, header: list[str]) -> list[str]:
    """The columns' names; one without a name is called as pandas calls it."""
    names = [name.strip() or f"Unnamed: {i}" for i, name in enumerate(header)]
    faults = {name: "two columns have this name: rename one" for name, count in Counter(names).items() if count > 1}
    faults |= {name: f"a name of {len(name)} characters: shorten it" for name in names if len(name) > LONGEST_NAME}
    if faults:
        raise FaultsError(
            *(Fault(file=file, row=1, column=short(name), detail=detail) for name, detail in faults.items())
        )
    return names


def _with_rows(file: str, columns: dict[str, Cells], rows: int) -> dict[str, Cells]:
    if not rows:
        raise FaultsError(Fault(file=file, detail="there is a header and no row: give rows"))
    return columns


def _text(column: pa.ChunkedArray) -> pd.Series:
    return pd.Series(column.to_pandas(), dtype="str")


def _typed(file: str, name: str, column: pa.ChunkedArray) -> Cells:
    """A Parquet column by the type that the file gives it."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    column = column.cast(kind)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return Cells("text", _text(column.cast(pa.string())))
    if pa.types.is_boolean(kind):
        return Cells("boolean", pd.Series(_floats(column.cast(pa.int8()))))
    if pa.types.is_integer(kind):
        return Cells("whole", pd.Series(_floats(column)))
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return Cells("number", pd.Series(_floats(column)))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        # a zone is only shown; the value is in UTC
        return Cells("date", pd.Series(cells.days(pd.Series(column.cast(pa.timestamp("us"), safe=False).to_numpy()))))
    cure = f"store numbers, text, booleans or dates, or say columns: {{{short(name)}: ignore}}"
    raise FaultsError(Fault(file=file, column=name, detail=f"cells of type {short(str(kind))} are not read: {cure}"))


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)
