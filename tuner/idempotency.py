"""Requests that are sent again: an Idempotency-Key belongs to the request that it came with first.

Owns the comparison. The key is remembered in the transaction that does what the request asks for.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Connection

from tuner.domain.errors import IdempotencyMismatchError
from tuner.store import studies


def digest_of(*parts: object) -> str:
    """Of what a request asks for."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def known(connection: Connection, key: str, digest: str) -> Any | None:
    """What is kept of a request that was served before; None: it is new, and no other with its key is served meanwhile.

    Raises:
        IdempotencyMismatchError: the key came with another request before.
    """
    studies.lock_key(connection, key)
    kept = studies.known_key(connection, key)
    if kept is not None and kept.body_digest != digest:
        raise IdempotencyMismatchError(
            f"Idempotency-Key {key!r} came with another request, about study {kept.study_id}: use a new key"
        )
    return kept
