"""What a stored data set's owner said of it, `source.json`, and which files the folder holds; stdlib only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import get_args

from trainers.contract import Task
from trainers.data.faults import Fault, FaultsError, short
from trainers.data.info import COLUMN_KINDS, ColumnKind

SOURCE = "source.json"
EXTENSIONS = ("csv", "tsv", "parquet", "npz")
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Source:
    """What an owner may say; what is left out is found out.

    Attributes:
        target: the column to predict; tables need it.
        task: what is predicted.
        encoding: of text files, as Python names it.
        delimiter: between the cells of text files, one character.
        columns: kinds of columns by name.
        split_column: the column that says which part a row is of: `train`, `validation` or `test`.
        user: the column of who; with `item` it makes the table one of interactions.
        item: the column of what.
        rating: how much the user liked the item; left out, that there is a row is all that is known.
        time: when, a date or a number; without users and items it makes the table one of series.
        series: the column that says which series a row is of, where there are several.
        user_features: columns that tell of the user, the same in all rows of one.
        item_features: columns that tell of the item.
        text: the one column to predict from, as text in any language; the others are ignored.
    """

    target: str | None = None
    task: Task | None = None
    encoding: str | None = None
    delimiter: str | None = None
    columns: Mapping[str, ColumnKind] = field(default_factory=dict)
    split_column: str | None = None
    user: str | None = None
    item: str | None = None
    rating: str | None = None
    time: str | None = None
    series: str | None = None
    user_features: Sequence[str] = ()
    item_features: Sequence[str] = ()
    text: str | None = None


def read_source(folder: Path) -> Source:
    """Reads a folder's `source.json`; a folder without one says nothing.

    Raises:
        FaultsError: for an unknown key or a value that no such key has.
    """
    path = folder / SOURCE
    said = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known = [each.name for each in fields(Source)]
    faults = [f"{short(key)!r} is unknown: use {', '.join(known)}" for key in said if key not in known]
    source = Source(**{key: value for key, value in said.items() if key in known and value is not None})
    tasks = get_args(Task)
    if source.task not in {None, *tasks}:
        faults.append(f"task is {source.task!r}: use {' or '.join(tasks)}, or leave it out")
    faults += delimiter_faults(source.delimiter)
    for name, kind in source.columns.items():
        if kind not in COLUMN_KINDS:
            faults.append(f"the kind of column {short(name)!r} is {kind!r}: use one of {', '.join(COLUMN_KINDS)}")
    if faults:
        raise FaultsError(*(Fault(file=SOURCE, detail=detail) for detail in faults))
    return source


def delimiter_faults(delimiter: str | None) -> list[str]:
    """What is wrong with a delimiter that somebody says."""
    if delimiter is None or (len(delimiter) == 1 and delimiter.isascii() and delimiter not in '"\0\r\n'):
        return []
    cure = "use one ASCII character that is no quote and no line end, or leave it out"
    return [f"delimiter is {short(delimiter)!r}: {cure}"]


def find_parts(folder: Path) -> dict[str, Path]:
    """The folder's data files by part: `data` alone, or `train` with `validation` or `test`, or both.

    Raises:
        FaultsError: where there is neither, or files of several formats.
    """
    found = {
        stem: [path for extension in EXTENSIONS if (path := folder / f"{stem}.{extension}").is_file()]
        for stem in ("data", *PARTS)
    }
    paths = {stem: each[0] for stem, each in found.items() if each}
    if sum(len(each) for each in found.values()) > len(paths) or len({path.suffix for path in paths.values()}) > 1:
        names = ", ".join(path.name for each in found.values() for path in each)
        raise FaultsError(Fault(file=names, detail="give files of one format, one file for each part"))
    if set(paths) == {"data"} or ("train" in paths and "data" not in paths):
        return paths
    wanted = f"give data.EXT, or train.EXT with validation.EXT, test.EXT; EXT is {', '.join(EXTENSIONS)}"
    raise FaultsError(Fault(file=", ".join(path.name for path in paths.values()) or "no file", detail=wanted))
