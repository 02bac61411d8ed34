"""What a good colleague says of a data set at first sight: its columns, classes and sizes, and what looks wrong.

Owns the findings and their words. Only numpy looks at the rows, so that reading a stranger's file stays light; the answer is
plain JSON of bounded size. A kind of data adds what is special to it to `SECTIONS`: lengths of texts or of clips, for instance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trainers.contract import Dataset, Kind
from trainers.data import steps
from trainers.data.faults import short
from trainers.data.info import SERIES, VALUE, Column, of_role

MOST_COLUMNS = 1000  # that are looked at
MOST_ROWS = 20_000  # by which it is told whether a column tells the target
MOST_CLASSES = 1000
TOP = 5  # values of a category
FEW_ROWS = 20  # with fewer, of a data set or a class, little can be said
NEARLY_ALL = 0.995
HALF = 0.5
RARE = 10  # times as many rows of the largest class
LEAST_R2 = 0.999

Finding = dict[str, Any]


def of(dataset: Dataset) -> dict[str, Any]:
    """Profiles a data set.

    Returns:
        `kind`, `task`, `rows`; `classes` with their rows, or a numeric `target`; what the kind adds (`columns`, `images`,
        `texts`, `clips`, `series`); and `findings`, each with `what`, the `column` or None, and `text`.
    """
    section = SECTIONS.get(dataset.kind)
    facts, findings = section(dataset) if section is not None else ({}, [])
    classes = np.bincount(dataset.y, minlength=len(dataset.class_names)).tolist() if dataset.class_names else []
    return {
        "kind": dataset.kind,
        "task": dataset.task,
        "rows": len(dataset.y),
        "classes": [
            {"name": name, "rows": rows}
            for name, rows in zip(dataset.class_names[:MOST_CLASSES], classes[:MOST_CLASSES], strict=True)
        ],
        "target": _numbers(dataset.y) if dataset.y.dtype.kind == "f" and dataset.task != "language" else None,
        "columns": [],
        "images": None,
        "texts": None,
        "clips": None,
        "series": None,
        **facts,
        "findings": [*_imbalance(dataset, classes), *findings],
    }


def _finding(what: str, text: str, column: str | None = None) -> Finding:
    return {"what": what, "column": column, "text": text}


# ---- tables ----------------------------------------------------------------------------------------------------------


def _table(dataset: Dataset) -> tuple[dict[str, Any], list[Finding]]:
    named = dataset.columns or tuple(Column(name, "number") for name in dataset.feature_names)
    profiled, findings = [], _duplicates(dataset)
    for i, column in enumerate(named[:MOST_COLUMNS]):
        values = dataset.x[:, i]
        profiled.append({"name": column.name, "kind": column.kind, **_column(column, values)})
        findings += _of_column(column, values, dataset)
    if len(named) > MOST_COLUMNS:
        findings.append(
            _finding("many-columns", f"only the first {MOST_COLUMNS} of {len(named)} columns were looked at")
        )
    return {"columns": profiled}, findings


def _column(column: Column, values: np.ndarray) -> dict[str, Any]:
    present = values[~np.isnan(values)]
    different, counts = np.unique(present, return_counts=True)
    facts = {"missing": len(values) - len(present), "different": len(different)}
    if column.kind == "category":
        top = np.argsort(-counts, kind="stable")[:TOP]
        names = [column.categories[int(code)] if code >= 0 else "others" for code in different[top]]
        return {
            **facts,
            "top": [{"value": short(name), "rows": int(n)} for name, n in zip(names, counts[top], strict=True)],
        }
    return {**facts, **(_numbers(present) if len(present) else {})}


def _numbers(values: np.ndarray) -> dict[str, float]:
    return {
        "low": float(values.min()),
        "high": float(values.max()),
        "mean": float(values.mean()),
        "deviation": float(values.std()),
    }


def _of_column(column: Column, values: np.ndarray, dataset: Dataset) -> list[Finding]:
    name, rows = column.name, len(values)
    if rows < FEW_ROWS:
        return []
    cure = f"say columns: {{{short(name)}: ignore}}"
    present = values[~np.isnan(values)]
    different, counts = np.unique(present, return_counts=True)
    found = []
    if len(different) and counts.max() >= NEARLY_ALL * rows:
        share = 100 * counts.max() / rows
        found.append(
            _finding("constant", f"{short(name)} is the same in {share:.1f} % of rows: {cure} to be rid of it", name)
        )
    if len(present) < HALF * rows:
        share = 100 * (rows - len(present)) / rows
        found.append(
            _finding("missing", f"{short(name)} has no value in {share:.0f} % of rows: is it worth having?", name)
        )
    if _numbers_rows(column, present, different, rows):
        text = f"{short(name)} has another value in every row, like an id: what it says of these holds for no others. {cure}"
        found.append(_finding("id-like", text, name))
    elif len(different) > 1 and not dataset.y.dtype.hasobject and (wrong := _wrong_by(values, dataset)) is not None:
        looked = min(rows, MOST_ROWS)
        text = (
            f"{short(name)} alone tells the target{'' if not wrong else f', but for {wrong} of {looked} rows'}: "
            f"is it known before the target is? If not, {cure}"
        )
        found.append(_finding("tells-target", text, name))
    return found


def _numbers_rows(column: Column, present: np.ndarray, different: np.ndarray, rows: int) -> bool:
    """Whether each row has a whole number of its own, close to the others, or nearly each a name."""
    if column.kind == "category":
        return len(different) > NEARLY_ALL * rows
    if column.kind != "number" or len(different) < rows or (present != np.floor(present)).any():
        return False
    return bool(different[-1] - different[0] < 2 * rows)


def _wrong_by(values: np.ndarray, dataset: Dataset) -> int | None:
    """How many targets a column alone tells wrongly, where these are next to none; None otherwise.

    Each half of the rows is predicted by the row of the other half whose value is nearest.
    """
    order = np.random.default_rng(0).permutation(len(values))[:MOST_ROWS]
    filled = np.where(np.isnan(values), np.nanmax(values) + 1 + np.ptp(values[~np.isnan(values)]), values)[order]
    y, predicted = dataset.y[order], np.empty(len(order), dataset.y.dtype)
    if (filled == filled[0]).all() or (y == y[0]).all():
        return None
    halves = np.arange(0, len(order), 2), np.arange(1, len(order), 2)
    for known, asked in (halves, halves[::-1]):
        predicted[asked] = y[known[_nearest(filled[known], filled[asked])]]
    if dataset.task == "regression":
        explained = 1 - np.sum((y - predicted) ** 2) / np.sum((y - y.mean()) ** 2)
        # few rows lie far apart, and the nearest value is not near: the same order is enough
        return 0 if max(explained, abs(np.corrcoef(_ranks(filled), _ranks(y))[0, 1])) >= LEAST_R2 else None
    counts, wrong = np.bincount(y), np.bincount(y[predicted != y], minlength=int(y.max()) + 1)
    judged = counts >= FEW_ROWS
    # where classes meet, the nearest value may be of the other, whatever the column is
    allowed = np.minimum(2, counts / 50) + counts / 1000
    return int(wrong.sum()) if judged.sum() > 1 and (wrong <= allowed)[judged].all() else None


def _ranks(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1]


def _nearest(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The index of the nearest value of `known` for each of `asked`."""
    order = np.argsort(known, kind="stable")
    right = np.searchsorted(known[order], asked).clip(1, len(known) - 1)
    is_left = asked - known[order[right - 1]] <= known[order[right]] - asked
    return order[np.where(is_left, right - 1, right)]


# ---- images ----------------------------------------------------------------------------------------------------------


def _images(dataset: Dataset) -> tuple[dict[str, Any], list[Finding]]:
    height, width, *channels = dataset.x.shape[1:]
    sizes = {"height": height, "width": width, "channels": channels[0] if channels else 1}
    values = {"low": float(dataset.x.min()), "high": float(dataset.x.max())}
    return {"images": {**sizes, **values}}, _duplicates(dataset)


# ---- texts -----------------------------------------------------------------------------------------------------------


def _texts(dataset: Dataset) -> tuple[dict[str, Any], list[Finding]]:
    lengths = np.fromiter(map(len, dataset.x), np.int64, len(dataset.x))
    sizes = {"shortest": int(lengths.min()), "median": float(np.median(lengths)), "longest": int(lengths.max())}
    return {"texts": {**sizes, "empty": dataset.columns[0].missing}}, _duplicates(dataset)


# ---- sound -----------------------------------------------------------------------------------------------------------


def _clips(dataset: Dataset) -> tuple[dict[str, Any], list[Finding]]:
    assert dataset.media is not None
    rate = dataset.media["sample_rate"]
    # zeros behind the last sample are padding
    lengths = [dataset.x.shape[1] - int(np.argmax(row[::-1] != 0)) if row.any() else 0 for row in dataset.x]
    low, middle, high = (float(each) / rate for each in np.percentile(lengths, [0, 50, 100]))
    return {"clips": {"sample_rate": rate, "low_s": low, "median_s": middle, "high_s": high}}, _duplicates(dataset)


# ---- series ----------------------------------------------------------------------------------------------------------


def _series(dataset: Dataset) -> tuple[dict[str, Any], list[Finding]]:
    places = of_role(dataset.columns, SERIES)
    of_rows = dataset.x[:, places[0]].astype(np.int64) if places else np.zeros(len(dataset.x), np.int64)
    counts = np.bincount(of_rows)
    values = [dataset.x[:, place] for place in of_role(dataset.columns, VALUE)]
    return {"series": _lengths(counts[counts > 0]), "columns": _value_columns(dataset, values)}, []


def _labelled_series(dataset: Dataset) -> tuple[dict[str, Any], list[Finding]]:
    lengths = steps.lengths(dataset.x)
    is_step = np.arange(dataset.x.shape[1]) < lengths[:, None]
    facts = {"series": _lengths(lengths), "columns": _value_columns(dataset, list(dataset.x[is_step].T))}
    return facts, _duplicates(dataset)


def _lengths(steps_of: np.ndarray) -> dict[str, Any]:
    """How many series there are, and how many steps they have."""
    shortest, longest = int(steps_of.min()), int(steps_of.max())
    return {"series": len(steps_of), "shortest": shortest, "median": float(np.median(steps_of)), "longest": longest}


def _value_columns(dataset: Dataset, values: list[np.ndarray]) -> list[dict[str, Any]]:
    named = [dataset.columns[place] for place in of_role(dataset.columns, VALUE)][:MOST_COLUMNS]
    return [
        {"name": column.name, "kind": column.kind, **_column(column, of_column)}
        for column, of_column in zip(named, values, strict=False)
    ]


# ---- any kind --------------------------------------------------------------------------------------------------------


def _imbalance(dataset: Dataset, classes: list[int]) -> list[Finding]:
    there = [rows for rows in classes if rows]
    if len(there) < 2 or max(there) < RARE * min(there):
        return []
    name = short(dataset.class_names[classes.index(min(there))])
    text = (
        f"class {name} has {min(there)} of {len(dataset.y)} rows, {max(there) / min(there):.0f} times fewer than the largest: "
        "judge by average_precision or balanced_accuracy, not by accuracy, and try class_weighting"
    )
    return [_finding("imbalance", text)]


def _duplicates(dataset: Dataset) -> list[Finding]:
    """Rows that are there twice, with one target or with two, and within one part or on both sides of a split."""
    rows = len(dataset.x)
    is_text = dataset.kind == "text"
    looked = dataset.x if is_text else np.ascontiguousarray(dataset.x).reshape(rows, -1)
    hashes = np.fromiter((hash(row if is_text else row.tobytes()) for row in looked), np.int64, rows)
    _, members, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    copies = int((counts - 1).sum())
    found = []
    if copies:
        text = f"{copies} of {rows} rows are copies of others: those of one kind may lie on both sides of a split"
        found.append(_finding("duplicates", text))
    if dataset.task == "classification":
        odd = len(np.unique(members * max(1, len(dataset.class_names)) + dataset.y)) - len(counts)
        if odd:
            text = f"{odd} rows are copies of others but for their class: which one is right?"
            found.append(_finding("contradictions", text))
    parts = dataset.part_rows or {}
    for part in ("validation", "test"):
        if part in parts and (both := int(np.isin(members[parts[part]], members[parts["train"]]).sum())):
            text = f"{both} of {len(parts[part])} rows of {part} are also in train: they are known, and judge nothing"
            found.append(_finding("leak", text))
    return found


SECTIONS: dict[Kind, Callable[[Dataset], tuple[dict[str, Any], list[Finding]]]] = {
    "tabular": _table,
    "image": _images,
    "text": _texts,
    "audio": _clips,
    "series": _series,
    "labelled-series": _labelled_series,
}
