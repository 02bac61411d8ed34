"""Draws the figures that are due and puts them beside the run's other artifacts.

Owns which trials' figures are drawn when: those asked for, the ten best of studies just published, the others at leisure.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Collection
from typing import Any

import structlog
from sqlalchemy import Connection, Engine

from tuner.store import publishing
from tuner.store.database import transaction
from tuner.tracking import artifacts
from tuner.tracking.trials import CURVES, Target, uploaded

log = structlog.get_logger()


def request(connection: Connection, trial_id: int) -> None:
    """Puts a trial's figures to the front of the queue; the maintenance process draws them with its next pass."""
    publishing.want_figures(connection, trial_id)


def draw_due(engine: Engine, target: Target, *, best_of: Collection[int], limit: int, at_leisure: bool) -> int:
    """Draws the figures of up to `limit` trials; returns of how many.

    Args:
        engine: to our tables.
        target: MLflow and the uploads.
        best_of: studies whose ten best trials are wanted.
        limit: of trials.
        at_leisure: nothing else waits, so any trial will do.

    Raises:
        MlflowDownError: MLflow does not answer.
    """
    with transaction(engine) as connection:
        due = publishing.figures_due(connection, best_of=best_of, limit=limit, others=at_leisure)
    for trial in due:
        try:
            _draw(target, trial)
        except (OSError, ValueError, KeyError, TypeError) as error:  # numbers that nothing can be drawn from
            log.warning("no figures", study=trial.study_id, trial=trial.number, error=repr(error))
        with transaction(engine) as connection:
            publishing.mark_figures(connection, trial.id)
    return len(due)


def _draw(target: Target, trial: Any) -> None:
    curves = json.loads(uploaded(target.store, trial.attempt_id, CURVES).read_bytes())
    figures = importlib.import_module("tuner.tracking.figures")  # matplotlib: not before there is something to draw
    for name, png in figures.draw(curves).items():
        target.artifacts.put_bytes(artifacts.of_run(trial.experiment_id, trial.run_id, f"figures/{name}"), png)
