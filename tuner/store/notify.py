"""Word that there is work, from whoever made it to whoever waits for it, in any process, through PostgreSQL.

Owns the channel. A notice is only a hint: whoever waits looks for itself, and looks again after a while without one.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable

import structlog
from sqlalchemy import Connection, Engine, text

from tuner.store.database import TRANSIENT

CHANNEL = "tuner_work"
RECONNECT_S = 1.0

log = structlog.get_logger()


def work(engine: Engine) -> None:
    """Says that there is work; in a transaction of its own, since NOTIFY makes commits go one by one.

    What made the work is committed by now, so a database that is away just then is no refusal of it.
    """
    try:
        with engine.begin() as connection:
            connection.execute(text(f"notify {CHANNEL}"))
    except TRANSIENT as error:
        log.warning("nobody was told that there is work", error=str(error).splitlines()[0])


def with_commit(connection: Connection) -> None:
    """Says so once the transaction commits; for what happens once a study, as such commits go one by one."""
    connection.execute(text(f"notify {CHANNEL}"))


class Listener:
    """A thread that calls `wake` for every notice, and once after every reconnection, since notices may be missed."""

    def __init__(self, engine: Engine, wake: Callable[[], None]) -> None:
        self._engine = engine
        self._wake = wake
        self._stopped = threading.Event()
        self._stop_reader, self._stop_writer = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._stop_writer.send(b"x")
        self._thread.join()
        self._stop_reader.close()
        self._stop_writer.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen()
            except Exception as error:
                log.warning("listening for work was interrupted", error=str(error))
                self._stopped.wait(RECONNECT_S)

    def _listen(self) -> None:
        connection = self._engine.raw_connection()
        try:
            driver = connection.driver_connection
            assert driver is not None
            driver.autocommit = True
            driver.cursor().execute(f"listen {CHANNEL}")
            self._wake()
            while not self._stopped.is_set():
                if driver in select.select([driver, self._stop_reader], [], [])[0]:
                    driver.poll()
                    if driver.notifies:
                        driver.notifies.clear()
                        self._wake()
        finally:
            connection.invalidate()  # it listens: never back into the pool
