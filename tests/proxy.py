"""A real HTTP proxy that loses answers: a request is passed on and answered, and then the connection is dropped."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

PASSED_ON = ("Authorization", "Content-Type", "Idempotency-Key")


class Proxy(ThreadingHTTPServer):
    """Stands before a server.

    Attributes:
        url: where it listens.
        loses: whether the first answer to each writing POST is lost, told apart by path and body.
        lost: the paths of requests whose answers were.
        passed: how many requests came, by the last part of their paths.
    """

    daemon_threads = True

    def __init__(self, upstream: str, *, loses: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.loses = loses
        self.lost: list[str] = []
        self.passed: Counter[str] = Counter()
        self._known: set[tuple[str, bytes]] = set()
        self._upstream = httpx.Client(base_url=upstream, trust_env=False, timeout=60)

    def close(self) -> None:
        """Refuses from now on, also those that are connected."""
        self.shutdown()
        self.server_close()
        self._upstream.close()

    def handle_error(self, *_: object) -> None:
        """A connection that breaks is what this is for."""

    def passes(self, method: str, path: str, headers: dict[str, str], body: bytes) -> httpx.Response | None:
        """The answer; None if it gets lost."""
        self.passed[path.rpartition("/")[2]] += 1
        answer = self._upstream.request(method, path, headers=headers, content=body)
        reads = method != "POST" or "/get_" in path
        if not self.loses or reads or (path, body) in self._known:
            return answer
        self._known.add((path, body))
        self.lost.append(path)
        return None


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        answer = self.server.passes(self.command, self.path, headers, body)
        if answer is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def proxied(upstream: str, *, loses: bool) -> Iterator[Proxy]:
    """A proxy until the block ends; after that, its port refuses."""
    proxy = Proxy(upstream, loses=loses)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
