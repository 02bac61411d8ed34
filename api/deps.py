"""What endpoints are given: the engine, a connection for reading, the settings, the bell that wakes waiting claims.

Owns how many may wait at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends, Query, Request
from sqlalchemy import Connection, Engine

from tuner.domain.errors import UnavailableError
from tuner.settings import Settings


class Bell:
    """Wakes everyone who waits, in this process's event loop; rung from any thread.

    Args:
        places: how many may wait at once.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rung = asyncio.Event()

    def open(self) -> None:
        """Binds the bell to the running loop."""
        self._loop = asyncio.get_running_loop()

    def ring(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ring)

    def _ring(self) -> None:
        self._rung.set()
        self._rung = asyncio.Event()

    @property
    def next(self) -> asyncio.Event:
        """Set at the next ring; take it before looking for work, so that no ring is missed."""
        return self._rung

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place to wait at, until the block ends.

        Raises:
            UnavailableError: all are taken.
        """
        if self._taken >= self._places:
            raise UnavailableError(
                f"{self._places} claims wait for work already, and no more may: come again in a moment, "
                "or raise TUNER_MAX_WAITING_CLAIMS"
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


def _connection(request: Request) -> Iterator[Connection]:
    with _engine(request).begin() as connection:
        yield connection


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _bell(request: Request) -> Bell:
    bell: Bell = request.app.state.bell
    return bell


EngineDep = Annotated[Engine, Depends(_engine)]
ConnectionDep = Annotated[Connection, Depends(_connection, scope="function")]  # given back before the answer is sent
SettingsDep = Annotated[Settings, Depends(_settings)]
BellDep = Annotated[Bell, Depends(_bell)]

Limit = Annotated[int, Query(ge=1, le=500, description="Items a page.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")]
