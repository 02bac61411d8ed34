"""Data sets by name: built-in and uploaded ones looked up, uploaded ones deleted, drafts of killed servers removed.

Owns the folder `datasets/<uuid>/…` of the artifact store. A folder counts from the commit of its row on.
"""

from __future__ import annotations

import json
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from trainers.data.builtin import BUILTIN
from trainers.data.info import DatasetInfo, from_json
from tuner import dataset_folder, inspection
from tuner.domain.errors import FieldError, GoneError, InvalidError
from tuner.domain.spec import Evaluation
from tuner.inspection import Limits
from tuner.settings import Settings
from tuner.store import datasets
from tuner.store.database import transaction
from tuner.store.datasets import DatasetRow

MAX_NAMED = 20  # names told to somebody who named none, or a wrong one


@dataclass(frozen=True)
class Found:
    """A data set that a study may name.

    Attributes:
        info: what is known of it; its name is the one that a study keeps: of a built-in one, or name@version.
        row_id: of an uploaded one.
        files_digest: of an uploaded one's files.
        row: of an uploaded one.
    """

    info: DatasetInfo
    row_id: int | None = None
    files_digest: str | None = None
    row: DatasetRow | None = None


@dataclass(frozen=True)
class Shelf:
    """The files of data sets, and the limits under which they are read again.

    Attributes:
        root: the artifact folder.
        limits: of memory and time.
    """

    root: Path
    limits: Limits

    @classmethod
    def of(cls, settings: Settings) -> Shelf:
        return cls(settings.artifacts, Limits.of(settings))

    def split_sizes(self, found: Found, evaluation: Evaluation) -> dict[str, Any]:
        """How large a study's parts are that it splits by a column.

        Raises:
            InvalidError: the data set cannot be split so.
            GoneError: its files are not there any more.
        """
        pointer = f"/evaluation/{evaluation.by}"
        if found.info.parts is not None:
            detail = "the data set brings parts of its own: leave it out, or upload the rows as one file without them"
            raise InvalidError([FieldError(pointer, detail)])
        folder = None if found.row is None else whole_folder(self.root, found.row)
        said = evaluation.model_dump(mode="json")
        return inspection.split_sizes(found.info.name, folder, said, self.limits, pointer=pointer)


# ---- look up ---------------------------------------------------------------------------------------------------------


def find(connection: Connection, named: str | None) -> Found:
    """The data set that a study names: a built-in one, or `name` or `name@version` of an uploaded one.

    Raises:
        InvalidError: there is none; tells those there are.
    """
    name, at, version = (named or "").partition("@")
    if name in BUILTIN and version in {"", "1"}:
        return Found(BUILTIN[name])
    row = None
    if not at or (version.isdecimal() and len(version) < 10):
        row = datasets.find(connection, name, int(version) if at else None)
    if row is None:
        raise InvalidError([FieldError("/dataset", _which_there_are(connection, named))])
    return Found(info_of(row), row.id, row.files_digest, row)


def info_of(row: DatasetRow) -> DatasetInfo:
    """What inspection found, under the name by which a study keeps this version."""
    return from_json({**json.loads(row.about)["info"], "name": f"{row.name}@{row.version}"})


def _which_there_are(connection: Connection, named: str | None) -> str:
    own = datasets.names(connection, limit=MAX_NAMED)
    there = ", ".join([*own, *sorted(BUILTIN)])
    if named is None:
        return f"name a data set: {there}"
    return f"there is no data set {named!r}: choose one of {there}, or upload it (`tuner dataset add FILE`)"


# ---- files -----------------------------------------------------------------------------------------------------------


def folder_of(root: Path, row: DatasetRow) -> Path:
    return root / "datasets" / str(row.folder)


def whole_folder(root: Path, row: DatasetRow) -> Path:
    """The folder of a version, with all its files.

    Raises:
        GoneError: somebody has removed it or a part of it, or the artifact folder is another one.
    """
    if not is_whole(root, row):
        raise GoneError(
            f"the files of {row.name}@{row.version} are not on the server's disk any more: put datasets/{row.folder} "
            "back into its artifact folder, or upload the same files once more (`tuner dataset add`)"
        )
    return folder_of(root, row)


def is_whole(root: Path, row: DatasetRow) -> bool:
    """Whether a version's files are there, by their size."""
    try:
        return bool(dataset_folder.size_bytes(folder_of(root, row)) == row.size_bytes)
    except (FileNotFoundError, NotADirectoryError):
        return False


# ---- removal ---------------------------------------------------------------------------------------------------------


def delete(engine: Engine, root: Path, name: str, version: int | None) -> None:
    """Removes a version, or all of them.

    Raises:
        NotFoundError: there is no such data set.
        InvalidError: it is built in.
        InUseError: a study uses it.
    """
    if name in BUILTIN:
        raise InvalidError([FieldError("/name", f"{name} is built in and stays")])
    with transaction(engine) as connection:
        datasets.lock_name(connection, name)
        one = datasets.get(connection, name, version)
        rows = datasets.versions(connection, name) if version is None else [one]
        datasets.remove(connection, rows)
    for row in rows:
        shutil.rmtree(folder_of(root, row), ignore_errors=True)  # what is left of it, tidying removes


def _is_ours(folder: Path) -> bool:
    """Whether it is named as uploads are; what somebody else has put there stays."""
    try:
        return str(uuid.UUID(folder.name)) == folder.name and folder.is_dir()
    except ValueError:
        return False


def remove_drafts(engine: Engine, root: Path, *, older_than_s: float) -> int:
    """Removes folders without a row: of uploads whose server was killed, and what a deletion has left."""
    young = time.time() - older_than_s
    # the folders first: one that is committed after this is young
    old = [folder for folder in (root / "datasets").glob("*-*") if _is_ours(folder) and _changed_at(folder) < young]
    if not old:
        return 0
    with transaction(engine) as connection:
        kept = datasets.known_folders(connection, [uuid.UUID(folder.name) for folder in old])
    drafts = [folder for folder in old if uuid.UUID(folder.name) not in kept]
    for folder in drafts:
        shutil.rmtree(folder, ignore_errors=True)
    return len(drafts)


def _changed_at(folder: Path) -> float:
    """When something in it was last written; one that is being removed has changed just now."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except FileNotFoundError:
        return time.time()
