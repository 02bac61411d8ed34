"""The fingerprint of a data set: the same rows have the same digest on every machine; needs numpy only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np


def digest(x: np.ndarray, y: np.ndarray, meaning: object = None) -> str:
    """`sha256:…` over shape, type and bytes of x and y, in C order and little-endian.

    Args:
        x: `(rows, …)` raw rows; `(rows,)` of str counts as UTF-8.
        y: `(rows,)` class indices or targets.
        meaning: plain JSON of what the numbers stand for, where they stand for something else.
    """
    return digest_of_rows(x.shape, x.dtype, [x], y, meaning)


def digest_of_rows(
    shape: tuple[int, ...], dtype: np.dtype[Any], rows: Iterable[np.ndarray], y: np.ndarray, meaning: object = None
) -> str:
    """The same of rows that come one by one, or many at once, and make an array of this shape and type in the end."""
    sha256 = hashlib.sha256()
    if meaning is not None:
        sha256.update(json.dumps(meaning, sort_keys=True).encode() + b"\n")
    for size, kind, pieces in ((shape, dtype, rows), (y.shape, y.dtype, [y])):
        if kind.hasobject:
            for piece in pieces:
                _add_texts(sha256, piece)
            continue
        portable = kind.newbyteorder("<")
        sha256.update(f"{size} {portable.str}\n".encode())
        for piece in pieces:
            sha256.update(np.ascontiguousarray(piece, portable).tobytes())
    return f"sha256:{sha256.hexdigest()}"


def _add_texts(sha256: hashlib._Hash, texts: np.ndarray) -> None:
    """Each with its length before it, so that no two lists of texts are the same bytes."""
    sha256.update(f"{texts.shape} text\n".encode())
    for text in texts:
        content = text.encode()
        sha256.update(b"%d\n" % len(content))
        sha256.update(content)
