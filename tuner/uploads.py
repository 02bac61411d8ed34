"""Files of attempts: received as one tar, unpacked beside the store and moved into place whole; found again by path.

Owns the artifact folder `attempts/<attempt id>/…`. Only plain files with relative paths come in.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath
from typing import IO

import anyio
import anyio.to_thread
from sqlalchemy import Connection, Engine

from tuner import disk, drafts, plain_tar
from tuner.asgi import drain
from tuner.domain.errors import FieldError, InvalidError, NoRoomError, NotFoundError, StaleAttemptError, TooLargeError
from tuner.store import attempts, finals, logs, trials
from tuner.store.database import transaction
from tuner.wire import ArtifactOut

FOLDER = "attempts"
LOG = "log.txt"
MAX_FILES = 1_000
MAX_PATH = 400
MAX_PART = 255  # bytes of one name, as file systems have it


async def receive(
    engine: Engine,
    root: Path,
    attempt_id: uuid.UUID,
    stream: AsyncIterator[bytes],
    *,
    limit_bytes: int,
    min_free_bytes: int,
) -> list[ArtifactOut]:
    """Stores a live attempt's files; bytes that arrive, and files that are unpacked, keep the lease, as heartbeats do.

    Args:
        engine: to our tables.
        root: the artifact folder.
        attempt_id: whose files.
        stream: a tar.
        limit_bytes: of the tar, and of its files together.
        min_free_bytes: that the disk must have before the first byte is taken.

    Raises:
        StaleAttemptError: the attempt is live no more.
        TooLargeError: more bytes than allowed.
        NoRoomError: the disk is nearly full; where it is full at last, an OSError. Nothing is left of the upload.
        InvalidError: not a tar of plain files.
    """
    lease = _Lease(engine, attempt_id)
    await anyio.to_thread.run_sync(lease.renew)
    try:
        await anyio.Path(root).mkdir(parents=True, exist_ok=True)
        disk.require_room(root, min_free_bytes)
        return await _receive(engine, root, attempt_id, stream, limit_bytes, lease)
    except (NoRoomError, OSError):
        await drain(stream, limit_bytes)
        raise


async def _receive(
    engine: Engine, root: Path, attempt_id: uuid.UUID, stream: AsyncIterator[bytes], limit_bytes: int, lease: _Lease
) -> list[ArtifactOut]:
    with tempfile.TemporaryFile(dir=root) as spool:  # nameless: gone with the process, whatever happens
        size = 0
        async for chunk in stream:
            size += len(chunk)
            if size > limit_bytes:
                raise TooLargeError(f"the upload is larger than {limit_bytes // 2**20} MB: send less")
            await anyio.to_thread.run_sync(spool.write, chunk)
            if lease.is_due:
                await anyio.to_thread.run_sync(lease.renew)
        spool.seek(0)
        return await anyio.to_thread.run_sync(_store, engine, root, attempt_id, spool, limit_bytes, lease)


class _Lease:
    """A lease that an upload keeps: renewed when a third of it is over."""

    def __init__(self, engine: Engine, attempt_id: uuid.UUID) -> None:
        self._engine = engine
        self._attempt_id = attempt_id
        self._due_s = 0.0

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self._due_s

    def renew(self) -> None:
        """Raises StaleAttemptError where the attempt is live no more."""
        with transaction(self._engine) as connection:
            lease_s = _renewed(connection, self._attempt_id)
        self._due_s = time.monotonic() + lease_s / 3

    def keep(self) -> None:
        """Renews it if that is due."""
        if self.is_due:
            self.renew()


def _renewed(connection: Connection, attempt_id: uuid.UUID) -> float:
    """Moves the lease forward; gives its length in seconds."""
    attempt = attempts.renew(connection, attempt_id) or finals.renew(connection, attempt_id)
    if attempt is None:
        raise StaleAttemptError(f"attempt {attempt_id} holds no trial: its files are not taken")
    return float(attempt.lease_s)


def _store(
    engine: Engine, root: Path, attempt_id: uuid.UUID, spool: IO[bytes], limit_bytes: int, lease: _Lease
) -> list[ArtifactOut]:
    folder = root / FOLDER / str(attempt_id)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = drafts.path(folder.parent, attempt_id)
    draft.mkdir()
    try:
        rows = _unpack(spool, draft, limit_bytes, lease)
        with transaction(engine) as connection:
            _renewed(connection, attempt_id)
            attempts.replace_artifacts(connection, attempt_id, [{"attempt_id": attempt_id, **row} for row in rows])
            if any(row["path"] == LOG for row in rows):
                logs.remove(connection, attempt_id)  # the file has all of it
            shutil.rmtree(folder, ignore_errors=True)
            draft.rename(folder)
            stored = attempts.artifacts_of(connection, attempt_id)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return [ArtifactOut.model_validate(row) for row in stored]


def _unpack(spool: IO[bytes], draft: Path, limit_bytes: int, lease: _Lease) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    size_bytes = 0
    try:
        with plain_tar.opened(spool) as archive:
            for member in plain_tar.members(archive):
                if member.isdir():
                    continue
                _check_member(member, len(rows))
                size_bytes += member.size
                if size_bytes > limit_bytes:
                    raise TooLargeError(f"the files are larger than {limit_bytes // 2**20} MB: send less")
                target = draft / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                source = archive.extractfile(member)
                assert source is not None
                digest = hashlib.sha256()
                with target.open("xb") as file:
                    while chunk := source.read(2**20):
                        digest.update(chunk)
                        file.write(chunk)
                        lease.keep()
                rows.append({"path": member.name, "size_bytes": member.size, "sha256": digest.hexdigest()})
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        detail = f"{member.name!r} stands there twice, or is a file and a folder: leave one out"
        raise InvalidError([FieldError("", detail)]) from None
    except (tarfile.TarError, ValueError, RecursionError) as error:
        raise InvalidError([FieldError("", f"not a tar of plain files: {error}")]) from None
    if not rows:
        raise InvalidError([FieldError("", "the tar has no files in it")])
    return rows


def _check_member(member: tarfile.TarInfo, before: int) -> None:
    path = PurePosixPath(member.name)
    plain = (
        member.isreg()
        and not member.issparse()
        and member.name.isprintable()
        and not path.is_absolute()
        and ".." not in path.parts
        and str(path) == member.name
        and all(len(os.fsencode(part)) <= MAX_PART for part in path.parts)
    )
    if not plain or "\0" in member.name or "\\" in member.name or len(os.fsencode(member.name)) > MAX_PATH:
        detail = f"{member.name[:100]!r} is not a plain file under a relative path: leave it out"
        raise InvalidError([FieldError("", detail)])
    if before >= MAX_FILES:
        raise InvalidError([FieldError("", f"more than {MAX_FILES} files: pack fewer")])


def find(connection: Connection, root: Path, study_id: int, number: int, path: str) -> Path:
    """The file of a trial's artifact.

    Raises:
        NotFoundError: the trial has none of that name.
    """
    trial = trials.get(connection, study_id, number)
    for row in attempts.artifacts_of_trial(connection, trial.id):
        file = root / FOLDER / str(row.attempt_id) / path
        if row.path == path and file.is_file():
            return file
    raise NotFoundError(f"trial {number} of study {study_id} has no file {path!r}")
