"""The control plane's process: schemas up to date, then uvicorn."""

from __future__ import annotations

import socket

import structlog
import uvicorn

from api.app import create_app
from api.connection import BoundedProtocol
from trainers import catalog
from tuner import keys, presence
from tuner.settings import Settings
from tuner.store import database, migrate

MIN_KEY_LENGTH = 20

log = structlog.get_logger()


class InsecureError(Exception):
    """The control plane would be open to strangers; the text says what to do."""


def run(settings: Settings, listen_fd: int | None = None) -> None:
    """Serves until a signal says to stop.

    Args:
        settings: with the database's address.
        listen_fd: a socket that listens already, inherited; None: `host` and `port` of the settings.

    Raises:
        InsecureError: a key given is too short to protect anything.
    """
    assert settings.database_url is not None
    ring = keys.ring(
        admin_key=_key(settings, keys.Role.ADMIN, settings.admin_key),
        worker_key=_key(settings, keys.Role.WORKER, settings.worker_key),
    )
    engine = database.connect(settings.database_url, pool_size=20)
    migrate.upgrade(engine)
    for unusable, reason in catalog.broken().items():
        log.warning("an installed trainer cannot be used", trainer=unusable, reason=reason)
    app = create_app(settings, engine, ring)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=BoundedProtocol,
        log_config=None,
        access_log=False,  # a login link's key stands in its query
        timeout_graceful_shutdown=3,
        server_header=False,
    )
    with presence.told(engine):
        uvicorn.Server(config).run(None if listen_fd is None else [socket.socket(fileno=listen_fd)])
    engine.dispose()


def _key(settings: Settings, role: keys.Role, given: str | None) -> str:
    if given is None:
        return keys.load_or_make(settings.data, role)
    if len(given) < MIN_KEY_LENGTH:
        raise InsecureError(
            f"TUNER_{role.upper()}_KEY is shorter than {MIN_KEY_LENGTH} characters: choose a longer one"
        )
    return given
