"""Lines that wait on the disk, first in, first out: however many there are, memory holds one piece of them.

Owns the file. Lines are appended; what was taken is passed over, and the file is emptied once nothing waits.
"""

from __future__ import annotations

import os
from pathlib import Path

PIECE_BYTES = 2**20


class Spool:
    """A queue of lines in a file, which is made with the first one. For one thread.

    Args:
        path: of the file; whoever owns its folder removes it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1
        self._head = self._tail = 0  # bytes: what waits lies between them

    @property
    def is_empty(self) -> bool:
        return self._head == self._tail

    def add(self, line: bytes) -> None:
        """Appends a line, given without its end.

        Raises:
            OSError: the disk is full; the line was not added, and those before it are untouched.
        """
        if self._file < 0:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        whole = line + b"\n"
        written = 0
        while written < len(whole):  # a disk that fills takes a part, and refuses the rest
            written += os.pwrite(self._file, whole[written:], self._tail + written)
        self._tail += len(whole)

    def first(self, limit: int) -> list[bytes]:
        """The lines that have waited longest: up to `limit` of them, and about a megabyte."""
        if self.is_empty:
            return []
        piece = os.pread(self._file, min(PIECE_BYTES, self._tail - self._head), self._head)
        return piece[: piece.rindex(b"\n")].split(b"\n")[:limit]

    def drop(self, lines: list[bytes]) -> None:
        """Forgets these, which `first` gave."""
        self._head += sum(len(line) + 1 for line in lines)
        if self.is_empty and self._tail:
            self._head = self._tail = 0
            os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Lets the file go."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._head = self._tail = 0
