"""How data sets are shown: rows and built-in ones in, REST bodies out; reads only."""

from __future__ import annotations

import json
import math
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection

from trainers.data.builtin import BUILTIN
from trainers.data.info import DatasetInfo
from tuner import cursors
from tuner.datasets import info_of
from tuner.domain.errors import NotFoundError
from tuner.store import datasets
from tuner.store.datasets import DatasetRow
from tuner.wire import API
from tuner.wire_datasets import ClassOut, ColumnOut, DatasetDetail, DatasetOut, DatasetPage, VersionOut

MAX_CATEGORIES = 50  # shown of a column


def page(connection: Connection, *, cursor: str | None, limit: int) -> DatasetPage:
    """The newest version of each, newest first; the built-in ones come last, at the positions 0, -1, …."""
    before = cursors.decode_cursor(cursor)
    shown = [(row.id, _uploaded(row)) for row in datasets.page(connection, before=before, limit=limit + 1)]
    builtin = [(-i, _builtin(info)) for i, info in enumerate(BUILTIN.values())]
    items = [*shown, *(each for each in builtin if before is None or each[0] < before)]
    more = len(items) > limit
    return DatasetPage(
        items=[DatasetOut(**each) for _position, each in items[:limit]],
        next_cursor=cursors.encode_cursor(items[limit - 1][0]) if more else None,
    )


def detail(connection: Connection, name: str, version: int | None = None) -> DatasetDetail:
    """One version, or the newest.

    Raises:
        NotFoundError: there is no such data set.
    """
    if name in BUILTIN:
        if version not in {None, 1}:
            raise NotFoundError(f"{name} is built in and has version 1 alone")
        return _detail(_builtin(BUILTIN[name]), BUILTIN[name], None, [])
    row = datasets.get(connection, name, version)
    return _detail(_uploaded(row), info_of(row), row, datasets.versions(connection, name))


def _builtin(info: DatasetInfo) -> dict[str, Any]:
    return {**_shown(info, info.name), "version": 1, "builtin": True, "created_at": None}


def _uploaded(row: DatasetRow) -> dict[str, Any]:
    shown = _shown(info_of(row), row.name)
    version = f"{shown['links']['self']}/versions/{row.version}"
    links = {**shown["links"], "profile": f"{version}/profile", "files": f"{version}/files"}
    return {**shown, "version": row.version, "builtin": False, "created_at": row.created_at, "links": links}


def _shown(info: DatasetInfo, name: str) -> dict[str, Any]:
    itself = f"{API}/datasets/{quote(name, safe='')}"
    return {
        "name": name,
        "kind": info.kind,
        "task": info.task,
        "rows": info.rows,
        "features": math.prod(info.shape),
        "classes": len(info.class_names),
        "digest": info.digest,
        "links": {"self": itself, "profile": f"{itself}/profile"},
    }


def _detail(
    shown: dict[str, Any], info: DatasetInfo, row: DatasetRow | None, versions: list[DatasetRow]
) -> DatasetDetail:
    return DatasetDetail(
        **shown,
        size_bytes=None if row is None else row.size_bytes,
        source={} if row is None else json.loads(row.source),
        columns=[
            ColumnOut(
                name=column.name,
                kind=column.kind,
                role=column.role,
                categories=list(column.categories[:MAX_CATEGORIES]),
                n_categories=len(column.categories),
                missing=column.missing,
            )
            for column in info.columns
        ],
        class_rows=[
            ClassOut(name=name, rows=rows) for name, rows in zip(info.class_names, info.class_counts, strict=True)
        ],
        parts=info.parts,
        notes=[] if row is None else json.loads(row.about)["notes"],
        versions=[
            VersionOut(
                version=each.version,
                rows=info_of(each).rows,
                digest=each.digest,
                size_bytes=each.size_bytes,
                created_at=each.created_at,
            )
            for each in versions
        ],
    )
