"""A stored zip of images or clips of sound as a data set: one size, one sample rate, one label a file.

Owns what is decided for a whole set: its kind, the size that images get, the sample rate and length of clips; and where its rows
live, in memory or, where they are many, in an unnamed file that is mapped into it.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np

from trainers.contract import Dataset
from trainers.data import class_folders, pixels, waves, zips
from trainers.data.class_folders import Item
from trainers.data.digest import digest_of_rows
from trainers.data.faults import MOST_TOLD, Fault, FaultsError
from trainers.data.label_tables import LABELS
from trainers.data.source import SOURCE, Source

IMAGES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff")
CLIPS = (".wav", ".wave", ".flac")
USUAL_SIDE = 224  # pixels of the longer side, at most, unless the owner says another
USUAL_RATE = 16_000  # samples a second, at most, unless the owner says another
LONGEST_S = 30.0  # of a row; of a longer clip its beginning is kept
MOST_DECODED_BYTES = 2**36
IN_MEMORY_BYTES = 2**31

Decode = Callable[[bytes], np.ndarray]


@dataclass(frozen=True)
class Plan:
    """How a zip becomes rows.

    Attributes:
        kind: of the data set.
        items: its files, a row each.
        shape: of a row.
        dtype: of its values.
        decode: a file's bytes to its row.
        media: `column`, as exported models call the files, and the arguments of `decode`.
    """

    kind: Literal["image", "audio"]
    items: list[Item]
    shape: tuple[int, ...]
    dtype: type[np.uint8 | np.int16]
    decode: Decode
    media: dict[str, Any]

    @property
    def bytes(self) -> int:
        """Of all rows."""
        return len(self.items) * int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


def load(paths: Mapping[str, Path], source: Source, name: str, scratch: Path, notes: list[str]) -> Dataset:
    """Decodes a set whole.

    Args:
        paths: the zips by part.
        source: what the owner said.
        name: that the data set is to have.
        scratch: a folder on the disk for rows that are too many for memory.
        notes: what the owner should know is added here.

    Raises:
        FaultsError: it cannot be used as it is.
        OSError: the disk has no room for its rows.
    """
    with _planned(paths, source, notes) as plan:
        x = _room(plan, scratch)
        for i, row in enumerate(_each(plan.items, plan.decode)):
            x[i] = row
        is_structured = source.task == "structured"
        class_names = () if is_structured else class_folders.classes(plan.items)
        labels = np.array([item.label for item in plan.items], dtype=object)
        places = {label: i for i, label in enumerate(class_names)}
        y = labels if is_structured else np.array([places[label] for label in labels], np.int64)
        parts = class_folders.part_rows(plan.items)
        meaning = {
            "classes": list(class_names),
            "parts": None if parts is None else {part: each.tolist() for part, each in parts.items()},
            "media": plan.media,
        }
        return Dataset(
            name=name,
            kind=plan.kind,
            task="structured" if is_structured else "classification",
            x=x,
            y=y,
            feature_names=(),
            class_names=class_names,
            digest=digest_of_rows(x.shape, x.dtype, x, y, meaning),
            part_rows=parts,
            media=plan.media,
        )


@contextmanager
def _planned(paths: Mapping[str, Path], source: Source, notes: list[str]) -> Iterator[Plan]:
    _refuse_words_about_tables(source)
    with ExitStack() as stack:
        opened = {part: stack.enter_context(zips.opened(path, source.encoding)) for part, path in paths.items()}
        found = class_folders.items(opened, source.encoding, notes)
        refuse = class_folders.refuse_alike if source.task == "structured" else class_folders.classes
        refuse(found)  # before anything is decoded
        plan = _images(found, source, notes) if _kind(found) == "image" else _clips(found, source, notes)
        if plan.bytes > MOST_DECODED_BYTES:
            cure = "say a smaller image_size or sample_rate, or give fewer files"
            detail = (
                f"all rows take {plan.bytes / 2**30:.0f} GiB, and {MOST_DECODED_BYTES // 2**30} are allowed: {cure}"
            )
            raise FaultsError(Fault(file=found[0].zip.file, detail=detail))
        yield plan


def _refuse_words_about_tables(source: Source) -> None:
    said = {
        "target": source.target,
        "columns": source.columns,
        "split_column": source.split_column,
        "task": source.task if source.task == "regression" else None,
    }
    faults = [
        f"{name} is for tables, and a zip has its classes in folders: leave it out" for name in said if said[name]
    ]
    if faults:
        raise FaultsError(*(Fault(file=SOURCE, detail=detail) for detail in faults))


def _kind(found: list[Item]) -> Literal["image", "audio"]:
    """What the files are by their names; their content is judged when it is decoded."""
    images = [item for item in found if item.member.extension in IMAGES]
    clips = [item for item in found if item.member.extension in CLIPS]
    if len(images) + len(clips) == len(found) and not (images and clips):
        return "image" if images else "audio"
    wanted = IMAGES if len(images) >= len(clips) else CLIPS
    cure = f"is not one of {', '.join(wanted)} as the others are: convert it, or leave it out"
    if not images and not clips:
        cure = f"is neither an image ({', '.join(IMAGES)}) nor a clip ({', '.join(CLIPS)}), nor {LABELS} beside them"
    others = [item for item in found if item.member.extension not in wanted]
    raise FaultsError(*(item.zip.fault(item.member, cure) for item in others[:MOST_TOLD]))


def _images(found: list[Item], source: Source, notes: list[str]) -> Plan:
    heads = list(_each(found, pixels.look))
    heights, widths = [head[0] for head in heads], [head[1] for head in heads]
    height, width = round(median(heights)), round(median(widths))
    longest = source.image_size or min(max(height, width), USUAL_SIDE)
    scale = longest / max(height, width)
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    channels = 1 if all(head[2] for head in heads) else 3
    sizes = len({*zip(heights, widths, strict=True)})
    if sizes > 1 or (height, width) != (heights[0], widths[0]):
        seen = f"from {min(widths)} x {min(heights)} to {max(widths)} x {max(heights)} pixels"
        notes.append(f"images {seen} are resized to {width} x {height}; say image_size: PIXELS for another longer side")
    size = {"height": height, "width": width, "channels": channels}
    return Plan(
        kind="image",
        items=found,
        shape=(height, width) if channels == 1 else (height, width, 3),
        dtype=np.uint8,
        decode=partial(pixels.decode, **size),
        media={"column": "image", **size},
    )


def _clips(found: list[Item], source: Source, notes: list[str]) -> Plan:
    heads = list(_each(found, waves.look))
    rates = {rate for _, rate in heads}
    lengths_s = [frames / rate for frames, rate in heads]
    sample_rate = source.sample_rate or min(USUAL_RATE, max(rates))
    samples = max(1, min(round(max(lengths_s) * sample_rate), int(LONGEST_S * sample_rate)))
    notes.append(f"clips of {min(lengths_s):.2f} to {max(lengths_s):.2f} s, in the middle {median(lengths_s):.2f} s")
    if rates != {sample_rate}:
        given = ", ".join(map(str, sorted(rates)[:MOST_TOLD]))
        notes.append(f"clips of {given} samples a second are resampled to {sample_rate}; say sample_rate for another")
    longer = sum(length > LONGEST_S for length in lengths_s)
    if longer:
        notes.append(f"of {longer} clips the first {LONGEST_S:.0f} s are used")
    form = {"sample_rate": sample_rate, "samples": samples}
    return Plan(
        kind="audio",
        items=found,
        shape=(samples,),
        dtype=np.int16,
        decode=partial(waves.decode, **form),
        media={"column": "audio", **form},
    )


def _each(items: list[Item], of: Callable[[bytes], Any]) -> Iterator[Any]:
    """A function of every file's bytes; files of which there is none are faults, told together at the end."""
    faults: list[Fault] = []
    for item in items:
        try:
            yield of(item.zip.read(item.member))
        except FaultsError as error:
            faults += error.faults
        except (pixels.BadImageError, waves.BadClipError) as error:
            faults.append(item.zip.fault(item.member, f"cannot be used: {error}"))
        if len(faults) >= MOST_TOLD:
            break
    if faults:
        raise FaultsError(*faults)


def _room(plan: Plan, scratch: Path) -> np.ndarray:
    """An array for all rows."""
    shape = (len(plan.items), *plan.shape)
    if plan.bytes <= IN_MEMORY_BYTES:
        return np.empty(shape, plan.dtype)
    with tempfile.TemporaryFile(dir=scratch) as file:  # it goes when the array does
        try:
            os.posix_fallocate(
                file.fileno(), 0, plan.bytes
            )  # a full disk is an error here, and would be a signal later
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            return np.empty(shape, plan.dtype)  # a process that may write no such file has a limit on memory, too
        return np.memmap(file, plan.dtype, mode="r+", shape=shape)
