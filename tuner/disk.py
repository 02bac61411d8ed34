"""Room on a disk: how much is left, and which errors say that there is none. Standard library only.

Owns the meaning of a full disk, for the control plane's files and for a worker's.
"""

from __future__ import annotations

import errno
import shutil
import time
from pathlib import Path

from tuner.domain.errors import NO_ROOM, NoRoomError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in FULL


def free_bytes(folder: Path) -> int:
    """What is left for us on the disk of a folder that exists."""
    return shutil.disk_usage(folder).free


def age_s(path: Path) -> float:
    """Seconds since a file or folder was changed; 0 for one that has just gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def require_room(folder: Path, min_free_bytes: int) -> None:
    """Refuses files that the disk should not take any more.

    Raises:
        NoRoomError: less is free than that.
    """
    if free_bytes(folder) < min_free_bytes:
        raise NoRoomError(NO_ROOM)
