"""Runs a command as long as its own stdin stays open: the command ends with whoever started this, however that ended.

Owns the end of everything that the command has started: its process group, and on Linux also what has left that group.
Run by path, it imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

GRACE_S = 5.0  # between SIGTERM and SIGKILL
KILLING_S = 1.0  # for what is killed, and goes on starting others
PR_SET_CHILD_SUBREAPER = 36  # Linux's: an orphan below us becomes our child, not that of process 1
PROC = Path("/proc")


def main() -> None:
    """Exits as the command does: with its code, or by its signal."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # ours, which reaches the whole group; not inherited by the command
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    let_go = threading.Event()
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_watch, args=(let_go,), daemon=True).start()
    code = process.wait()
    _kill_descendants()  # what the command has left behind
    if let_go.is_set():
        os.killpg(0, signal.SIGKILL)  # this, too
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _watch(let_go: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    let_go.set()
    for pid in _descendants():
        with contextlib.suppress(OSError):
            if os.getpgid(pid) != os.getpgrp():
                os.kill(pid, signal.SIGTERM)
    os.killpg(0, signal.SIGTERM)
    threading.Event().wait(GRACE_S)
    _kill_descendants()
    os.killpg(0, signal.SIGKILL)


def _kill_descendants() -> None:
    deadline_s = time.monotonic() + KILLING_S
    while (left := _descendants()) and time.monotonic() < deadline_s:
        for pid in left:
            with contextlib.suppress(OSError):  # it has just ended, or became another user's
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _descendants() -> set[int]:
    """Every process below this one that lives, by what /proc tells; none where there is no such folder."""
    parents: dict[int, int] = {}
    for folder in PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            state, parent = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(folder.name)] = int(parent)
    below = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return below - {os.getpid()}


if __name__ == "__main__":
    main()
