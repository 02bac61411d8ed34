"""A request's body: given again to an app after somebody before it has read it, or read for nothing but the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.types import Message, Receive


def replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives this body once, and then whatever comes: the disconnect."""
    delivered = False

    async def replay() -> Message:
        nonlocal delivered
        if delivered:
            return await receive()
        delivered = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def drain(stream: AsyncIterator[bytes], limit_bytes: int) -> None:
    """Reads on, up to a limit: who still sends when a connection is closed may never see why."""
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if size > limit_bytes:
            return
