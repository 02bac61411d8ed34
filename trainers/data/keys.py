"""The column by which a study splits a data set: groups that stay together, or times. It needs not be a feature.

Owns how such a column is read, also one that trainers are not given (an id, free text, what a zip's table says of its files),
and that the groups' own column is not among the features: a model that knows the patient learns the patient.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from trainers.contract import Dataset
from trainers.data import arrays, cells, class_folders, columns, label_tables, labelled_series, tables, zips
from trainers.data.faults import Fault, FaultsError, short, some
from trainers.data.info import SERIES, VALUE, Column, of_role
from trainers.data.label_tables import LABEL, LABELS
from trainers.data.source import Source, find_parts, read_source
from trainers.data.tables import Cells, File, Table


def attach(dataset: Dataset, folder: Path | None, *, group: str | None = None, time: str | None = None) -> Dataset:
    """The data set with the groups or the times of a column, and without the groups' column among its features.

    Rows without a group are one group: nobody knows that they are not. Of labelled series each has one group, and the times at
    which it begins and ends.

    Args:
        dataset: as loaded.
        folder: that it was loaded from; None: it is built in.
        group: the column of groups, or None.
        time: the column of times, or None.

    Raises:
        FaultsError: there is no such column, or it is of no use for this.
    """
    if dataset.kind == "interactions" and (group is not None or time is not None):
        detail = "interactions are split by user, and by the time that their data set names: leave group and time out"
        raise FaultsError(Fault(file=dataset.name, detail=detail))
    if group is not None:
        table = _read(dataset, folder, group)
        codes, _ = pd.factorize(cells.composed(columns.as_text(table.columns[group])), sort=True, use_na_sentinel=True)
        groups = codes.astype(np.int64)
        if (of_rows := _series(dataset, table)) is not None:
            groups = labelled_series.one_each(table, group, of_rows, groups, "group")
        return replace(_without(dataset, group), groups=groups)
    if time is not None:
        table = _read(dataset, folder, time)
        times = _times(table, time, _known(dataset, time))
        if (of_rows := _series(dataset, table)) is not None:
            of_series = pd.Series(times).groupby(of_rows)
            return replace(dataset, times=of_series.min().to_numpy(), ends=of_series.max().to_numpy())
        return replace(dataset, times=times)
    return dataset


def _series(dataset: Dataset, table: Table) -> np.ndarray | None:
    """Of labelled series which one each row of the table is of."""
    if dataset.kind != "labelled-series":
        return None
    (place,) = of_role(dataset.columns, SERIES)
    return labelled_series.numbered(table, dataset.columns[place].name)


def is_date(dataset: Dataset, folder: Path | None, time: str) -> bool:
    """Whether a column of times holds dates, as days since 1970, and not numbers."""
    table = _read(dataset, folder, time)
    return _describe(table, time, _known(dataset, time)).kind == "date"


def _known(dataset: Dataset, name: str) -> Column | None:
    """The column as inspection accepted it, if it is a feature."""
    return next((column for column in dataset.columns if column.name == name), None)


def _read(dataset: Dataset, folder: Path | None, name: str) -> Table:
    """The table that a column is of, with that column."""
    table, target = _built_in(dataset) if folder is None else _stored(folder, name)
    if name == target:
        raise FaultsError(table.fault("it is the target, and no row may tell it of another: give another column"))
    if name not in table.columns:
        there = some([column for column in table.columns if column != target]) or "none"
        raise FaultsError(table.fault(f"there is no column {short(name)!r}: there are {there}"))
    return table


def _stored(folder: Path, name: str) -> tuple[Table, str | None]:
    paths, source = find_parts(folder), read_source(folder)
    if next(iter(paths.values())).suffix == ".zip":
        return _of_files(paths, source, name), LABEL
    if next(iter(paths.values())).suffix == ".npz":
        return arrays.read_columns(paths), arrays.TARGET
    # a Parquet file's ignored columns, and those beside a text, are not read otherwise
    said = {column: kind for column, kind in source.columns.items() if column != name}
    return tables.read(paths, replace(source, columns=said, split_column=name)), source.target


def _of_files(paths: Mapping[str, Path], source: Source, name: str) -> Table:
    """What tables of labels say of the files of zips, in the order of the data set's rows; no file is decoded."""
    with ExitStack() as stack:
        opened = {part: stack.enter_context(zips.opened(path, source.encoding)) for part, path in paths.items()}
        told = [item.told for item in class_folders.items(opened, source.encoding, [])]
    table = label_tables.as_table(told)
    if not table.columns:
        cure = f"put a {LABELS} with the columns file, label and {short(name)} into it, or give parts as folders"
        raise FaultsError(Fault(file=paths[next(iter(paths))].name, detail=f"class folders have no columns: {cure}"))
    return table


def _built_in(dataset: Dataset) -> tuple[Table, None]:
    named = {
        name: Cells("number", pd.Series(dataset.x[:, i].astype(np.float64)))
        for i, name in enumerate(dataset.feature_names)
    }
    return Table(named, {"data": File(dataset.name, {}, len(dataset.y))}), None


def _without(dataset: Dataset, name: str) -> Dataset:
    is_labelled = dataset.kind == "labelled-series"
    there = (
        [column.name for column in dataset.columns if column.role == VALUE] if is_labelled else dataset.feature_names
    )
    if name not in there:
        return dataset
    if len(there) == 1:
        detail = "it is the only column to predict from, and groups are not given to a model: give another column"
        raise FaultsError(Fault(file=dataset.name, column=name, detail=detail))
    kept = [i for i, feature in enumerate(there) if feature != name]
    return replace(
        dataset,
        x=np.ascontiguousarray(dataset.x[..., kept]),
        feature_names=tuple(feature for feature in dataset.feature_names if feature != name),
        columns=tuple(column for column in dataset.columns if column.name != name),
    )


def _times(table: Table, name: str, known: Column | None) -> np.ndarray:
    column = _describe(table, name, known)
    times = columns.encode(column, table.columns[name])
    missing = ~np.isfinite(times)
    if missing.any():
        detail = f"there is no time ({int(missing.sum())} rows have none): give one, or leave the row out"
        raise FaultsError(*table.row_faults(missing, name, [detail] * table.rows))
    return times


def _describe(table: Table, name: str, known: Column | None) -> Column:
    """The column as a date or a number, as inspection accepted it or else as its cells are written.

    Raises:
        FaultsError: it is neither.
    """
    given = table.columns[name]
    if known is not None and known.kind in {"date", "number"}:
        return known
    if given.given in {"whole", "number", "date"}:
        return Column(name, "date" if given.given == "date" else "number")
    texts = columns.as_text(given)
    form, reads = cells.number_format(texts, decimal_comma=columns.decimal_comma(table))
    if given.given == "text" and reads.all():
        return Column(name, "number", format=form)
    if given.given == "text" and (dates := cells.date_formats(texts)):
        return Column(name, "date", format=dates[0])
    detail = "it holds neither dates nor numbers, so nothing is later than anything: name a column of times"
    raise FaultsError(table.fault(detail, column=name))
