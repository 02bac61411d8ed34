"""Images as cameras, scanners and programs write them: each is decoded as a person sees it, or refused with the cure."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.trainers.stored import store
from tests.zipped import packed, picture
from trainers.data import files, pixels
from trainers.data.pixels import BadImageError

RAMP = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
FLAG = np.zeros((4, 6, 3), np.uint8)
FLAG[:, :3, 0], FLAG[:, 3:, 2] = 200, 100


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_formats_without_loss_give_the_very_pixels(form: str, options: dict[str, object]) -> None:
    content = picture(FLAG, form, **options)

    assert pixels.look(content) == (4, 6, False)
    assert (pixels.decode(content, 4, 6, 3) == FLAG).all()


def test_of_a_moving_gif_the_first_frame_is_shown() -> None:
    frames = [Image.fromarray(np.full((4, 6), value, np.uint8)) for value in (10, 200)]
    content = picture(frames[0], "GIF", save_all=True, append_images=frames[1:])

    assert (pixels.decode(content, 4, 6, 1) == 10).all()


def test_a_jpeg_is_nearly_what_it_was() -> None:
    smooth = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))

    assert np.abs(pixels.decode(picture(smooth, "JPEG"), 64, 64, 1).astype(int) - smooth).max() < 6


def test_cmyk_and_palettes_and_bits_are_seen_as_colours() -> None:
    image = Image.fromarray(FLAG)
    for content in (
        picture(image.convert("CMYK"), "TIFF"),
        picture(image.convert("P", palette=Image.Palette.ADAPTIVE)),
    ):
        assert not pixels.look(content)[2]
        assert np.abs(pixels.decode(content, 4, 6, 3).astype(int) - FLAG).max() < 3
    bits = np.indices((4, 6)).sum(axis=0) % 2 == 1
    content = picture(Image.fromarray(bits))
    assert pixels.look(content) == (4, 6, True)
    assert (pixels.decode(content, 4, 6, 1) == bits * 255).all()


def test_what_is_transparent_is_white() -> None:
    alpha = np.full((4, 6), 255, np.uint8)
    alpha[0] = 0
    with_alpha = picture(np.dstack([FLAG, alpha]))
    grey = picture(Image.merge("LA", (Image.fromarray(RAMP), Image.fromarray(alpha))))
    palette = picture(Image.fromarray(FLAG).convert("P", palette=Image.Palette.ADAPTIVE), transparency=0)

    assert (pixels.decode(with_alpha, 4, 6, 3)[0] == 255).all()
    assert (pixels.decode(with_alpha, 4, 6, 3)[1:] == FLAG[1:]).all()
    assert pixels.look(grey)[2]
    assert (pixels.decode(grey, 4, 6, 1)[0] == 255).all()
    assert (pixels.decode(grey, 4, 6, 1)[1:] == RAMP[1:]).all()
    assert (pixels.decode(palette, 4, 6, 3) == 255).all(axis=2).sum() == 12, "one of the two colours"


def test_sixteen_bits_keep_their_upper_eight() -> None:
    deep = RAMP.astype(np.uint16) * 256 + 99
    content = picture(Image.fromarray(deep))

    assert pixels.look(content) == (4, 6, True)
    assert (pixels.decode(content, 4, 6, 1) == RAMP).all()
    assert (pixels.decode(picture(Image.fromarray(deep), "TIFF"), 4, 6, 1) == RAMP).all()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_image_is_turned_upright_as_its_camera_says(form: str) -> None:
    sideways = Image.fromarray(np.repeat(np.repeat(RAMP, 8, 0), 8, 1))
    exif = Image.Exif()
    exif[pixels.ORIENTATION] = 6  # the camera was turned to the right
    options = {"quality": 100} if form == "JPEG" else {"lossless": True} if form == "WEBP" else {}
    content = picture(sideways, form, exif=exif, **options)

    if form != "PNG":
        assert pixels.look(content)[:2] == (48, 32)
    upright = pixels.decode(content, 48, 32, 1)
    assert np.abs(upright.astype(int) - np.rot90(np.asarray(sideways), -1)).max() < 8


def test_an_image_of_another_size_is_resized_smoothly() -> None:
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)

    assert np.abs(pixels.decode(picture(board), 8, 8, 1).astype(int) - 127).max() < 3


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is no PNG, JPEG, GIF, BMP, WEBP, TIFF: convert it, or leave it out"),
        (b"GIF89a", "it is no PNG|it is damaged"),
        (b"\xff\xd8\xff\xe0", "it is no PNG|it is damaged"),
        (picture(RAMP, "PPM"), "it is no PNG, JPEG"),
        (picture(RAMP, "ICO", sizes=[(4, 4)]), "it is no PNG, JPEG"),
        (picture(RAMP, "PDF"), "it is no PNG, JPEG"),
        (picture(FLAG, "JPEG")[:-60], "it is damaged .*: write it anew, or leave it out"),
        (picture(RAMP)[:-20], "it is damaged .*: write it anew, or leave it out"),
        (picture(RAMP).replace(b"IDAT", b"IDAX"), "it is damaged|it is no PNG"),
        (
            picture(Image.fromarray(RAMP.astype(np.float32)), "TIFF"),
            "its pixels are fractions: save it with 8 or 16 bits",
        ),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is no PNG, JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n", "it is no PNG, JPEG"),
    ],
)
def test_what_cannot_be_decoded_says_why(content: bytes, why: str) -> None:
    with pytest.raises(BadImageError, match=why):
        pixels.decode(content, 4, 6, 1)


def test_a_comment_that_unpacks_to_gigabytes_is_not_unpacked() -> None:
    text = b"Comment\0\0" + zlib.compress(bytes(2**27))
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    good = picture(RAMP)

    with pytest.raises(BadImageError, match="it is damaged"):
        pixels.decode(good[:33] + chunk + good[33:], 4, 6, 1)


# ---- whole sets ------------------------------------------------------------------------------------------------------


def folder(tmp_path: Path, *images: bytes, **source: object) -> Path:
    return store(
        tmp_path / "set", {"data.zip": packed({f"{i % 2}/{i}.png": each for i, each in enumerate(images)})}, **source
    )


def test_grey_stays_grey_if_all_are(tmp_path: Path) -> None:
    grey = [picture(RAMP)] * 3

    assert files.load(folder(tmp_path / "1", *grey, picture(RAMP, "JPEG")), "d").x.shape == (4, 4, 6)
    mixed = files.load(folder(tmp_path / "2", *grey, picture(FLAG)), "d").x
    assert mixed.shape == (4, 4, 6, 3)
    assert (mixed[0] == RAMP[:, :, None]).all()


@pytest.mark.parametrize(
    ("sizes", "source", "shape", "note"),
    [
        ([(10, 20)] * 4, {}, (10, 20), None),
        (
            [(10, 20), (10, 20), (30, 40), (8, 8)],
            {},
            (10, 20),
            "images from 8 x 8 to 40 x 30 pixels are resized to 20 x 10",
        ),
        ([(300, 600)] * 4, {}, (112, 224), "are resized to 224 x 112; say image_size: PIXELS for another longer side"),
        ([(300, 600)] * 4, {"image_size": 600}, (300, 600), None),
        ([(10, 20)] * 4, {"image_size": 8}, (4, 8), "are resized to 8 x 4"),
        ([(1, 2000)] * 4, {}, (1, 224), "are resized to 224 x 1"),
    ],
)
def test_images_get_one_size(
    tmp_path: Path, sizes: list[tuple[int, int]], source: dict[str, int], shape: tuple[int, int], note: str | None
) -> None:
    made = folder(tmp_path, *(picture(np.full(size, 9, np.uint8)) for size in sizes), **source)
    info, notes = files.examine(made)

    assert info.shape == files.load(made, "d").x.shape[1:] == shape
    assert (note in notes[0]) if note else (notes == [])
