"""Which class, or other label, and which part each file of a zip is of: by its folders, or by a table of labels beside the files.

Owns the layout: `CLASS/…/file`, below `train`, `validation` and `test`, or what else people call these, where its owner gives
parts; or `labels.csv`, as `trainers.data.label_tables` reads it. Folders that all files share say nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trainers.data import label_tables
from trainers.data.columns import LONGEST_CATEGORY
from trainers.data.faults import MOST_TOLD, Fault, FaultsError, short, some
from trainers.data.label_tables import LABEL, LABELS, Told
from trainers.data.source import PARTS
from trainers.data.targets import MOST_CLASSES
from trainers.data.zips import Member, Zip

PART_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}  # in any capitals, where every folder at the top is called so, each for another part


TABLES = ("interactions.csv", "users.csv", "items.csv")  # as `trainers.data.zipped_tables` reads them


@dataclass(frozen=True)
class Item:
    """A file to learn from.

    Attributes:
        zip: that holds it.
        member: its place there.
        label: its class, or the text of a structured task.
        part: `data` where there is one part.
        told: its row of the table of labels, where there is one.
    """

    zip: Zip
    member: Member
    label: str
    part: str
    told: Told | None = None


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
        cure = "put files of one class into one folder, or say task: structured where a label is a text of its own"
        faults.append(f"{len(names)} classes are too many: {cure}")
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


def refuse_alike(found: list[Item]) -> None:
    """Refuses labels of a structured task that are one and the same.

    Raises:
        FaultsError: nothing can be learned from them.
    """
    if len({item.label for item in found}) == 1:
        detail = f"every file has the label {short(found[0].label)!r}: there is nothing to learn"
        raise FaultsError(Fault(file=_files({item.zip.file: item.zip for item in found}), detail=detail))


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
        return [Item(archive, *each) for each in zip(members, labels, parts, strict=True)]
    told = label_tables.read(archive, table, members, encoding)
    if None in told:
        notes.append(f"{told.count(None)} files are not in {LABELS} and are left out")
    items = [
        Item(archive, member, each.cells[LABEL], its_part, each)
        for member, each, its_part in zip(members, told, parts, strict=True)
        if each is not None
    ]
    if others := [name for item in items[:1] if item.told is not None for name in item.told.cells if name != LABEL]:
        notes.append(f"{LABELS} also has {some(others)}: a study may split by it (evaluation: group or time)")
    return items


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


def _by_folder(archive: Zip, members: list[Member], depth: int) -> list[str]:
    loose = [each for each in members if len(each.path) < depth + 2]
    if loose:
        cure = f"is in no folder of a class: move it into a folder named by its class, or give {LABELS} with file,label"
        if loose[0].path[-1].casefold() in TABLES:
            cure = "is a table: say user and item, its columns of who and what, for a zip of interactions"
        raise FaultsError(*(archive.fault(each, cure) for each in loose[:MOST_TOLD]))
    return [each.path[depth] for each in members]
