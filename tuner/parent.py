"""How a process ends: with the one that started it, or by a signal as if by Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import NoReturn

GRACE_S = 30.0


def end_with(name: str) -> None:
    """Ends this process, by SIGTERM first, once whoever started it is gone."""
    threading.Thread(target=_wait, name=f"{name}-parent", daemon=True).start()


def interrupt_on_signals() -> None:
    """Makes SIGTERM and a closed terminal end this process like Ctrl-C, so that it ends what it started.

    SIGINT too: a shell starts background processes with it ignored.
    """
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _interrupt)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _wait() -> None:
    while os.read(sys.stdin.fileno(), 4096):  # not through sys.stdin, whose lock would be held when the process ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE_S)
    os._exit(1)
