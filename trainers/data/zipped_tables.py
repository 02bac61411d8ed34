"""A zip of `interactions.csv` with `users.csv` and `items.csv`: one table of interactions, with what the others tell of each.

Owns the names of these files, and how they are joined on the columns of users and items. Zips are judged as those of images are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from trainers.data import cells, columns, interactions, tables, zips
from trainers.data.faults import MOST_TOLD, Fault, FaultsError, short, some
from trainers.data.info import FEATURE, ITEM, USER, Column
from trainers.data.source import SOURCE, Source
from trainers.data.tables import Cells, Table

INTERACTIONS = "interactions"
FILES = {
    INTERACTIONS: INTERACTIONS,
    "users": USER,
    "items": ITEM,
}  # by the name without its extension, what they are of
EXTENSIONS = (".csv", ".tsv")
MOST_JOINED_BYTES = 2**31


def read(
    paths: Mapping[str, Path], source: Source, accepted: tuple[Column, ...] | None, notes: list[str]
) -> tuple[Table, Source, dict[str, Column]]:
    """Reads the tables of a zip.

    Args:
        paths: by part; there may be one.
        source: what its owner says; features that are not named are all columns of the two tables.
        accepted: the columns as they were accepted; None to find out.
        notes: what the owner should know is added here.

    Returns:
        The interactions with a column for each feature of use; what the owner says, with these features named; and by name
        what each column of the tables of users and items is, `ignore` where it stands beside no interaction.

    Raises:
        FaultsError: there are other files, or tables that do not go together, or that are too large beside each interaction.
    """
    if source.user is None or source.item is None:
        missing = "user" if source.user is None else "item"
        raise FaultsError(Fault(file=SOURCE, detail=f"say {missing}, the column of it in the tables of the zip"))
    if len(paths) > 1:
        detail = "give one zip: parts of interactions are told by split_column"
        raise FaultsError(Fault(file=", ".join(path.name for path in paths.values()), detail=detail))
    (path,) = paths.values()
    found = _tables(path, source)
    joined = found.pop(INTERACTIONS)
    said = {USER: source.user_features, ITEM: source.item_features}
    described: dict[str, Column] = {}
    taken = [*joined.columns]
    for role, table in found.items():
        key = source.user if role == USER else source.item
        own = [name for name in table.columns if name != key]
        kept = [name for name in own if source.columns.get(name) != "ignore"]
        _refuse_unfit(joined, table, key, [name for name in kept if name in taken])
        wanted = [name for name in kept if not said[role] or name in said[role]]
        if others := [name for name in kept if name not in wanted]:
            notes.append(f"{_file(table)}: {some(others)}: ignored, as other features of the {role} are said")
        known = _described(table, wanted, role, source, accepted, notes)
        said[role] = [name for name in said[role] or wanted if name in known or name not in own]
        joined = _joined(joined, table, key, [*known], role, notes)
        described = {name: Column(name, "ignore") for name in own} | described | known
        taken += wanted
    return joined, replace(source, user_features=tuple(said[USER]), item_features=tuple(said[ITEM])), described


def _described(
    table: Table,
    wanted: list[str],
    role: str,
    source: Source,
    accepted: tuple[Column, ...] | None,
    notes: list[str],
) -> dict[str, Column]:
    """What columns of a table of users, or of items, are that help: found out there, where a row is one of them."""
    if accepted is not None:
        return {column.name: column for column in accepted if column.name in wanted}
    found = [interactions.feature(table, name, FEATURE[role], source.columns, notes) for name in wanted]
    return {column.name: column for column in found if column.kind != "ignore"}


def _tables(path: Path, source: Source) -> dict[str, Table]:
    """The tables by what they are of."""
    found: dict[str, Table] = {}
    faults: list[Fault] = []
    with zips.opened(path, source.encoding) as archive:
        for member in archive.members:
            name, dot, extension = member.path[-1].casefold().rpartition(".")
            what = FILES.get(name) if dot + extension in EXTENSIONS else None
            if what is None or what in found:
                cure = "is not one of interactions.csv, users.csv, items.csv, each once: rename it, or leave it out"
                faults.append(archive.fault(member, cure))
                if len(faults) == MOST_TOLD:
                    break
                continue
            file = tables.read_text(member.path[-1], archive.read(member), source)
            found[what] = _composed(Table(file.columns, {"data": file}), source)
    if not faults and INTERACTIONS not in found:
        faults.append(Fault(file=path.name, detail="there is no interactions.csv in it, of who had what: add it"))
    if faults:
        raise FaultsError(*faults)
    return found


def _composed(table: Table, source: Source) -> Table:
    """The table with users and items who are the same however their accents are written."""
    keys = [name for name in table.columns if name in {source.user, source.item}]
    same = {name: Cells("text", cells.composed(table.columns[name].values)) for name in keys}
    return replace(table, columns={**table.columns, **same})


def _file(table: Table) -> str:
    return next(iter(table.files.values())).name


def _refuse_unfit(joined: Table, table: Table, key: str, twice: list[str]) -> None:
    """Refuses a table of users, or of items, that tells of nobody, of one twice, or by names that are taken."""
    for each in (joined, table):
        if key not in each.columns:
            detail = f"there is no such column, as {SOURCE} says: there are {some(each.columns)}"
            raise FaultsError(each.fault(detail, column=key))
    faults = [
        table.fault("another table has a column of this name: rename one, or say columns: ignore", column=name)
        for name in twice
    ]
    keys = columns.as_text(table.columns[key])
    for wrong, detail in (
        (keys.isna().to_numpy(), "nobody is named here: give a name, or leave the row out"),
        ((keys.duplicated() & keys.notna()).to_numpy(), "this one is in a row above, too: leave one out"),
    ):
        faults += table.row_faults(wrong, key, [detail] * table.rows)
    if faults:
        raise FaultsError(*faults)


def _joined(joined: Table, table: Table, key: str, wanted: list[str], role: str, notes: list[str]) -> Table:
    """The interactions with columns of a table, each in the row of its user or item."""
    whose, known = columns.as_text(joined.columns[key]), columns.as_text(table.columns[key])
    places = pd.Index(known).get_indexer(pd.Index(whose))
    unknown, unused = whose[places < 0].dropna().nunique(), len(known) - len({*places.tolist()} - {-1})
    if unknown:
        notes.append(f"{unknown} {role}s of interactions are not in {_file(table)}: no feature of them is known")
    if unused:
        notes.append(f"{unused} {role}s of {short(_file(table))} have no interaction: nothing is learned from them")
    if (size := _bytes(table, wanted, places)) > MOST_JOINED_BYTES:
        detail = f"beside each interaction its values take {size / 2**30:.1f} GiB, and {MOST_JOINED_BYTES // 2**30} are allowed: "
        raise FaultsError(table.fault(detail + "shorten them, or say columns: ignore of some"))
    taken = {
        name: Cells(given.given, given.values.reindex(pd.RangeIndex(len(known))).take(places).reset_index(drop=True))
        for name, given in ((name, table.columns[name]) for name in wanted)
    }
    for given in taken.values():
        given.values[places < 0] = None
    return Table({**joined.columns, **taken}, joined.files)


def _bytes(table: Table, wanted: list[str], places: np.ndarray) -> int:
    """What columns take when each of their rows stands in all its `places`."""
    times = np.bincount(places[places >= 0], minlength=table.rows)
    lengths = (table.columns[name].values.str.len().fillna(0).to_numpy(np.int64) for name in wanted)
    return 8 * len(wanted) * len(places) + sum(int(each @ times) for each in lengths)
