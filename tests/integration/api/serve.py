"""Our REST API in processes that tests can kill; run as a script with the number of a socket that listens already.

Each line on stdin, a database's URL and a data folder, starts a server in a child, whose process id is the line on stdout.
Everything is imported here once, not in every child.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import uvicorn

from api.app import rest_app
from api.gate import Gate
from tests.integration.conftest import ADMIN
from tuner import keys, logs
from tuner.settings import Settings
from tuner.store import database


def serve(database_url: str, data: Path, listener: socket.socket) -> None:
    settings = Settings(data=data)
    ring = keys.ring(admin_key=ADMIN, worker_key="worker-key-for-this-test-only")
    app = rest_app(settings, database.connect(database_url))
    gate = Gate(app, ring=ring, port=settings.port, max_body_bytes=4 * 2**20)
    uvicorn.Server(uvicorn.Config(gate, log_config=None, access_log=False)).run([listener])


if __name__ == "__main__":
    logs.configure("server")  # to stderr: stdout is for process ids
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the killed are gone at once
    shared = socket.socket(fileno=int(sys.argv[1]))
    for line in sys.stdin:
        url, folder = line.split()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            serve(url, Path(folder), shared)
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
