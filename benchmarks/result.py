"""What a row of the table is: its sides, their times, and the ratios that are judged.

Owns medians, spreads and whether a target is met; knows nothing of how anything is measured.
"""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Side:
    """What was measured of one side, a value a round.

    Attributes:
        name: of the side.
        unit: of its values, for example `ms a trial`.
        values: in the order of the rounds.
    """

    name: str
    unit: str
    values: list[float]


@dataclass(frozen=True)
class Ratio:
    """Two sides of the same rounds, or one side against 1.0; the larger the better for us.

    Attributes:
        name: what is compared.
        values: a ratio a round.
        target: the least that we promise; None: shown and not judged.
    """

    name: str
    values: list[float]
    target: float | None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def is_met(self) -> bool | None:
        return None if self.target is None else self.median >= self.target


@dataclass
class Row:
    """One row of the table.

    Attributes:
        number: as in the budgets of speed.
        what: is measured.
        processes: how many run on which side.
        notes: for people: what was counted and what was not, and what else was seen.
    """

    number: int
    what: str
    processes: str
    sides: list[Side] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def compare(self, name: str, peer: Side, ours: Side, target: float | None) -> None:
        """Adds how many times as fast we are, round by round."""
        self.ratios.append(Ratio(name, [a / b for a, b in zip(peer.values, ours.values, strict=True)], target))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Row:
        sides = [Side(**each) for each in found.pop("sides")]
        ratios = [Ratio(**each) for each in found.pop("ratios")]
        return cls(**found, sides=sides, ratios=ratios)
