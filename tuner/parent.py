"""A process that must not outlive the one that started it: it ends when its stdin closes."""

from __future__ import annotations

import os
import signal
import sys
import threading

GRACE_S = 30.0


def end_with(name: str) -> None:
    """Ends this process, by SIGTERM first, once whoever started it is gone."""
    threading.Thread(target=_wait, name=f"{name}-parent", daemon=True).start()


def _wait() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE_S)
    os._exit(1)
