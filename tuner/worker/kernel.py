"""Whether the kernel killed a process for want of memory: its own count of such kills, before and after.

Owns the reading of the control group's counter, of either version, and of the whole machine's where there is none.
"""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


class Kills:
    """The kills by want of memory in a process's control group, counted from now on."""

    def __init__(self, pid: int) -> None:
        self._file = _counter(pid)
        self._before = _count(self._file)

    def happened(self) -> bool:
        """Whether there was one; False also where the kernel does not tell."""
        now = _count(self._file)
        return now is not None and self._before is not None and now > self._before


def _counter(pid: int) -> Path:
    """The file that counts for this process."""
    with suppress(OSError):
        for line in (PROC / str(pid) / "cgroup").read_text().splitlines():
            _number, controllers, group = line.split(":", 2)
            if controllers == "memory":  # version 1
                candidate = CGROUPS / "memory" / group.lstrip("/") / "memory.oom_control"
            elif not controllers:  # version 2
                candidate = CGROUPS / group.lstrip("/") / "memory.events"
            else:
                continue
            if _count(candidate) is not None:
                return candidate
    return PROC / "vmstat"


def _count(file: Path) -> int | None:
    with suppress(OSError):
        for line in file.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return None


def children_peak_bytes() -> int:
    """The most memory that any ended child of this process had resident."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
