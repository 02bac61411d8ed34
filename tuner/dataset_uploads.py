"""A data set's way in: received as a form, read once, kept in the artifact folder.

Owns drafts: folders that have no row yet. Nothing is stored of what was refused; what a killed server leaves, tidying removes.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.to_thread
import structlog
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Engine

from trainers.data.builtin import BUILTIN
from trainers.data.info import to_json
from tuner import dataset_folder, disk, inspection
from tuner.asgi import drain
from tuner.datasets import folder_of, is_whole
from tuner.domain.errors import FieldError, InvalidError, NoRoomError
from tuner.forms import Form
from tuner.inspection import Inspected, Limits
from tuner.store import datasets
from tuner.store.database import TRANSIENT, transaction
from tuner.store.datasets import DatasetRow
from tuner.wire_datasets import DatasetName, DatasetSource

INSPECTIONS = 2  # at once in this process

log = structlog.get_logger()

_name = TypeAdapter[str](DatasetName)
_turns = anyio.CapacityLimiter(INSPECTIONS)


async def receive(
    engine: Engine, root: Path, name: str, content_type: str, stream: AsyncIterator[bytes], limits: Limits
) -> tuple[DatasetRow, bool]:
    """Stores a data set's next version; returns it, and whether it is new: the same files and source are the same version.

    A version whose files were lost gets them back by this.

    Args:
        engine: to our tables.
        root: the artifact folder.
        name: of the data set.
        content_type: of the request.
        stream: its body, a form with files and the fields of `DatasetSource`, together or one by one.
        limits: of size, memory and time.

    Raises:
        InvalidError: no such form, or files that cannot be taken, with row and column.
        TooLargeError: more bytes than allowed.
        NoRoomError: the disk is nearly full; where it is full at last, an OSError.
    """
    check_name(name)
    folder = root / "datasets" / str(uuid.uuid4())
    await anyio.Path(folder).mkdir(parents=True)
    try:
        disk.require_room(folder, limits.min_free_bytes)
        source = await _receive_form(folder, content_type, stream, limits)
        row = await anyio.to_thread.run_sync(_known, engine, name, folder)
        if row is not None:
            await anyio.to_thread.run_sync(_put_back, engine, root, row, folder)
        else:
            inspected = await anyio.to_thread.run_sync(inspection.inspect, folder, name, limits, limiter=_turns)
            row = await anyio.to_thread.run_sync(_keep, engine, folder, name, source, inspected)
    except (NoRoomError, OSError):
        await drain(stream, limits.upload_bytes)
        raise
    finally:
        with anyio.CancelScope(shield=True):  # a cancelled request may start no thread otherwise
            await anyio.to_thread.run_sync(_remove_unless_kept, engine, folder)
    return row, row.folder == uuid.UUID(folder.name)


def check_name(name: str) -> None:
    """Whether a data set may be called so.

    Raises:
        InvalidError: it may not, or the name is a built-in data set's.
    """
    try:
        _name.validate_python(name)
    except ValidationError:
        detail = f"{name[:100]!r} is no name: use up to 100 letters, digits, and between them spaces, dots and dashes"
        raise InvalidError([FieldError("/name", detail)]) from None
    if name in BUILTIN:
        raise InvalidError([FieldError("/name", f"{name} is built in: choose another name")])


async def _receive_form(folder: Path, content_type: str, stream: AsyncIterator[bytes], limits: Limits) -> DatasetSource:
    form = Form(content_type, folder, limits.upload_bytes)
    try:
        async for chunk in stream:
            await anyio.to_thread.run_sync(form.feed, chunk)
    finally:
        form.close()
    form.finish()
    _check_files(form.files)
    source = _source(form.fields)
    written = source.model_dump_json(exclude_defaults=True)
    await anyio.Path(folder / dataset_folder.SOURCE).write_text(written)
    return source


def _check_files(files: list[str]) -> None:
    parts = {file.partition(".")[0] for file in files}
    if not parts:
        raise InvalidError([FieldError("", "no file: send data=@FILE, or train=@FILE with validation and test")])
    if "data" in parts and len(parts) > 1:
        raise InvalidError([FieldError("/data", "either data alone, or train with validation and test: choose one")])
    if "data" not in parts and ("train" not in parts or len(parts) == 1):
        raise InvalidError([FieldError("/train", "send train with validation or test, or one file as data")])


def _source(fields: dict[str, str]) -> DatasetSource:
    """What the fields say: `source` as JSON, and each of its keys by itself."""
    try:
        said = json.loads(fields.get("source", "{}"))
        single = {key: value for key, value in fields.items() if key != "source" and value}
        for key in {"columns", "user_features", "item_features"} & set(single):
            single[key] = json.loads(single[key])
        return DatasetSource.model_validate({**said, **single})
    except ValidationError as error:
        raise InvalidError([_field_error(each["loc"], each["msg"], each["type"]) for each in error.errors()]) from None
    except (ValueError, TypeError, RecursionError):
        detail = 'source and columns are JSON objects: -F \'source={"target": "y", "columns": {"zip": "category"}}\''
        raise InvalidError([FieldError("/source", detail)]) from None


def _field_error(place: tuple[str | int, ...], message: str, kind: str) -> FieldError:
    known = ", ".join((*dataset_folder.PARTS, "source", *DatasetSource.model_fields))
    detail = (
        f"there is no such field: use {known}" if kind == "extra_forbidden" else message.removeprefix("Value error, ")
    )
    return FieldError("".join(f"/{part}" for part in place if part != "[key]"), detail)


def _known(engine: Engine, name: str, folder: Path) -> DatasetRow | None:
    files_digest = dataset_folder.files_digest(folder)
    with transaction(engine) as connection:
        return datasets.with_files(connection, name, files_digest)


def _put_back(engine: Engine, root: Path, row: DatasetRow, folder: Path) -> None:
    """Gives a version its files again, the same, if the ones it had were lost or changed."""
    if _is_as_uploaded(root, row):
        return
    (folder / dataset_folder.ABOUT).write_text(json.dumps(json.loads(row.about)["info"]))
    _sync(folder)
    with transaction(engine) as connection:
        datasets.lock_name(connection, row.name)
        if not _is_as_uploaded(root, row):  # of several at once the first
            shutil.rmtree(folder_of(root, row), ignore_errors=True)
            folder.rename(folder_of(root, row))
            log.warning("lost files are put back", dataset=row.name, version=row.version)


def _is_as_uploaded(root: Path, row: DatasetRow) -> bool:
    return is_whole(root, row) and dataset_folder.files_digest(folder_of(root, row)) == row.files_digest


def _keep(engine: Engine, folder: Path, name: str, source: DatasetSource, inspected: Inspected) -> DatasetRow:
    """Commits what was accepted; the same, uploaded twice at once, is one version."""
    (folder / dataset_folder.ABOUT).write_text(json.dumps(to_json(inspected.info)))
    _sync(folder)
    files_digest = dataset_folder.files_digest(folder)
    with transaction(engine) as connection:
        datasets.lock_name(connection, name)
        known = datasets.with_files(connection, name, files_digest)
        if known is not None:
            return known
        made = datasets.create(
            connection,
            {
                "name": name,
                "folder": uuid.UUID(folder.name),
                "files_digest": files_digest,
                "digest": inspected.info.digest,
                "size_bytes": dataset_folder.size_bytes(folder),
                "source": source.model_dump_json(exclude_defaults=True),
                "about": json.dumps({"info": to_json(inspected.info), "notes": inspected.notes}),
            },
        )
        datasets.keep_profile(connection, made.id, json.dumps(inspected.profile))
    return made


def _sync(folder: Path) -> None:
    """Puts the folder's small files and its names on the disk; the large ones are there."""
    for path in (folder / dataset_folder.SOURCE, folder / dataset_folder.ABOUT, folder, folder.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_unless_kept(engine: Engine, folder: Path) -> None:
    """Looks at the table and not at how the request went: a commit may stand whose answer was lost."""
    try:
        with transaction(engine) as connection:
            kept = datasets.known_folders(connection, [uuid.UUID(folder.name)])
    except TRANSIENT as error:
        log.warning("a draft is left for tidying", folder=folder.name, error=str(error).splitlines()[0])
        return
    if not kept:
        shutil.rmtree(folder, ignore_errors=True)
