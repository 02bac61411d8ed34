"""Room on the worker's disk: below a floor nothing is claimed, and what fails on a full disk says nothing of the trial.

Owns the floor and what is said of it.
"""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from tuner import disk

log = structlog.get_logger()


class Room:
    """The free space of the disk on which a folder lies.

    Args:
        folder: which exists.
        min_free_bytes: below it there is no room.
    """

    def __init__(self, folder: Path, min_free_bytes: int) -> None:
        self._folder = folder
        self._min_free_bytes = min_free_bytes
        self._was_there = True

    def is_there(self) -> bool:
        """Whether there is enough of it; says in the log when that changes."""
        free_bytes = disk.free_bytes(self._folder)
        is_there = free_bytes >= self._min_free_bytes
        if is_there != self._was_there:
            said = {
                "folder": str(self._folder),
                "free_mb": free_bytes // 2**20,
                "floor_mb": self._min_free_bytes // 2**20,
            }
            (log.info if is_there else log.warning)(
                "there is room again" if is_there else "no room on the disk: nothing is claimed until there is", **said
            )
        self._was_there = is_there
        return is_there

    def explains(self, error: str) -> bool:
        """Whether a trial failed for want of room: the error says so, or it came when there was none."""
        return any(os.strerror(number) in error for number in disk.FULL) or not self.is_there()
