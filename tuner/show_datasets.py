"""What people see of data sets on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from rich.text import Text

from tuner.show import console, new_table
from tuner.wire_datasets import ColumnOut, ColumnProfile, DatasetDetail, DatasetOut, DatasetProfile

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


def one(found: DatasetDetail, profile: DatasetProfile) -> None:
    """A version: what it is, its columns, its classes, what was inferred, and what to look at."""
    seen = {column.name: column for column in profile.columns}
    size = "" if found.size_bytes is None else f", {_size(found.size_bytes)}"
    parts = "" if found.parts is None else f" ({', '.join(f'{part} {rows}' for part, rows in found.parts.items())})"
    what = f": {found.kind} data for {found.task}, {found.rows} rows{parts}, {found.features} features{size}"
    console.print(Text.assemble((f"{found.name}@{found.version}", "bold"), what))
    if found.columns:
        table = new_table("column", "kind", "values", "different", "missing")
        for column in found.columns:
            looked = seen.get(column.name)
            different = "" if looked is None else str(looked.different)
            table.add_row(
                column.name, column.role or column.kind, _values(column, looked), different, str(column.missing or "")
            )
        console.print(table)
    _sizes(profile)
    if found.class_rows:
        shown = [f"{each.name} {each.rows}" for each in found.class_rows[:MAX_CLASSES]]
        more = len(found.class_rows) - len(shown)
        target = found.source.get("target")
        whose = f" of {target}" if target else ""
        console.print(f"classes{whose}: {', '.join(shown)}{f' and {more} more' if more else ''}", soft_wrap=True)
    for note in found.notes:
        console.print(f"note: {note}", soft_wrap=True)
    for finding in profile.findings:
        console.print(Text.assemble(("look: ", "bold yellow"), finding.text), soft_wrap=True)
    others = [str(each.version) for each in found.versions if each.version != found.version]
    if others:
        console.print(f"other versions: {', '.join(others)}")


def _sizes(profile: DatasetProfile) -> None:
    """How large images are, and how long texts, clips and series."""
    if profile.images is not None:
        size = f"{profile.images.height} x {profile.images.width}, {profile.images.channels} channels"
        console.print(f"images: {size}, pixels {profile.images.low:.5g} to {profile.images.high:.5g}")
    if profile.texts is not None:
        texts = profile.texts
        console.print(f"texts: {texts.shortest} to {texts.longest} characters, half up to {texts.median:g}")
    if profile.clips is not None:
        length = f"{profile.clips.low_s:.2f} to {profile.clips.high_s:.2f} s, half of them up to {profile.clips.median_s:.2f} s"
        console.print(f"clips: {length}, {profile.clips.sample_rate} samples a second")
    if profile.series is not None:
        steps = profile.series
        lengths = f"{steps.shortest} to {steps.longest} steps, half of them up to {steps.median:g}"
        console.print(f"series: {steps.series} of {lengths}")


def _values(column: ColumnOut, seen: ColumnProfile | None) -> str:
    """A category's first values, as many as a line has room for; the range of what is a number or a date."""
    if seen is not None and seen.low is not None and seen.high is not None:
        if column.kind == "date":
            return f"{_date(seen.low)} … {_date(seen.high)}"
        return f"{seen.low:.5g} … {seen.high:.5g}" if column.kind == "number" else ""
    text = ""
    for i, value in enumerate(column.categories):
        longer = f"{text}, {value}" if text else value
        if len(longer) > MAX_WORDS:
            return f"{text or value[:MAX_WORDS]} … {column.n_categories - i} more of {column.n_categories}"
        text = longer
    left = column.n_categories - len(column.categories)
    return f"{text} … {left} more" if left else text


def _date(days: float) -> str:
    """A day as its date; beyond the calendar, in days since 1970."""
    try:
        return (date(1970, 1, 1) + timedelta(days=days)).isoformat()
    except OverflowError:
        return f"{days:.5g}"


def _size(n_bytes: int) -> str:
    if n_bytes < 1000:
        return f"{n_bytes} bytes"
    return f"{n_bytes / 1000:.1f} kB" if n_bytes < 1e6 else f"{n_bytes / 1e6:.1f} MB"
