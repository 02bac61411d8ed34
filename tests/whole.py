"""A whole service of a test's own: PostgreSQL, control plane, maintenance and a worker, on a free port."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.folders import data_folder
from tuner import up
from tuner.settings import Settings


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@contextmanager
def whole_service() -> Iterator[up.Service]:
    """With two slots, in a folder that is removed afterwards."""
    with data_folder() as folder, up.running(Settings(data=folder, port=free_port()), slots=2) as running:
        yield running
