"""The folder of one data set version: which files it has, their digest, and how it travels as a tar. Stdlib only.

Owns `source.json`, `about.json` and the names of data files; the control plane writes such folders, workers copy them.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

SOURCE = "source.json"  # what the owner said
ABOUT = "about.json"  # what inspection found
PARTS = ("data", "train", "validation", "test")
EXTENSIONS = ("csv", "tsv", "parquet", "npz", "zip")
CHUNK_BYTES = 2**20


class BrokenFolderError(Exception):
    """What came is not the folder that was asked for."""


def files_digest(folder: Path) -> str:
    """`sha256:…` of data files and source; what inspection found is not in it."""
    sha256 = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.name != ABOUT:
            with file.open("rb") as content:
                sha256.update(f"{file.name} {hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    return f"sha256:{sha256.hexdigest()}"


def size_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def pack(folder: Path) -> tuple[int, Iterator[bytes]]:
    """The folder as an uncompressed tar: its length, and its bytes piece by piece."""
    files = [(file, _header(file)) for file in sorted(folder.iterdir())]
    length = sum(len(header) + _padded(file.stat().st_size) for file, header in files) + 2 * tarfile.BLOCKSIZE
    return length, _pieces(files)


def _header(file: Path) -> bytes:
    entry = tarfile.TarInfo(file.name)
    entry.size = file.stat().st_size
    return entry.tobuf(tarfile.GNU_FORMAT)


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _pieces(files: list[tuple[Path, bytes]]) -> Iterator[bytes]:
    for file, header in files:
        yield header
        size = 0
        with file.open("rb") as content:
            while chunk := content.read(CHUNK_BYTES):
                size += len(chunk)
                yield chunk
        yield bytes(_padded(size) - size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def unpack(tar: IO[bytes], folder: Path, expected_digest: str) -> None:
    """Fills an empty folder from such a tar.

    Raises:
        BrokenFolderError: it was cut off, or is not the one that was asked for.
    """
    allowed = {SOURCE, ABOUT, *(f"{part}.{extension}" for part in PARTS for extension in EXTENSIONS)}
    try:
        with tarfile.open(fileobj=tar, mode="r:") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() and member.name in allowed else None
                if content is None:
                    raise BrokenFolderError(f"{member.name[:100]!r} is no file of a data set")
                with (folder / member.name).open("xb") as file:
                    shutil.copyfileobj(content, file, CHUNK_BYTES)
    except tarfile.TarError as error:
        raise BrokenFolderError(f"not a whole tar: {error}") from None
    if files_digest(folder) != expected_digest:
        raise BrokenFolderError(
            "the files of the data set are not those that were uploaded: upload the same ones once more"
        )
