"""Which class and which part each file of a zip is of: by its folders, or by a table of labels beside the files.

Owns the layout: `CLASS/…/file`, below `train`, `validation` and `test`, or what else people call these, where its owner gives
parts; or `labels.csv` with the columns `file` and `label`. Folders that all files share say nothing.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from trainers.data import texts
from trainers.data.columns import LONGEST_CATEGORY
from trainers.data.faults import MOST_TOLD, Fault, FaultsError, short, some
from trainers.data.source import PARTS
from trainers.data.targets import MOST_CLASSES
from trainers.data.zips import Member, Zip

LABELS = "labels.csv"
PART_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}  # in any capitals, where every folder at the top is called so, each for another part


@dataclass(frozen=True)
class Item:
    """A file to learn from.

    Attributes:
        zip: that holds it.
        member: its place there.
        label: its class.
        part: `data` where there is one part.
    """

    zip: Zip
    member: Member
    label: str
    part: str


def items(zips: Mapping[str, Zip], encoding: str | None, notes: list[str]) -> list[Item]:
    """The files of all zips with their classes, in the order of parts and paths.

    Args:
        zips: by part; one `data` where its owner gave one zip.
        encoding: of tables of labels; None: found out.
        notes: what the owner should know is added here.

    Raises:
        FaultsError: a file is of no class, or a table of labels is not one.
    """
    found = [item for part, each in zips.items() for item in _of_zip(each, part, encoding, notes)]
    if not found:
        raise FaultsError(
            Fault(file=_files(zips), detail="there is no file in it: give files in folders named by class")
        )
    parts = {item.part for item in found}
    if len(parts) > 1 and "train" not in parts:
        raise FaultsError(Fault(file=_files(zips), detail="there is no folder train beside the other parts: give one"))
    return sorted(found, key=lambda item: ("data", *PARTS).index(item.part))


def classes(found: list[Item]) -> tuple[str, ...]:
    """The classes in order: numbers by value, words by the alphabet.

    Raises:
        FaultsError: nothing can be learned from them, or one has a file to learn from, or none.
    """
    file = _files({item.zip.file: item.zip for item in found})
    names = {item.label for item in found}
    trained = Counter(item.label for item in found if item.part in {"data", "train"})
    faults = []
    if len(names) == 1:
        faults.append(f"every file is of the class {short(next(iter(names)))!r}: give files of another class, too")
    elif len(names) > MOST_CLASSES:
        faults.append(f"{len(names)} classes are too many: put files of one class into one folder")
    else:
        for name in sorted(names):
            where = "" if trained.total() == len(found) else " of the training part"
            if trained[name] < 2:
                count = "one file" if trained[name] else "no file"
                faults.append(
                    f"the class {short(name)!r} has {count}{where}, and needs two: leave it out, or give more"
                )
            if len(name) > LONGEST_CATEGORY:
                faults.append(f"a class has a name of {len(name)} characters: shorten it to {LONGEST_CATEGORY}")
    if faults:
        raise FaultsError(*(Fault(file=file, detail=detail) for detail in faults))
    numbers = all(name.isascii() and name.isdecimal() for name in names)
    return tuple(sorted(names, key=lambda name: (int(name), name) if numbers else (0, name)))


def part_rows(found: list[Item]) -> dict[str, np.ndarray] | None:
    """Rows of each part, or None where there is one."""
    parts = np.array([item.part for item in found])
    return {part: np.flatnonzero(parts == part) for part in PARTS if part in parts} if len(set(parts)) > 1 else None


def _files(zips: Mapping[str, Zip]) -> str:
    return ", ".join(each.file for each in zips.values())


def _of_zip(archive: Zip, part: str, encoding: str | None, notes: list[str]) -> list[Item]:
    shared = _shared(archive.members)
    table = next((each for each in archive.members if each.path[shared:] == (LABELS,)), None)
    members = [each for each in archive.members if each is not table]
    tops = {each.path[shared] for each in members}
    named = {PART_NAMES.get(top.casefold()) for top in tops}
    in_parts = part == "data" and None not in named and len(named) == len(tops) > 1
    parts = [PART_NAMES[each.path[shared].casefold()] if in_parts else part for each in members]
    if table is None:
        labels = _by_folder(archive, members, shared + in_parts)
    else:
        labels = _by_table(archive, table, members, encoding)
        if None in labels:
            notes.append(f"{labels.count(None)} files are not in {LABELS} and are left out")
    return [
        Item(archive, member, label, its_part)
        for member, label, its_part in zip(members, labels, parts, strict=True)
        if label is not None
    ]


def _shared(members: list[Member]) -> int:
    """How many folders all files share, above the folders of classes."""
    depth = 0
    while members and all(len(each.path) > depth + 1 for each in members):
        beneath = any(len(each.path) == depth + 2 and each.path[depth + 1] == LABELS for each in members)
        if len({each.path[depth] for each in members}) > 1 or not (
            beneath or all(len(each.path) > depth + 2 for each in members)
        ):
            break
        depth += 1
    return depth


def _by_folder(archive: Zip, members: list[Member], depth: int) -> list[str | None]:
    loose = [each for each in members if len(each.path) < depth + 2]
    if loose:
        cure = f"is in no folder of a class: move it into a folder named by its class, or give {LABELS} with file,label"
        raise FaultsError(*(archive.fault(each, cure) for each in loose[:MOST_TOLD]))
    return [each.path[depth] for each in members]


def _by_table(archive: Zip, table: Member, members: list[Member], encoding: str | None) -> list[str | None]:
    """The label of each member that the table names."""
    text = texts.decode(table.name, archive.read(table), encoding)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=texts.sniff_delimiter(text))
    if not {"file", "label"} <= {*(reader.fieldnames or ())}:
        has = some(reader.fieldnames or ()) or "nothing"
        raise FaultsError(archive.fault(table, f"has the columns {has}: give it file and label"))
    base = table.path[:-1]
    there = {_composed(each.path) for each in members}
    labels: dict[tuple[str, ...], str] = {}
    faults: list[str] = []
    try:
        for row in reader:
            path = _composed((*base, *PurePosixPath((row["file"] or "").strip()).parts))
            label = (row["label"] or "").strip()
            if path not in there:
                faults.append(f"row {reader.line_num}: there is no file {short(row['file'] or '')!r}: mend the path")
            elif not label:
                faults.append(f"row {reader.line_num}: there is no label: give one, or leave the row out")
            elif labels.setdefault(path, label) != label:
                faults.append(f"row {reader.line_num}: {short(row['file'])!r} has another label above: leave one out")
            if len(faults) == MOST_TOLD:
                break
    except csv.Error as error:
        faults.append(f"row {reader.line_num}: it is no table ({error}): look for a quote that is not closed")
    if faults:
        raise FaultsError(*(archive.fault(table, detail) for detail in faults))
    return [labels.get(_composed(each.path)) for each in members]


def _composed(path: tuple[str, ...]) -> tuple[str, ...]:
    """The path with one character for a letter and its accent, which macOS writes as two."""
    return tuple(unicodedata.normalize("NFC", name) for name in path)
