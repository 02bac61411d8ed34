"""A disk of a few megabytes, for what happens when there is no room."""

from __future__ import annotations

import os
from pathlib import Path

MOUNTED = 'mount -t tmpfs -o size="$1,mode=755" none "$2" && shift 2 && exec "$@"'


def command(size: str, folder: Path, *arguments: str | Path) -> list[str]:
    """A command that sees such a disk at a folder, which nobody else does and which goes with it.

    Args:
        size: as mount has it, `4m`.
        folder: that exists.
        arguments: of the command.
    """
    alone = ["--mount"] if os.geteuid() == 0 else ["--mount", "--map-current-user", "--keep-caps"]
    return ["unshare", *alone, "sh", "-c", MOUNTED, "sh", size, str(folder), *map(str, arguments)]
