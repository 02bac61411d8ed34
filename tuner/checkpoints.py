"""Checkpoints of running trials: taken from a live attempt, given to the next one, removed when the trial has ended.

Owns the artifact folder `checkpoints/<trial id>/<sha256>`. What is in a file only trainers know: here it is bytes with a
checksum, which counts once its row is committed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import anyio
import anyio.to_thread
from sqlalchemy import Engine

from tuner import disk, drafts
from tuner.asgi import drain
from tuner.domain.errors import FieldError, InvalidError, NoRoomError, NotFoundError, StaleAttemptError, TooLargeError
from tuner.store import attempts, checkpoints
from tuner.store.attempts import AttemptRow
from tuner.store.database import transaction

FOLDER = "checkpoints"
PIECE_BYTES = 2**20


@dataclass(frozen=True)
class Announced:
    """What an upload says of itself.

    Attributes:
        fold: the round, from 0.
        step: epochs finished in it.
        sha256: of the file.
    """

    fold: int
    step: int
    sha256: str


async def receive(
    engine: Engine,
    root: Path,
    attempt_id: uuid.UUID,
    announced: Announced,
    stream: AsyncIterator[bytes],
    limit_bytes: int,
    min_free_bytes: int,
) -> None:
    """Stores a live attempt's newest checkpoint; bytes that arrive keep the lease, as heartbeats do.

    Raises:
        StaleAttemptError: the attempt is live no more; nothing is kept.
        TooLargeError: more bytes than allowed.
        InvalidError: other bytes than announced.
        NoRoomError: the disk has less room than it must keep.
    """
    try:
        await anyio.Path(root / FOLDER).mkdir(parents=True, exist_ok=True)
        disk.require_room(root / FOLDER, min_free_bytes)
        await _receive(engine, root, attempt_id, announced, stream, limit_bytes)
    except (NoRoomError, OSError):
        await drain(stream, limit_bytes)
        raise


async def _receive(
    engine: Engine,
    root: Path,
    attempt_id: uuid.UUID,
    announced: Announced,
    stream: AsyncIterator[bytes],
    limit_bytes: int,
) -> None:
    lease_s = (await anyio.to_thread.run_sync(_renew, engine, attempt_id)).lease_s
    renewed_s = anyio.current_time()
    draft = drafts.path(root / FOLDER, attempt_id)
    digest = hashlib.sha256()
    size = 0
    try:
        with draft.open("xb") as file:
            async for chunk in stream:
                size += len(chunk)
                if size > limit_bytes:
                    raise TooLargeError(f"the checkpoint is larger than {limit_bytes // 2**20} MB: train without any")
                digest.update(chunk)
                await anyio.to_thread.run_sync(file.write, chunk)
                if anyio.current_time() - renewed_s > lease_s / 3:
                    await anyio.to_thread.run_sync(_renew, engine, attempt_id)
                    renewed_s = anyio.current_time()
            await anyio.to_thread.run_sync(_sync_file, file)
        if digest.hexdigest() != announced.sha256:
            detail = f"the bytes that came have the checksum {digest.hexdigest()}: send the file again"
            raise InvalidError([FieldError("/sha256", detail)])
        await anyio.to_thread.run_sync(_keep, engine, root, attempt_id, announced, draft)
    finally:
        draft.unlink(missing_ok=True)


def _keep(engine: Engine, root: Path, attempt_id: uuid.UUID, announced: Announced, draft: Path) -> None:
    """Gives the file its name and commits its row, in this order: a row without its file would be worth nothing."""
    with transaction(engine) as connection:
        attempt = attempts.renew(connection, attempt_id)
        if attempt is None:
            raise _stale(attempt_id)
        old = checkpoints.add(
            connection,
            trial_id=attempt.trial_id,
            attempt_id=attempt_id,
            fold=announced.fold,
            step=announced.step,
            sha256=announced.sha256,
            size_bytes=draft.stat().st_size,
        )
        folder = root / FOLDER / str(attempt.trial_id)
        folder.mkdir(exist_ok=True)
        draft.rename(folder / announced.sha256)
        _sync_folder(folder)
    for sha256 in old:
        (folder / sha256).unlink(missing_ok=True)


def send(engine: Engine, root: Path, attempt_id: uuid.UUID, sha256: str) -> tuple[int, Iterator[bytes]]:
    """A checkpoint of the trial that a live attempt holds: its size, and its bytes in pieces, which keep the lease.

    Raises:
        StaleAttemptError: the attempt is live no more.
        NotFoundError: its trial has no such checkpoint.
    """
    with transaction(engine) as connection:
        attempt = attempts.renew(connection, attempt_id)
        if attempt is None:
            raise _stale(attempt_id)
        known = any(row.sha256 == sha256 for row in checkpoints.of_trial(connection, attempt.trial_id))
    file = root / FOLDER / str(attempt.trial_id) / sha256
    if not known or not file.is_file():
        raise NotFoundError(f"the trial of attempt {attempt_id} has no checkpoint {sha256}")
    opened = file.open("rb")
    return os.fstat(opened.fileno()).st_size, _pieces(engine, attempt_id, opened, attempt.lease_s)


def _pieces(engine: Engine, attempt_id: uuid.UUID, opened: IO[bytes], lease_s: float) -> Iterator[bytes]:
    renewed_s = time.monotonic()
    with opened:
        while piece := opened.read(PIECE_BYTES):
            yield piece
            if time.monotonic() - renewed_s > lease_s / 3:
                _renew(engine, attempt_id)
                renewed_s = time.monotonic()


def resumed(engine: Engine, attempt_id: uuid.UUID, step: int) -> None:
    """Notes that a live attempt goes on after this epoch.

    Raises:
        StaleAttemptError: the attempt is live no more.
    """
    with transaction(engine) as connection:
        if attempts.renew(connection, attempt_id) is None:
            raise _stale(attempt_id)
        checkpoints.resumed(connection, attempt_id, step)


def remove_ended(engine: Engine, root: Path) -> int:
    """Removes the checkpoints of trials that have ended or are gone; gives how many trials that were."""
    named = [folder for folder in (root / FOLDER).glob("[0-9]*") if folder.name.isdecimal()]
    with transaction(engine) as connection:
        checkpoints.forget_ended(connection)
        needed = checkpoints.unfinished(connection, [int(folder.name) for folder in named])
    ended = [folder for folder in named if int(folder.name) not in needed]
    for folder in ended:
        shutil.rmtree(folder, ignore_errors=True)
    return len(ended)


def _renew(engine: Engine, attempt_id: uuid.UUID) -> AttemptRow:
    with transaction(engine) as connection:
        attempt = attempts.renew(connection, attempt_id)
    if attempt is None:
        raise _stale(attempt_id)
    return attempt


def _stale(attempt_id: uuid.UUID) -> StaleAttemptError:
    return StaleAttemptError(f"attempt {attempt_id} holds no trial: it has no checkpoints")


def _sync_file(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    for path in (folder, folder.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
