"""What is predicted: classification or regression, found out or as the owner says, and the targets as numbers; or texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trainers.contract import Task
from trainers.data import cells, columns
from trainers.data.faults import FaultsError, short, some
from trainers.data.tables import Cells, Table

FEW_CLASSES = 20  # an integer target with more different values is a quantity
ROWS_PER_CLASS = 5  # on average; with fewer, an integer target is a quantity
MOST_CLASSES = 1000


@dataclass(frozen=True)
class Target:
    """A table's target.

    Attributes:
        task: what is predicted.
        y: `(rows,)` int64 class indices, float64 targets, or str of a structured task.
        class_names: in the order of the indices; empty where there are none.
    """

    task: Task
    y: np.ndarray
    class_names: tuple[str, ...] = ()


def none(table: Table) -> Target:
    """What texts have that are to be continued: nothing but themselves."""
    return Target("language", np.ones(table.rows))


def read(table: Table, name: str, task: Task | None, class_names: tuple[str, ...] | None, notes: list[str]) -> Target:
    """Reads a table's target.

    Args:
        table: that it is of.
        name: of the target's column.
        task: what is predicted, or None to find out.
        class_names: those that were accepted, or None to find out.
        notes: what the owner should know is added here.

    Raises:
        FaultsError: for rows without a target, and for targets from which nothing can be learned.
    """
    if name not in table.columns:
        detail = f"there is no column {short(name)!r} to be the target: there are {some(table.columns)}"
        raise FaultsError(table.fault(detail, column=name))
    given = table.columns[name]
    # what a structured label means is its trainer's business, "null" too
    texts = _texts(given, frozenset({""}) if task == "structured" else cells.MISSING_TARGETS)
    _refuse_missing(table, name, texts)
    if task == "structured":
        _refuse_alike(table, name, texts)
        return Target(task, np.array(texts.tolist(), dtype=object))
    numbers = None if given.given == "boolean" else _numbers(table, given, texts)
    whole = numbers is not None and _are_whole(numbers)
    task = task or _found(texts, numbers, whole=whole, notes=notes)
    if task == "regression":
        return Target(task, _quantities(table, name, texts, numbers))
    labels = pd.Series([f"{value:.0f}" for value in numbers], dtype="str") if whole and numbers is not None else texts
    names = class_names or _class_names(table, name, labels, numbers)
    return Target(task, pd.Index(names, dtype="str").get_indexer(labels).astype(np.int64), names)


def whole_numbers(table: Table, name: str) -> np.ndarray | None:
    """A target's values `(rows,)` where all are whole numbers, else None.

    Raises:
        FaultsError: for rows without a target.
    """
    given = table.columns[name]
    texts = _texts(given, cells.MISSING_TARGETS)
    _refuse_missing(table, name, texts)
    numbers = None if given.given == "boolean" else _numbers(table, given, texts)
    return numbers if numbers is not None and _are_whole(numbers) else None


def _are_whole(numbers: np.ndarray) -> bool:
    return bool((numbers == np.floor(numbers)).all())


def refuse_small_classes(
    table: Table,
    name: str,
    target: Target,
    part_rows: Mapping[str, np.ndarray] | None,
    series_begin: np.ndarray | None = None,
) -> None:
    """Refuses classes that have one row to learn from, or none.

    Args:
        table: that it is of.
        name: of the target's column.
        target: of each row, or of labelled series of each series.
        part_rows: rows, or series, of each part; None where there is one.
        series_begin: of labelled series the table's first row of each.

    Raises:
        FaultsError: naming the first row of each such class.
    """
    if target.task != "classification":
        return
    trained = target.y if part_rows is None else target.y[part_rows["train"]]
    counts = np.bincount(trained, minlength=len(target.class_names))
    faults = []
    for index in np.flatnonzero(counts < 2).tolist():
        what = "row" if series_begin is None else "series"
        rows = f"one {what}" if counts[index] else f"no {what}"
        where = "" if part_rows is None else " of the training part"
        first = int(np.flatnonzero(target.y == index)[0])
        first = first if series_begin is None else int(series_begin[first])
        class_name = short(target.class_names[index])
        detail = f"the class {class_name!r} has {rows}{where}, and needs two: leave it out, or give more"
        faults.append(table.fault(detail, row=first, column=name))
    if faults:
        raise FaultsError(*faults)


def _texts(given: Cells, missing: frozenset[str]) -> pd.Series:
    if given.given == "text":
        return cells.without_missing(given.values, missing)
    return columns.as_text(given)


def _refuse_missing(table: Table, name: str, texts: pd.Series) -> None:
    missing = texts.isna().to_numpy()
    if missing.any():
        detail = f"there is no target ({int(missing.sum())} rows have none): give one, or leave the row out"
        raise FaultsError(*table.row_faults(missing, name, [detail] * len(texts)))


def _refuse_alike(table: Table, name: str, texts: pd.Series) -> None:
    if texts.nunique() == 1:
        detail = f"every row has the label {short(texts.iloc[0])!r}: there is nothing to learn, choose another target"
        raise FaultsError(table.fault(detail, column=name))


def _numbers(table: Table, given: Cells, texts: pd.Series) -> np.ndarray | None:
    """The targets as numbers, or None where any is none."""
    if given.given != "text":
        values: np.ndarray = given.values.to_numpy(np.float64)
        return values
    form, reads = cells.number_format(texts, decimal_comma=columns.decimal_comma(table))
    return cells.numbers(texts, form) if reads.all() else None


def _found(texts: pd.Series, numbers: np.ndarray | None, *, whole: bool, notes: list[str]) -> Task:
    if numbers is None:
        return "classification"
    different = len(np.unique(numbers))
    if whole and (different <= 2 or (different <= FEW_CLASSES and different * ROWS_PER_CLASS <= len(texts))):
        notes.append(f"integer target: classification, {different} classes; say task: regression to change it")
        return "classification"
    if whole:
        notes.append(f"integer target: regression, {different} different values; say task: classification to change it")
    return "regression"


def _quantities(table: Table, name: str, texts: pd.Series, numbers: np.ndarray | None) -> np.ndarray:
    if numbers is None:
        _, reads = cells.number_format(texts, decimal_comma=columns.decimal_comma(table))
        cure = "is no number, as regression needs: mend it, or say task: classification"
        raise FaultsError(*table.row_faults(~reads, name, (f"{short(text)!r} {cure}" for text in texts[~reads])))
    too_large = np.abs(numbers) > cells.LARGEST
    if too_large.any():
        cure = f"is infinite or beyond {cells.LARGEST:g}: give a smaller number, or leave the row out"
        raise FaultsError(*table.row_faults(too_large, name, (f"{short(text)} {cure}" for text in texts[too_large])))
    if (numbers == numbers[0]).all():
        detail = f"every target is {short(texts.iloc[0])}: there is nothing to learn, choose another target"
        raise FaultsError(table.fault(detail, column=name))
    return numbers


def _class_names(table: Table, name: str, labels: pd.Series, numbers: np.ndarray | None) -> tuple[str, ...]:
    """The classes in order: numbers by value, no before yes, other words by the alphabet."""
    different = labels.drop_duplicates()
    if len(different) == 1:
        only = short(different.iloc[0])
        detail = f"every row is of the class {only}: there is nothing to learn, choose another target"
        raise FaultsError(table.fault(detail, column=name))
    if len(different) > MOST_CLASSES or len(different) > max(2, len(labels) / 2):
        detail = f"{len(different)} classes in {len(labels)} rows are too many: choose another target, or say "
        raise FaultsError(table.fault(detail + "task: regression where they are quantities", column=name))
    longest = int(different.str.len().max())
    if longest > columns.LONGEST_CATEGORY:
        detail = f"a class has a name of {longest} characters: shorten the names to {columns.LONGEST_CATEGORY}"
        raise FaultsError(table.fault(detail, column=name))
    if numbers is not None:
        return tuple(different.iloc[np.argsort(numbers[different.index], kind="stable")])
    words = cells.boolean_format(labels)
    if words is not None:
        return tuple(sorted(different, key=lambda word: (word.lower() == words.split("/")[0], word)))
    return tuple(sorted(different))
