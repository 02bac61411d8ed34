"""Our REST API in a process of its own, so that tests can kill it; run as a script.

Arguments: our database's URL, the data folder, and the number of a socket that listens already.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn

from api.app import rest_app
from api.gate import Gate
from tests.integration.conftest import ADMIN
from tuner import keys
from tuner.settings import Settings
from tuner.store import database


def main() -> None:
    settings = Settings(data=Path(sys.argv[2]))
    ring = keys.ring(admin_key=ADMIN, worker_key="worker-key-for-this-test-only")
    app = Gate(
        rest_app(settings, database.connect(sys.argv[1])), ring=ring, port=settings.port, max_body_bytes=4 * 2**20
    )
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    server.run([socket.socket(fileno=int(sys.argv[3]))])


if __name__ == "__main__":
    main()
