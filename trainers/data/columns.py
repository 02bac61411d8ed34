"""What kind each column of a table is, found out or as its owner says, and its cells as numbers by that kind."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from trainers.data import cells
from trainers.data.faults import Fault, FaultsError, short
from trainers.data.info import Column, ColumnKind
from trainers.data.tables import Cells, Table

MAX_CATEGORIES = 1000  # that are told apart; the rarest of more are one
LONGEST_CATEGORY = 1000  # characters; what is longer is text, and not told apart
FEW_ROWS = 20  # from so many on, shares of rows mean something
NEARLY_ALL = 0.9
ID_NAME = re.compile(r"(?i:unnamed: [0-9]+|index|(.*[^a-z])?(id|uuid|guid))|.*[a-z]I[dD]")
WHOLE_NAME = re.compile("0|-?[1-9][0-9]{0,14}")
NATURAL: dict[str, ColumnKind] = {"whole": "number", "number": "number", "boolean": "boolean", "date": "date"}


def describe(table: Table, name: str, said: ColumnKind | None, notes: list[str]) -> Column:
    """Finds a column's kind and format; one that cannot help to predict is of the kind `ignore`, with a note.

    Args:
        table: that it is of.
        name: of the column.
        said: the kind that its owner says it is.
        notes: what the owner should know is added here.

    Raises:
        FaultsError: naming the rows that are not of the kind.
    """
    column = table.columns[name]
    if said == "ignore":
        return Column(name, "ignore")
    natural = NATURAL.get(column.given)
    missing = int(_without_missing(column).isna().sum())
    if said is None and (reason := _useless(name, column, table.rows)):
        notes.append(f"{short(name)} is ignored: {reason}; say columns: {{{short(name)}: …}} to use it")
        return Column(name, "ignore")
    if natural is not None and said in {None, natural}:
        return Column(name, natural, missing=missing, format="whole" if column.given == "whole" else "")
    texts = as_text(column)
    if said is None:
        return _inferred(table, name, texts, missing, notes)
    return _declared(table, name, said, texts, missing, notes)


def encode(column: Column, given: Cells) -> np.ndarray:
    """A column's values `(rows,)` float64: numbers, 0 and 1, days since 1970, or the index of a category.

    NaN is a missing value; -1 a category that is not among the column's.
    """
    if column.kind == NATURAL.get(given.given) and column.format in {"", "whole"}:
        values: np.ndarray = given.values.to_numpy(np.float64)
        return values
    texts = as_text(given)
    if column.kind == "number":
        return cells.numbers(texts, column.format)
    if column.kind == "boolean":
        return cells.booleans(texts, column.format)
    if column.kind == "date":
        return cells.dates(texts, column.format)
    codes = pd.Index(column.categories, dtype="str").get_indexer(texts)
    return np.where(texts.isna(), np.nan, codes.astype(np.float64))


def of_names(given: Cells) -> str:
    """The format of names that are not told apart: `whole` where pandas reads numbers, else empty."""
    return _written_as(as_text(given).unique())


def _written_as(names: Iterable[str]) -> str:
    return "whole" if all(WHOLE_NAME.fullmatch(each) for each in names) else ""


def too_large(table: Table, name: str, values: np.ndarray) -> list[Fault]:
    """A fault for each of the first `values` `(rows,)` of a column that no network can be given."""
    detail = f"a value that is infinite or beyond {cells.LARGEST:g}: give a smaller one, or leave the cell empty"
    return table.row_faults(np.abs(values) > cells.LARGEST, name, [detail] * table.rows)


def as_text(given: Cells) -> pd.Series:
    """A column's cells as text without values left out, whatever its file says that they are."""
    if given.given == "text":
        return cells.without_missing(given.values)
    return pd.Series([_written(value, given.given) for value in given.values.tolist()], dtype="str")


def _written(value: float, given: str) -> str | None:
    if value != value:  # noqa: PLR0124 - NaN
        return None
    if given == "boolean":
        return "true" if value else "false"
    if given == "date":
        return str(pd.Timestamp(round(value * cells.DAY_US), unit="us").isoformat())
    return str(int(value)) if float(value).is_integer() else repr(value)


def _without_missing(column: Cells) -> pd.Series:
    return cells.without_missing(column.values) if column.given == "text" else column.values


def _useless(name: str, column: Cells, rows: int) -> str | None:
    """Why a column cannot help, or None."""
    values = _without_missing(column)
    different = values.nunique()
    if different == 0:
        return "it has no value"
    if different == 1 and not values.isna().any():
        return f"it is {short(str(values.iloc[0]))} in every row"
    if different == rows and rows > FEW_ROWS and ID_NAME.fullmatch(name):
        return "it numbers the rows"
    return None


def _inferred(table: Table, name: str, texts: pd.Series, missing: int, notes: list[str]) -> Column:
    if (words := cells.boolean_format(texts)) is not None:
        return Column(name, "boolean", missing=missing, format=words)
    form, reads = cells.number_format(texts, decimal_comma=decimal_comma(table))
    if reads.all():
        return Column(name, "number", missing=missing, format=_beside_words(table, name, form))
    if dates := cells.date_formats(texts):
        if len(dates) > 1:
            could_be = f"is read as {dates[0]}, and could be {dates[1]}"
            notes.append(f"{short(name)} {could_be}: write dates as 2024-12-31 to be sure")
        return Column(name, "date", missing=missing, format=dates[0])
    written = len(texts) - missing
    _refuse_lone_texts(table, name, texts, ~reads, written)
    different = texts.nunique()
    if different > max(FEW_ROWS, written / 2):
        notes.append(
            f"{short(name)} is ignored: free text, {different} different values in {written} rows; "
            f"say columns: {{{short(name)}: category}} to use it"
        )
        return Column(name, "ignore")
    return _category(name, texts, missing, notes)


def decimal_comma(table: Table) -> bool:
    """Whether the file is of the sort that writes 1,5 for one and a half: its cells stand between semicolons."""
    return any(file.delimiter == ";" for file in table.files.values())


def _refuse_lone_texts(table: Table, name: str, texts: pd.Series, wrong: np.ndarray, written: int) -> None:
    """Refuses a column of numbers with a few texts, which would silently become a category of a thousand values."""
    if written >= FEW_ROWS and 0 < wrong.sum() <= (1 - NEARLY_ALL) * written:
        cure = f"is no number, and nearly all others here are: mend it, or say columns: {{{short(name)}: category}}"
        raise FaultsError(*table.row_faults(wrong, name, (f"{short(text)!r} {cure}" for text in texts[wrong])))


def _declared(table: Table, name: str, said: ColumnKind, texts: pd.Series, missing: int, notes: list[str]) -> Column:
    if said == "category":
        return _category(name, texts, missing, notes)
    if said == "boolean":
        return Column(name, "boolean", missing=missing, format=_two_words(table, name, texts))
    if said == "number":
        form, read = cells.number_format(texts, decimal_comma=decimal_comma(table))
    else:
        form = next(iter(cells.date_formats(texts)), None) or max(
            cells.DATES, key=lambda each: int(np.isfinite(cells.dates(texts.dropna().head(200), each)).sum())
        )
        read = np.isfinite(cells.dates(texts, form)) | texts.isna().to_numpy()
    if not read.all():
        cure = f"is no {said}, as {short(name)} is said to be ({form or 'plain'}): mend it, or say another kind"
        raise FaultsError(*table.row_faults(~read, name, (f"{short(text)!r} {cure}" for text in texts[~read])))
    form = _beside_words(table, name, form) if said == "number" else form
    return Column(name, said, missing=missing, format=form)


def _beside_words(table: Table, name: str, form: str) -> str:
    """A number's format, or `text` where the column would be text to pandas for a word that stands for nothing."""
    given = table.columns[name]
    own_words = given.given == "text" and form in {"", "whole"} and cells.has_own_words(given.values)
    return "text" if own_words else form


def _two_words(table: Table, name: str, texts: pd.Series) -> str:
    """The boolean format of a column that is said to be one: words that are known, or any two."""
    if (known := cells.boolean_format(texts)) is not None:
        return known
    words = sorted(texts.dropna().str.lower().unique())
    if len(words) != 2 or any("/" in word or len(word) > LONGEST_CATEGORY for word in words):
        detail = f"it has {len(words)} different values, and a boolean has two: say category"
        raise FaultsError(table.fault(detail, column=name))
    return f"{words[1]}/{words[0]}"


def _category(name: str, texts: pd.Series, missing: int, notes: list[str]) -> Column:
    counts = texts.value_counts()
    too_long = counts.index.str.len() > LONGEST_CATEGORY
    if too_long.any():
        longer = f"values of more than {LONGEST_CATEGORY} characters"
        notes.append(f"{short(name)} has {int(too_long.sum())} {longer}: they are not told apart")
        counts = counts[~too_long]
    if len(counts) > MAX_CATEGORIES:
        most = f"the {MAX_CATEGORIES} most frequent are told apart"
        notes.append(f"{short(name)} has {len(counts)} different values: {most}")
        counts = counts.sort_index().sort_values(ascending=False, kind="stable").head(MAX_CATEGORIES)
    names = tuple(sorted(counts.index))
    return Column(name, "category", names, missing, _written_as(names))
