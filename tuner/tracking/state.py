"""Whether MLflow shows everything of a study.

Owns the words `idle` and `behind`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection

from tuner.store import publishing


@dataclass(frozen=True)
class TrackingState:
    """What MLflow does not show yet.

    Attributes:
        reports: unpublished ones.
        trials: that ended, or run without a run.
        study: whether the study's own beginning or end is missing.
    """

    reports: int
    trials: int
    study: bool

    @property
    def word(self) -> Literal["idle", "behind"]:
        return "behind" if self.reports or self.trials or self.study else "idle"


def tracking_state(connection: Connection, study_id: int) -> TrackingState:
    row = publishing.unpublished(connection, study_id)
    return TrackingState(reports=row.reports, trials=row.trials, study=row.study)


def of_study(connection: Connection, study_id: int) -> Literal["idle", "behind"]:
    return tracking_state(connection, study_id).word
