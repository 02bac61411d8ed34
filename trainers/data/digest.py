"""The fingerprint of a data set: the same rows have the same digest on every machine; needs numpy only."""

from __future__ import annotations

import hashlib
import json

import numpy as np


def digest(x: np.ndarray, y: np.ndarray, meaning: object = None) -> str:
    """`sha256:…` over shape, type and bytes of x and y, in C order and little-endian.

    Args:
        x: `(rows, …)` raw rows; `(rows,)` of str counts as UTF-8.
        y: `(rows,)` class indices or targets.
        meaning: plain JSON of what the numbers stand for, where they stand for something else.
    """
    sha256 = hashlib.sha256()
    if meaning is not None:
        sha256.update(json.dumps(meaning, sort_keys=True).encode() + b"\n")
    for array in (x, y):
        if array.dtype == object:
            _add_texts(sha256, array)
            continue
        portable = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        sha256.update(f"{portable.shape} {portable.dtype.str}\n".encode())
        sha256.update(portable.tobytes())
    return f"sha256:{sha256.hexdigest()}"


def _add_texts(sha256: hashlib._Hash, texts: np.ndarray) -> None:
    """Each with its length before it, so that no two lists of texts are the same bytes."""
    sha256.update(f"{texts.shape} text\n".encode())
    for text in texts:
        content = text.encode()
        sha256.update(b"%d\n" % len(content))
        sha256.update(content)
