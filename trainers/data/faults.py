"""What is wrong with a data set, told so that its owner can mend it; stdlib only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST_TOLD = 20  # faults of one file; a file with more has one cause


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
        super().__init__("; ".join(_told(fault) for fault in faults))
        self.faults: Sequence[Fault] = faults[:MOST_TOLD]


def _told(fault: Fault) -> str:
    row = "" if fault.row is None else f", row {fault.row}"
    column = "" if fault.column is None else f", column {fault.column!r}"
    return f"{fault.file}{row}{column}: {fault.detail}"
