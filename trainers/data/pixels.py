"""A file of an image as pixels: what Pillow decodes under a list of formats, turned upright, of the size and colours asked for.

Needs numpy and Pillow alone and nothing of this project: a copy travels in every exported model that takes files.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
MOST_PIXELS = 50_000_000
TOO_LARGE = f"it has more than {MOST_PIXELS // 10**6} million pixels: make it smaller"
GREY = {"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"}
ORIENTATION, SIDEWAYS = 0x0112, {5, 6, 7, 8}


class BadImageError(ValueError):
    """The bytes are no image that is read; the text tells what to do."""


def look(content: bytes) -> tuple[int, int, bool]:
    """Height and width in pixels as a person sees it, and whether it is grey, out of the file's head."""
    with _opened(content) as image:
        # Pillow turns a TIFF's size by itself; in a PNG it may stand at the end, behind all pixels
        turned = image.format in {"JPEG", "MPO", "WEBP"} and image.getexif().get(ORIENTATION) in SIDEWAYS
        width, height = reversed(image.size) if turned else image.size
        return height, width, image.mode in GREY


def decode(content: bytes, height: int, width: int, channels: int) -> np.ndarray:
    """The first frame as uint8 `(height, width)` for one channel, `(height, width, 3)` for three.

    What is transparent is shown on white; of 16 bits a pixel the upper 8 are kept.

    Raises:
        BadImageError: it is damaged, of another format, or too large.
    """
    with _opened(content) as image:
        upright = ImageOps.exif_transpose(image)
        coloured = _on_white(upright).convert("L" if channels == 1 else "RGB")
        if coloured.size != (width, height):
            coloured = coloured.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(coloured, np.uint8)


def encode(pixels: np.ndarray) -> bytes:
    """A PNG file of uint8 pixels `(height, width)` or `(height, width, 3)`."""
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        deep = np.asarray(image)
        return Image.fromarray((deep.astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8))
    if image.mode == "F":
        raise BadImageError("its pixels are fractions: save it with 8 or 16 bits a pixel")
    if image.mode in {"LA", "La", "PA", "RGBA", "RGBa"} or "transparency" in image.info:
        shown = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown)
    return image


def _refuse_bomb(image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise BadImageError(TOO_LARGE)


@contextmanager
def _opened(content: bytes) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata; what cannot be decoded raises
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                _refuse_bomb(image)
                yield image
        except (MemoryError, BadImageError):
            raise
        except Image.DecompressionBombError:
            raise BadImageError(TOO_LARGE) from None
        except UnidentifiedImageError:
            raise BadImageError(f"it is no {', '.join(FORMATS)}: convert it, or leave it out") from None
        except Exception as error:  # Pillow does not say what a damaged file makes it raise
            raise BadImageError(f"it is damaged ({str(error)[:80]}): write it anew, or leave it out") from None
