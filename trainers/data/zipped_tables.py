"""A zip of `interactions.csv` with `users.csv` and `items.csv`: one table of interactions, with what the others tell of each.

Owns the names of these files, and how they are joined on the columns of users and items. Zips are judged as those of images are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from trainers.data import columns, tables, zips
from trainers.data.faults import MOST_TOLD, Fault, FaultsError, short, some
from trainers.data.info import ITEM, USER
from trainers.data.source import SOURCE, Source
from trainers.data.tables import Cells, Table

INTERACTIONS = "interactions"
FILES = {
    INTERACTIONS: INTERACTIONS,
    "users": USER,
    "items": ITEM,
}  # by the name without its extension, what they are of
EXTENSIONS = (".csv", ".tsv")


def read(paths: Mapping[str, Path], source: Source, notes: list[str]) -> tuple[Table, Source, dict[str, Table]]:
    """Reads the tables of a zip.

    Args:
        paths: by part; there may be one.
        source: what its owner says; features that are not named are all columns of the two tables.
        notes: what the owner should know is added here.

    Returns:
        The interactions with a column for each feature; what the owner says, with the features named; and the table of users,
        or of items, by role.

    Raises:
        FaultsError: there are other files, or tables that do not go together.
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
    for role, table in found.items():
        key = source.user if role == USER else source.item
        own = [name for name in table.columns if name != key and source.columns.get(name) != "ignore"]
        _refuse_unfit(joined, table, key, own)
        said[role] = said[role] or own
        wanted = [name for name in own if name in said[role]]
        if others := [name for name in own if name not in wanted]:
            notes.append(f"{_file(table)}: {some(others)}: ignored, as other features of the {role} are said")
        joined = _joined(joined, table, key, wanted, role, notes)
    return joined, replace(source, user_features=tuple(said[USER]), item_features=tuple(said[ITEM])), found


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
            found[what] = Table(file.columns, {"data": file})
    if not faults and INTERACTIONS not in found:
        faults.append(Fault(file=path.name, detail="there is no interactions.csv in it, of who had what: add it"))
    if faults:
        raise FaultsError(*faults)
    return found


def _file(table: Table) -> str:
    return next(iter(table.files.values())).name


def _refuse_unfit(joined: Table, table: Table, key: str, own: list[str]) -> None:
    """Refuses a table of users, or of items, that tells of nobody, of one twice, or by names that are taken."""
    for each in (joined, table):
        if key not in each.columns:
            detail = f"there is no such column, as {SOURCE} says: there are {some(each.columns)}"
            raise FaultsError(each.fault(detail, column=key))
    faults = [
        table.fault("another table has a column of this name: rename one, or say columns: ignore", column=name)
        for name in own
        if name in joined.columns
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
    taken = {
        name: Cells(given.given, given.values.reindex(pd.RangeIndex(len(known))).take(places).reset_index(drop=True))
        for name, given in ((name, table.columns[name]) for name in wanted)
    }
    for given in taken.values():
        given.values[places < 0] = None
    return Table({**joined.columns, **taken}, joined.files)
