"""Room on the worker's disk: below a floor nothing is claimed, and what fails on a full disk says nothing of the trial.

Owns the floor and what is said of it.
"""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from tuner import disk
from tuner.worker.data_cache import DataCache

NEARLY_FULL_BYTES = (
    16 * 2**20
)  # a disk that has refused a file has little more, since what was written of it is still there

log = structlog.get_logger()


class Room:
    """The free space of the disk on which a folder lies. One for all slots of an agent.

    Args:
        folder: which exists.
        min_free_bytes: below it there is no room.
        cache: of data sets on that disk, of which the unused ones leave where room is short.
    """

    def __init__(self, folder: Path, min_free_bytes: int, cache: DataCache) -> None:
        self._folder = folder
        self._min_free_bytes = min_free_bytes
        self._cache = cache
        self._was_there = True
        self._excused: set[tuple[int, int]] = set()  # trials, by study and number

    def is_there(self) -> bool:
        """Whether there is enough of it; says in the log when that changes."""
        free_bytes = disk.free_bytes(self._folder)
        if free_bytes < self._min_free_bytes and self._cache.evict():
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

    def explains(self, trial: tuple[int, int], error: str) -> bool:
        """Whether a trial failed for want of room, which is short right now; true once a trial: the next time it is its own.

        Args:
            trial: its study's id and its number.
            error: what it raised.
        """
        says_so = any(os.strerror(number) in error for number in disk.FULL)
        least_bytes = max(self._min_free_bytes, NEARLY_FULL_BYTES if says_so else 0)
        if trial in self._excused or disk.free_bytes(self._folder) >= least_bytes:
            return False
        self._excused.add(trial)
        return True
