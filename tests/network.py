"""A network between two processes that can be made bad: a TCP proxy with latency, resets, cuts and half-open connections."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

PIECE_BYTES = 2**16


class Proxy:
    """Passes bytes on to a port of this machine; what it does to them may change at any time, from any thread.

    Attributes:
        latency_s: how much later everything arrives, in each direction.
        is_cut: nothing arrives while this is true; afterwards everything does, as TCP sends it again.
        port: where it listens.
    """

    def __init__(self, target_port: int) -> None:
        self.latency_s = 0.0
        self.is_cut = False
        self.port = 0
        self._target_port = target_port
        self._generation = 0  # connections of an earlier one are half-open
        self._transports: set[asyncio.Transport] = set()
        self._loop = asyncio.new_event_loop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        """Breaks every connection that there is."""
        self._loop.call_soon_threadsafe(self._reset)

    def half_open(self) -> None:
        """Nothing arrives any more over the connections that there are, and neither end hears of it."""
        self._generation += 1

    def _reset(self) -> None:
        for transport in list(self._transports):
            transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        generation = self._generation
        try:
            behind = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer.transport, behind[1].transport}
        self._transports |= ends  # type: ignore[arg-type]
        try:
            with contextlib.suppress(
                asyncio.CancelledError
            ):  # at the end; Python 3.11's streams would print it as a failure
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pass(reader, behind[1], generation))
                    both.create_task(self._pass(behind[0], writer, generation))
        except* OSError:
            pass
        finally:
            self._transports -= ends  # type: ignore[arg-type]
            for transport in ends:
                transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, generation: int) -> None:
        """One direction: read at once, written later."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due_s, piece = await under_way.get()
                await asyncio.sleep(max(0.0, due_s - loop.time()))
                while self.is_cut or generation < self._generation:  # noqa: ASYNC110 - set from other threads
                    await asyncio.sleep(0.02)
                if not piece:
                    raise ConnectionResetError
                writer.write(piece)
                await writer.drain()

        delivering = asyncio.create_task(deliver())
        try:
            while piece := await reader.read(PIECE_BYTES):
                under_way.put_nowait((loop.time() + self.latency_s, piece))
            under_way.put_nowait((loop.time() + self.latency_s, b""))
            await delivering
        finally:
            delivering.cancel()

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)

        async def serve() -> Any:
            server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            started.set()
            return server

        self._server = self._loop.run_until_complete(serve())
        self._loop.run_forever()

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._loop.stop()


@contextlib.contextmanager
def proxied(target_port: int) -> Iterator[Proxy]:
    """A proxy in a thread, until the block ends."""
    proxy = Proxy(target_port)
    started = threading.Event()
    thread = threading.Thread(target=proxy._run, args=(started,), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy._end(), proxy._loop)
        thread.join(10)
        proxy._loop.close()
