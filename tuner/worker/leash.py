"""Runs a command as long as its own stdin stays open: the command ends with whoever started this, however that ended.

Owns the end of the command's process group. Run by path, it imports nothing but the standard library.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

GRACE_S = 5.0  # between SIGTERM and SIGKILL


def main() -> None:
    """Exits as the command does: with its code, or by its signal."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # ours, which reaches the whole group; not inherited by the command
    let_go = threading.Event()
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_watch, args=(let_go,), daemon=True).start()
    code = process.wait()
    if let_go.is_set():
        os.killpg(0, signal.SIGKILL)  # what the command has left behind, and this
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _watch(let_go: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    let_go.set()
    os.killpg(0, signal.SIGTERM)
    threading.Event().wait(GRACE_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
