"""How a study's final fit is shown: its row in, a REST body out; reads only."""

from __future__ import annotations

import json

from sqlalchemy import Connection

from tuner.finals import BASELINE, TEST
from tuner.store import finals
from tuner.wire import FinalOut, Score


def final(connection: Connection, study_id: int) -> FinalOut | None:
    """The study's newest; None: it has none."""
    row = finals.last(connection, study_id)
    if row is None:
        return None
    found = None if row.metrics is None else json.loads(row.metrics)
    return FinalOut(
        number=row.number,
        state=row.state,
        trial=row.trial_number,
        epochs=row.epochs,
        metrics=None if found is None else _scores(found),
        baseline=None if found is None else _below(found, BASELINE),
        model=row.model_name,
        model_version=row.model_version,
        model_uri=None if row.model_name is None else f"models:/{row.model_name}@champion",
        reason=row.error,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


def _scores(metrics: dict[str, float]) -> dict[str, Score]:
    """Those that have an interval."""
    test = _below(metrics, TEST)
    return {
        name: Score(value=value, low=test[f"{name}_low"], high=test[f"{name}_high"])
        for name, value in test.items()
        if {f"{name}_low", f"{name}_high"} <= test.keys()
    }


def _below(metrics: dict[str, float], prefix: str) -> dict[str, float]:
    return {name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)}
