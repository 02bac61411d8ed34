"""Reads a stored data set, a folder of files, into memory; needs pandas and pyarrow, no torch.

Owns the rules that need the whole data set: its parts, the rows of each class, its digest.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from trainers.contract import Dataset, Kind
from trainers.data import (
    arrays,
    columns,
    interactions,
    labelled_series,
    media,
    series,
    tables,
    targets,
    text_tables,
    zipped_tables,
)
from trainers.data.digest import digest
from trainers.data.faults import Fault, FaultsError, short, some
from trainers.data.info import SERIES, Column, DatasetInfo, from_json
from trainers.data.source import PARTS, SOURCE, Source, find_parts, read_source
from trainers.data.tables import Table
from trainers.data.targets import Target

ABOUT = "about.json"
MOST_NOTES = 100


def load(folder: Path, name: str) -> Dataset:
    """Loads a stored data set, with the kinds and classes of its `about.json` where that is there.

    Args:
        folder: with `source.json` and the data files.
        name: that the data set is to have.

    Raises:
        FaultsError: where it cannot be used as it is.
    """
    if zipped := _zips(folder):
        return media.load(zipped, read_source(folder), name, folder, [])
    about = folder / ABOUT
    accepted = from_json(json.loads(about.read_text(encoding="utf-8"))) if about.exists() else None
    return _read(folder, name, accepted, [])


def examine(folder: Path) -> tuple[DatasetInfo, list[str]]:
    """What a stored data set is, and what its owner should know of how it was read.

    Raises:
        FaultsError: where it cannot be used as it is.
    """
    dataset, notes = read_new(folder)
    return describe(dataset), notes


def read_new(folder: Path) -> tuple[Dataset, list[str]]:
    """A data set that nobody has accepted yet, and what its owner should know of how it was read.

    Raises:
        FaultsError: where it cannot be used as it is.
    """
    notes: list[str] = []
    if zipped := _zips(folder):
        dataset = media.load(zipped, read_source(folder), folder.name, folder, notes)
    else:
        dataset = _read(folder, folder.name, None, notes)
    return dataset, notes if len(notes) <= MOST_NOTES else [*notes[:MOST_NOTES], f"and {len(notes) - MOST_NOTES} more"]


def describe(dataset: Dataset) -> DatasetInfo:
    """What is to be known of a data set without loading it."""
    trained = dataset.y if dataset.part_rows is None else dataset.y[dataset.part_rows["train"]]
    return DatasetInfo(
        name=dataset.name,
        kind=dataset.kind,
        task=dataset.task,
        rows=len(dataset.y),
        shape=dataset.x.shape[1:],
        feature_names=dataset.feature_names,
        class_names=dataset.class_names,
        digest=dataset.digest,
        columns=interactions.without_names(dataset.columns),
        class_counts=tuple(np.bincount(trained).tolist()) if dataset.class_names else (),
        parts=None if dataset.part_rows is None else {part: len(rows) for part, rows in dataset.part_rows.items()},
    )


def _zips(folder: Path) -> dict[str, Path] | None:
    """The folder's files by part where they are zips of images or sound, and not of tables."""
    paths = find_parts(folder)
    are_zips = next(iter(paths.values())).suffix == ".zip"
    return paths if are_zips and not interactions.are_said(read_source(folder)) else None


def _read(folder: Path, name: str, accepted: DatasetInfo | None, notes: list[str]) -> Dataset:
    source, paths = read_source(folder), find_parts(folder)
    suffix = next(iter(paths.values())).suffix
    are_arrays = suffix == ".npz"
    _refuse_mixed(source, are_arrays=are_arrays)
    if suffix == ".zip":
        read = zipped_tables.read(paths, source, accepted.columns if accepted else None, notes)
        return _interactions(name, *read, accepted=accepted, notes=notes)
    if are_arrays:
        x, table = arrays.read(paths)
        source = replace(source, target=arrays.TARGET, split_column=None)
    else:
        x, table = None, tables.read(paths, source)
    if interactions.are_said(source):
        return _interactions(name, table, source, {}, accepted=accepted, notes=notes)
    if series.are_said(source):
        _refuse_unknown(table, source)
        is_labelled = accepted.kind == "labelled-series" if accepted else labelled_series.are_said(table, source, notes)
        return (_labelled_series if is_labelled else _series)(name, table, source, accepted, notes)
    if source.target is None:
        return _read_language(table, source, name, notes)
    _refuse_unknown(table, source)
    task, class_names = (accepted.task, accepted.class_names) if accepted else (source.task, None)
    target = targets.read(table, source.target, task, class_names, notes)
    part_rows = _part_rows(table, source)
    targets.refuse_small_classes(table, source.target, target, part_rows)
    kind: Kind = "text" if source.text is not None else "tabular" if x is None or x.ndim == 2 else "image"
    features: tuple[Column, ...] = ()
    if kind == "text":
        x, features = text_tables.read(table, source, notes)
    elif kind == "tabular":
        features = accepted.columns if accepted else _describe(table, source, notes)
        x = _encode(table, features)
    assert x is not None
    return _made(name, kind, x, features, target, part_rows)


def _read_language(table: Table, source: Source, name: str, notes: list[str]) -> Dataset:
    """What has no target: texts to be foretold."""
    if source.text is None or source.task not in {None, "language"}:
        detail = f"say target, the column to predict: there are {some(table.columns)}"
        raise FaultsError(Fault(file=SOURCE, detail=detail))
    _refuse_unknown(table, source)
    x, described = text_tables.read(table, source, notes)
    return _made(name, "text", x, described, targets.none(table), _part_rows(table, source))


def _refuse_mixed(source: Source, *, are_arrays: bool) -> None:
    """Refuses what the owner says of more than one kind of table, or of one where there is none."""
    by_roles = interactions.are_said(source) or series.are_said(source)
    detail = None
    if are_arrays and (by_roles or source.text is not None):
        detail = "user, item, time, series and text are columns of a table, and this is none: leave them out"
    elif by_roles and source.text is not None:
        detail = "text goes with a target alone: leave it out, or user, item, time and series"
    elif by_roles and source.task == "structured":
        detail = "task: structured goes with a target alone: leave it out, or user, item, time and series"
    elif source.task == "language" and (are_arrays or by_roles or source.target is not None):
        detail = "task: language foretells the texts themselves: say text alone, without a target, or leave task out"
    elif source.task == "recommendation" and not interactions.are_said(source):
        detail = "task: recommendation needs the columns user and item: say them, or leave task out"
    if detail is not None:
        raise FaultsError(Fault(file=SOURCE, detail=detail))


def _interactions(
    name: str,
    table: Table,
    source: Source,
    own: Mapping[str, Column],
    *,
    accepted: DatasetInfo | None,
    notes: list[str],
) -> Dataset:
    _refuse_unknown(table, source, own)
    described, target = interactions.read(table, source, accepted.columns if accepted else None, notes, own)
    return _made(name, "interactions", _encode(table, described), described, target, _part_rows(table, source))


def _series(name: str, table: Table, source: Source, accepted: DatasetInfo | None, notes: list[str]) -> Dataset:
    described, target = series.read(table, source, accepted.columns if accepted else None, notes)
    x, part_rows = _encode(table, described), _part_rows(table, source)
    if accepted is None:
        series.refuse_mixed_parts(table, described, x, part_rows)
    return _made(name, "series", x, described, target, part_rows)


def _labelled_series(
    name: str, table: Table, source: Source, accepted: DatasetInfo | None, notes: list[str]
) -> Dataset:
    known = (accepted.columns, accepted.class_names) if accepted else None
    described, of_rows = labelled_series.read(table, source, known, notes)
    encoded = _encode(table, tuple(column for column in described if column.role != SERIES))
    laid = labelled_series.lay(table, source, encoded, of_rows, _part_rows(table, source), notes)
    assert source.target is not None
    targets.refuse_small_classes(table, source.target, laid.target, laid.part_rows, laid.first)
    return _made(name, "labelled-series", laid.x, described, laid.target, laid.part_rows)


def _made(
    name: str,
    kind: Kind,
    x: np.ndarray,
    described: tuple[Column, ...],
    target: Target,
    part_rows: Mapping[str, np.ndarray] | None,
) -> Dataset:
    return Dataset(
        name=name,
        kind=kind,
        task=target.task,
        x=x,
        y=target.y,
        feature_names=tuple(column.name for column in described),
        class_names=target.class_names,
        digest=digest(x, target.y, _meaning(described, target, part_rows)),
        columns=described,
        part_rows=part_rows,
    )


def _refuse_unknown(table: Table, source: Source, own: Collection[str] = ()) -> None:
    """Refuses what the owner says of columns that are not there, in `own` of other tables either, or are something else."""
    there = some({**table.columns, **dict.fromkeys(own)})
    named = [name for name in (*source.columns, source.split_column, source.text) if name is not None]
    faults = [
        table.fault(f"there is no such column, as {SOURCE} says: there are {there}", column=name)
        for name in named
        if name not in table.columns and source.columns.get(name) != "ignore" and name not in own
    ]
    if source.split_column is not None and len(table.files) > 1:
        faults.append(table.fault("give parts as files or by a split column, not both", column=source.split_column))
    if source.split_column is not None and source.split_column == source.target:
        faults.append(table.fault("it cannot be both target and split column", column=source.target))
    if faults:
        raise FaultsError(*faults)


def _part_rows(table: Table, source: Source) -> dict[str, np.ndarray] | None:
    """Rows of each part that is given, or None where there is one."""
    if len(table.files) > 1:
        ends = np.cumsum([file.rows for file in table.files.values()])
        starts = ends - [file.rows for file in table.files.values()]
        return {part: np.arange(start, end) for part, start, end in zip(table.files, starts, ends, strict=True)}
    if source.split_column is None:
        return None
    labels = columns.as_text(table.columns[source.split_column]).str.lower().fillna("")
    wrong = ~labels.isin(PARTS).to_numpy()
    if wrong.any():
        details = (f"{short(label)!r} is no part: write train, validation or test" for label in labels[wrong])
        raise FaultsError(*table.row_faults(wrong, source.split_column, details))
    part_rows = {part: np.flatnonzero((labels == part).to_numpy()) for part in PARTS}
    if not len(part_rows["train"]):
        raise FaultsError(table.fault("no row is of the part train: give some", column=source.split_column))
    given = {part: rows for part, rows in part_rows.items() if len(rows)}
    return given if len(given) > 1 else None


def _describe(table: Table, source: Source, notes: list[str]) -> tuple[Column, ...]:
    """The columns that a trainer is given: all but the target, the split column and the ignored ones."""
    described: list[Column] = []
    faults: list[Fault] = []
    for name in table.columns:
        if name not in {source.target, source.split_column}:
            try:
                described.append(columns.describe(table, name, source.columns.get(name), notes))
            except FaultsError as error:
                faults += error.faults
    if faults:
        raise FaultsError(*faults)
    used = tuple(column for column in described if column.kind != "ignore")
    if not used:
        raise FaultsError(table.fault("there is no column to predict from: give one beside the target"))
    return used


def _encode(table: Table, described: tuple[Column, ...]) -> np.ndarray:
    """The table's values, `(rows, features)` float64."""
    x = np.empty((table.rows, len(described)))
    faults: list[Fault] = []
    for i, column in enumerate(described):
        x[:, i] = columns.encode(column, table.columns[column.name])
        faults += columns.too_large(table, column.name, x[:, i])
    if faults:
        raise FaultsError(*faults)
    x[np.isnan(x)] = np.nan  # of all the bit patterns of NaN the one, for the digest
    return x


def _meaning(described: tuple[Column, ...], target: Target, part_rows: Mapping[str, np.ndarray] | None) -> object:
    """What the numbers of x and y stand for, and which rows are of which part, for the digest."""
    return {
        "columns": [[column.name, column.kind, list(column.categories)] for column in described],
        "classes": list(target.class_names),
        "parts": None if part_rows is None else {part: digest(rows, rows[:0]) for part, rows in part_rows.items()},
    }
