"""What is wrong with a data set, told so that its owner can mend it, and in no more words than that takes; stdlib only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice

MOST_TOLD = 20  # faults of one file; a file with more has one cause
LONGEST_TOLD = 80  # characters of a cell or a name


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault.

    Attributes:
        file: the file's name.
        row: its line, as an editor counts it: the header is row 1; None where the fault is of no one row.
        column: its name; None where the fault is of no one column.
        detail: what is wrong, and the cure.
    """

    file: str
    detail: str
    row: int | None = None
    column: str | None = None


class FaultsError(ValueError):
    """A data set that cannot be used as it is.

    Attributes:
        faults: at least one.
    """

    def __init__(self, *faults: Fault) -> None:
        self.faults: Sequence[Fault] = faults[:MOST_TOLD]
        super().__init__("; ".join(told(fault) for fault in self.faults))


def short(text: str) -> str:
    """A cell or a name as it is told: no longer than a line."""
    return text if len(text) <= LONGEST_TOLD else f"{text[: LONGEST_TOLD - 1]}…"


def some(names: Collection[str]) -> str:
    """Names as they are told: the first ones, and how many more there are."""
    first = ", ".join(short(name) for name in islice(names, MOST_TOLD))
    return first if len(names) <= MOST_TOLD else f"{first} and {len(names) - MOST_TOLD} more"


def told(fault: Fault) -> str:
    """A fault as one line."""
    row = "" if fault.row is None else f", row {fault.row}"
    column = "" if fault.column is None else f", column {short(fault.column)!r}"
    return f"{fault.file}{row}{column}: {fault.detail}"
