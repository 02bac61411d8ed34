"""Checkpoints as files: a state written whole or not at all, and read as data alone.

Owns the format: a line with the SHA-256 and the size of what follows, then the state as `torch.save` writes it. It is read
with `weights_only`, since a checkpoint may come from another machine: nothing in it is ever run.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from trainers.contract import State

_HEADER = re.compile(rb"tuner-checkpoint 1 ([0-9a-f]{64}) ([0-9]{1,15})\n")
_HEADER_BYTES = 128  # at most


class BadCheckpointError(Exception):
    """The file is no whole checkpoint."""


@dataclass(frozen=True)
class Written:
    """A checkpoint on the disk; `sha256` is that of the whole file, of the bytes as they were meant."""

    file: Path
    sha256: str


def write(file: Path, state: State) -> Written:
    """Writes a state to a temporary name, puts it on the disk, and gives it its name.

    Raises:
        OSError: it could not be written; nothing is left of it.
    """
    payload = io.BytesIO()
    torch.save(state, payload)
    body = payload.getbuffer()
    header = f"tuner-checkpoint 1 {hashlib.sha256(body).hexdigest()} {len(body)}\n".encode()
    draft = file.with_suffix(".draft")
    try:
        with draft.open("wb") as opened:
            opened.write(header)
            opened.write(body)
            opened.flush()
            os.fsync(opened.fileno())
        draft.rename(file)
        _sync(file.parent)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    whole = hashlib.sha256(header)
    whole.update(body)
    return Written(file, whole.hexdigest())


def read(file: Path) -> State:
    """The state in a file, on the CPU.

    Raises:
        BadCheckpointError: it is cut off, was changed, or never was a checkpoint.
    """
    content = file.read_bytes()
    header = _HEADER.match(content[:_HEADER_BYTES])
    if header is None:
        raise BadCheckpointError(f"{file.name} does not begin like a checkpoint")
    body = memoryview(content)[header.end() :]
    if len(body) != int(header[2]) or hashlib.sha256(body).hexdigest() != header[1].decode():
        raise BadCheckpointError(f"{file.name} is not what was written: its checksum is another")
    try:
        state = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds, as the file says what is read
        raise BadCheckpointError(f"{file.name} holds no state: {error}") from error
    if not isinstance(state, dict):
        raise BadCheckpointError(f"{file.name} holds no state")
    return state


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
