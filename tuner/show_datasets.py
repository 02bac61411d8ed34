"""What people see of data sets on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from tuner.show import console, new_table
from tuner.wire_datasets import ColumnOut, DatasetDetail, DatasetOut

MAX_WORDS = 40  # characters of a column's values in a line
MAX_CLASSES = 20


def all_of(found: Sequence[DatasetOut]) -> None:
    table = new_table("data set", "kind", "task", "rows", "features", "classes", "uploaded")
    for each in found:
        table.add_row(
            f"{each.name}@{each.version}",
            each.kind,
            each.task,
            str(each.rows),
            str(each.features),
            str(each.classes or ""),
            "built in" if each.created_at is None else f"{each.created_at:%Y-%m-%d}",
        )
    console.print(table)


def one(found: DatasetDetail) -> None:
    """A version: what it is, its columns, its classes, and what was inferred."""
    size = "" if found.size_bytes is None else f", {_size(found.size_bytes)}"
    parts = "" if found.parts is None else f" ({', '.join(f'{part} {rows}' for part, rows in found.parts.items())})"
    what = f": {found.kind} data for {found.task}, {found.rows} rows{parts}, {found.features} features{size}"
    console.print(Text.assemble((f"{found.name}@{found.version}", "bold"), what))
    if found.columns:
        table = new_table("column", "kind", "values", "missing")
        for column in found.columns:
            table.add_row(column.name, column.role or column.kind, _values(column), str(column.missing or ""))
        console.print(table)
    if found.class_rows:
        shown = [f"{each.name} {each.rows}" for each in found.class_rows[:MAX_CLASSES]]
        more = len(found.class_rows) - len(shown)
        target = found.source.get("target")
        whose = f" of {target}" if target else ""
        console.print(f"classes{whose}: {', '.join(shown)}{f' and {more} more' if more else ''}", soft_wrap=True)
    for note in found.notes:
        console.print(f"note: {note}", soft_wrap=True)
    others = [str(each.version) for each in found.versions if each.version != found.version]
    if others:
        console.print(f"other versions: {', '.join(others)}")


def _values(column: ColumnOut) -> str:
    """A category's first values, as many as a line has room for."""
    text = ""
    for i, value in enumerate(column.categories):
        longer = f"{text}, {value}" if text else value
        if len(longer) > MAX_WORDS:
            return f"{text or value[:MAX_WORDS]} … {column.n_categories - i} more of {column.n_categories}"
        text = longer
    left = column.n_categories - len(column.categories)
    return f"{text} … {left} more" if left else text


def _size(n_bytes: int) -> str:
    if n_bytes < 1000:
        return f"{n_bytes} bytes"
    return f"{n_bytes / 1000:.1f} kB" if n_bytes < 1e6 else f"{n_bytes / 1e6:.1f} MB"
