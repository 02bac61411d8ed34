"""HTTP as strangers may speak it: a request's head that does not end, or does not come, is not waited for.

Owns both bounds. uvicorn's own protocol keeps whatever comes of a head until it is whole, of whatever size.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 2**16  # request line and headers
HEAD_S = 30.0  # within which a head must have come that has begun, or the first one of a connection

TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """Counts bytes that have led to no whole head and no piece of a body: trailers are counted alike."""

    _unfinished_bytes = 0
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._be_patient()

    def connection_lost(self, exc: Exception | None) -> None:
        self._finished()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unfinished_bytes += len(data)
        super().data_received(data)
        if self._unfinished_bytes > MAX_HEAD_BYTES:
            self._close(TOO_LARGE)
        elif self._unfinished_bytes and self._patience is None:
            self._be_patient()

    def on_headers_complete(self) -> None:
        self._finished()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._finished()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._finished()
        super().on_message_complete()

    def _be_patient(self) -> None:
        self._patience = self.loop.call_later(HEAD_S, self._close, TOO_SLOW)

    def _finished(self) -> None:
        self._unfinished_bytes = 0
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _close(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()
