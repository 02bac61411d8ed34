"""Rows of `trials` as Optuna's FrozenTrial, and the states of both sides.

Owns the translation between our rows and Optuna's trials.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from sqlalchemy import Row

from tuner.domain.states import TrialState
from tuner.sampling import distributions
from tuner.store.history import HistoryRow

_TO_OPTUNA = {
    TrialState.WAITING: OptunaState.WAITING,
    TrialState.RUNNING: OptunaState.RUNNING,
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
    TrialState.CANCELLED: OptunaState.FAIL,
}
_FROM_OPTUNA = {
    OptunaState.WAITING: TrialState.WAITING,
    OptunaState.RUNNING: TrialState.RUNNING,
    OptunaState.COMPLETE: TrialState.COMPLETE,
    OptunaState.PRUNED: TrialState.PRUNED,
    OptunaState.FAIL: TrialState.FAILED,
}


def to_optuna(state: TrialState | str) -> OptunaState:
    return _TO_OPTUNA[TrialState(state)]


def from_optuna(state: OptunaState) -> TrialState:
    return _FROM_OPTUNA[state]


def directions(names: list[str]) -> list[StudyDirection]:
    return [StudyDirection[name.upper()] for name in names]


def local_naive(moment: datetime | None) -> datetime | None:
    """Optuna's datetimes carry no zone and mean the machine's local time."""
    return None if moment is None else moment.astimezone().replace(tzinfo=None)


def aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone()


def trial(row: HistoryRow) -> FrozenTrial:
    """The trial of a row, with the curve that was read along."""
    values: list[float] | None = row.objective_values
    state = to_optuna(row.state)
    return FrozenTrial(
        trial_id=row.id,
        number=row.number,
        state=state,
        value=None,
        # Optuna holds that a failed trial has none
        values=None if state is OptunaState.FAIL else values,
        datetime_start=local_naive(row.started_at),
        datetime_complete=local_naive(row.finished_at),
        params=json.loads(row.params),
        distributions=dict(distributions.from_text(row.distributions)),
        user_attrs=_attrs(row.user_attrs),
        system_attrs=_attrs(row.system_attrs),
        intermediate_values=dict(zip(row.steps or (), row.step_values or (), strict=True)),
    )


def for_samplers(row: HistoryRow) -> FrozenTrial:
    """The same, but a trial that waits to be run again with parameters it already has counts as running.

    It will be run with just these, so a sampler should keep off them; only one without parameters is still waiting.
    """
    frozen = trial(row)
    if frozen.state is OptunaState.WAITING and frozen.params:
        frozen.state = OptunaState.RUNNING
    return frozen


def _attrs(text: str) -> dict[str, Any]:
    attrs: dict[str, Any] = {} if text == "{}" else json.loads(text)
    return attrs


def study(row: Row[Any]) -> FrozenStudy:
    return FrozenStudy(
        study_name=row.name,
        direction=None,
        directions=directions(row.directions),
        user_attrs=_attrs(row.user_attrs),
        system_attrs=_attrs(row.system_attrs),
        study_id=row.id,
    )
