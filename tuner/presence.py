"""Says every second that the control plane serves, so that leases run out only while it does.

Owns the thread and the gap. It writes over the same connections as the API: what keeps it from them keeps a worker's
renewal from them as well, and counts as an outage. What is made of it stands in `tuner.store.duties`.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy import Engine

from tuner.store import duties
from tuner.store.database import transaction

EVERY_S = 1.0
GAP_S = 4.0  # without a word for longer, leases begin anew

log = structlog.get_logger()


@contextmanager
def told(engine: Engine) -> Iterator[None]:
    """While this lasts, the database knows that a control plane serves."""
    stop = threading.Event()
    thread = threading.Thread(target=_tell, args=(engine, stop), name="presence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(EVERY_S)


def _tell(engine: Engine, stop: threading.Event) -> None:
    holder = f"{socket.gethostname()}-{os.getpid()}"
    is_away = False
    while not stop.is_set():
        try:
            with transaction(engine) as connection:
                duties.serve(connection, holder, GAP_S)
        except Exception as error:
            if not is_away:
                log.warning("the database went away", error=str(error).splitlines()[0])
            is_away = True
        else:
            if is_away:
                log.info("the database is back: every lease gets its whole length again")
            is_away = False
        stop.wait(EVERY_S)
