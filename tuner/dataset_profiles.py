"""What the rows of a data set are like: seen at its upload, or, of older and built-in ones, when first asked for.

Owns where a profile comes from; `trainers.data.profile` has what it says.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Engine

from trainers.data.builtin import BUILTIN
from tuner import inspection
from tuner.datasets import Shelf, whole_folder
from tuner.domain.errors import NotFoundError
from tuner.store import datasets
from tuner.store.database import transaction
from tuner.store.datasets import DatasetRow
from tuner.wire_datasets import DatasetProfile

_builtin: dict[str, dict[str, Any]] = {}  # those that were asked for


def profile(engine: Engine, shelf: Shelf, name: str, version: int | None = None) -> DatasetProfile:
    """The profile of one version, or the newest.

    Raises:
        NotFoundError: there is no such data set.
        InvalidError: it is too large or too slow to read again.
        GoneError: nobody has looked yet, and its files are not there any more.
    """
    if name in BUILTIN:
        if version not in {None, 1}:
            raise NotFoundError(f"{name} is built in and has version 1 alone")
        if name not in _builtin:
            _builtin[name] = inspection.profile(name, None, shelf.limits)
        return DatasetProfile(name=name, version=1, notes=[], **_builtin[name])
    with transaction(engine) as connection:
        row = datasets.get(connection, name, version)
        kept = datasets.profile(connection, row.id)
    seen = json.loads(kept) if kept is not None else _seen(engine, shelf, row)
    return DatasetProfile(name=row.name, version=row.version, notes=json.loads(row.about)["notes"], **seen)


def _seen(engine: Engine, shelf: Shelf, row: DatasetRow) -> dict[str, Any]:
    """Looks, which takes seconds, and keeps what is seen."""
    seen = inspection.profile(f"{row.name}@{row.version}", whole_folder(shelf.root, row), shelf.limits)
    with transaction(engine) as connection:
        datasets.keep_profile(connection, row.id, json.dumps(seen))
    return seen
