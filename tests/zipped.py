"""Zips of images for tests: written out of arrays, and of scikit-learn's digits."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from functools import cache

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


def packed(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def picture(pixels: np.ndarray | Image.Image, form: str = "PNG", **options: object) -> bytes:
    """A file of uint8 pixels `(height, width)` or `(height, width, 3)`."""
    written = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(written, form, **options)
    return written.getvalue()


@cache
def digits(rows: int = 1797) -> dict[str, bytes]:
    """The first digits as PNG files in folders of their classes."""
    found = load_digits()
    pixels = (found.images[:rows] * 255 / 16).round().astype(np.uint8)
    return {
        f"{label}/{i:04}.png": picture(each)
        for i, (each, label) in enumerate(zip(pixels, found.target[:rows].tolist(), strict=True))
    }
