"""Studies and trials put straight into the tables, as claims and results do: insert, ask, finish."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, insert, update

from tuner.domain.ends import EndDetail
from tuner.domain.spec import StudySpec
from tuner.domain.states import TrialState
from tuner.sampling import after, ask, prune
from tuner.store import studies, trials
from tuner.store import tables as t
from tuner.store.database import transaction

UNIT = {"type": "float", "low": 0.0, "high": 1.0}
FIVE = {
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    "width": {"type": "int", "low": 16, "high": 512, "log": True},
    "dropout": {"type": "float", "low": 0.0, "high": 0.9},
    "batch_size": {"type": "categorical", "choices": [16, 32, 64, 128]},
    "optimizer": {"type": "categorical", "choices": ["sgd", "adam", "adamw"]},
}


def study(engine: Engine, space: Mapping[str, Any], sampler: Mapping[str, Any], **more: Any) -> int:
    spec = StudySpec.model_validate(
        {
            "name": more.pop("name", f"study {uuid.uuid4().hex[:8]}"),
            "trainer": "external",
            "objectives": [{"metric": "y", "direction": "minimize"}],
            "search_space": space,
            "sampler": sampler,
            "budget": {"trials": 100_000},
        }
        | more
    )
    assert spec.objectives is not None
    with transaction(engine) as connection:
        directions = [str(objective.direction) for objective in spec.objectives]
        row = {"name": spec.name, "spec": spec.model_dump_json(), "directions": directions, "state": "running"}
        return studies.create(connection, row)


def trial(connection: Connection, study_id: int, fixed: Mapping[str, Any] | None = None) -> int:
    """A waiting trial; the next number."""
    row = studies.lock(connection, study_id)
    attrs = None if fixed is None else {"fixed_params": fixed}
    trial_id = trials.create(connection, study_id, row.n_created, attrs)
    studies.change(connection, study_id, n_created=row.n_created + 1)
    return trial_id


def enqueue(engine: Engine, study_id: int, point: Mapping[str, Any]) -> int:
    with transaction(engine) as connection:
        return trial(connection, study_id, point)


def start(engine: Engine, study_id: int, trial_id: int | None = None) -> tuple[int, ask.Asked]:
    """Claims and asks, in two transactions."""
    if trial_id is None:
        with transaction(engine) as connection:
            trial_id = trial(connection, study_id)
    with transaction(engine) as connection:
        asked = ask.ask(connection, study_id, trial_id)
        written = {
            "params": json.dumps(asked.params),
            "distributions": json.dumps(asked.distributions),
            "system_attrs": json.dumps(asked.system_attrs),
            "state": "running",
            "started_at": datetime.now(UTC),
        }
        connection.execute(update(t.trials).where(t.trials.c.id == trial_id).values(**written))
    return trial_id, asked


def report(engine: Engine, study_id: int, trial_id: int, step: int, value: float) -> bool:
    """Stores a report; whether the trial should stop."""
    return explained(engine, study_id, trial_id, step, value) is not None


def explained(engine: Engine, study_id: int, trial_id: int, step: int, value: float) -> EndDetail | None:
    """Stores a report; why the trial should stop, if it should."""
    row = {"trial_id": trial_id, "fold": 0, "step": step, "pruner_step": step, "value": value}
    with transaction(engine) as connection:
        connection.execute(insert(t.reports).values(**row))
    with transaction(engine) as connection:
        return prune.decide(connection, study_id, trial_id)


def finish(
    engine: Engine,
    study_id: int,
    trial_id: int,
    values: Sequence[float] | None,
    *,
    state: TrialState = TrialState.COMPLETE,
    metrics: Mapping[str, float] | None = None,
) -> bool:
    """Ends a trial; whether the search space is exhausted."""
    with transaction(engine) as connection:
        studies.lock(connection, study_id)
        exhausted = after.after_trial(connection, study_id, trial_id, state, values, metrics)
        trials.finish(
            connection,
            study_id=study_id,
            trial_id=trial_id,
            state=state,
            was_live=False,
            end_reason=str(state),
            objective_values=values,
            metrics=metrics,
        )
    return exhausted
