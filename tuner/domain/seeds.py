"""Seeds that follow from others: the same on every machine and in every process."""

from __future__ import annotations

from hashlib import blake2b


def derive(*parts: int | str) -> int:
    """A seed in 0..2**31-1 that depends on every part and on nothing else; unlike `hash()`, the same everywhere."""
    digest = blake2b("/".join(map(str, parts)).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") & 0x7FFFFFFF
