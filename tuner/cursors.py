"""The cursors of pages: places in a list, made opaque, and read again from whoever sends them."""

from __future__ import annotations

import base64
import binascii

from tuner.domain.errors import FieldError, InvalidError

NO_CURSOR = FieldError("/cursor", "not a cursor of ours: take next_cursor of the last page")


def encode_cursor(position: int) -> str:
    return _encode(str(position))


def decode_cursor(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    (position,) = _decode(cursor, 1)
    if not -(2**31) < position < 2**31:
        raise InvalidError([NO_CURSOR])
    return position


def decode_place(cursor: str) -> tuple[int, int]:
    fold, step = _decode(cursor, 2)
    if not 0 <= fold < 2**31 or not -(2**63) <= step < 2**63:
        raise InvalidError([NO_CURSOR])
    return fold, step


def encode_place(fold: int, step: int) -> str:
    """A place in a trial's reports."""
    return _encode(f"{fold}:{step}")


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


def _decode(cursor: str, count: int) -> list[int]:
    try:
        numbers = [int(part) for part in base64.urlsafe_b64decode(cursor.encode()).decode().split(":")]
    except (ValueError, binascii.Error):
        numbers = []
    if len(numbers) != count:
        raise InvalidError([NO_CURSOR])
    return numbers
