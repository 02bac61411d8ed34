"""Our studies as the Optuna dashboard shows them: Optuna's view, and what our rows tell beyond it.

Owns the read path of the dashboard. States, reasons, workers and metrics appear as user attributes that nobody stored.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.study._constrained_optimization import _get_feasible_trials
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from sqlalchemy import Engine, Row
from typing_extensions import override

from tuner.sampling import frozen
from tuner.sampling.storage import TunerStorage
from tuner.store import database, history

MAX_STUDIES = 16  # those whose finished trials are kept between two polls of the page
NOTES = "dashboard:"  # how every attribute of the dashboard's notes begins


@dataclass(frozen=True)
class _Seen:
    seq: int
    finished: dict[int, FrozenTrial]  # by number


class BoardStorage(TunerStorage):
    """Reads everything and writes notes alone."""

    def __init__(self, engine_or_url: Engine | str) -> None:
        super().__init__(engine_or_url)
        self._seen: OrderedDict[int, _Seen] = OrderedDict()
        self._lock = threading.Lock()

    @override
    def get_all_studies(self) -> list[FrozenStudy]:
        with database.transaction(self.engine) as connection:
            return [_study(row) for row in history.all_studies(connection)]

    @override
    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[OptunaState] | None = None
    ) -> list[FrozenTrial]:
        """By number. Finished trials are shared between calls, since the dashboard changes none."""
        with self._lock:
            seen = self._seen.get(study_id, _Seen(0, {}))
        with database.transaction(self.engine) as connection:
            study = history.study(connection, study_id)
            if study is None:
                raise KeyError(f"there is no study {study_id}")
            rows = history.finished_since(connection, study_id, seen.seq, "live")
            results = {row.id: row for row in history.results(connection, study_id, seen.seq)}
        fresh = {row.number: _trial(row, results.get(row.id), ours=study.spec is not None) for row in rows}
        done = {number: trial for number, trial in fresh.items() if trial.state.is_finished()}
        seq = max((row.finish_seq for row in rows if row.finish_seq is not None), default=seen.seq)
        self._keep(study_id, _Seen(seq, seen.finished | done))
        by_number = seen.finished | fresh
        trials = [by_number[number] for number in sorted(by_number)]
        return trials if states is None else [trial for trial in trials if trial.state in states]

    def _keep(self, study_id: int, seen: _Seen) -> None:
        with self._lock:
            kept = self._seen.get(study_id)
            if kept is None or kept.seq <= seen.seq:
                self._seen[study_id] = seen
            self._seen.move_to_end(study_id)
            while len(self._seen) > MAX_STUDIES:
                self._seen.popitem(last=False)

    @override
    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """The best that keeps the constraints; the best of all while none does."""
        complete = self.get_all_trials(study_id, deepcopy=False, states=(OptunaState.COMPLETE,))
        (direction,) = self.get_study_directions(study_id)
        choose = max if direction is StudyDirection.MAXIMIZE else min
        return choose(_get_feasible_trials(complete) or complete, key=lambda trial: float(trial.values[0]))

    def has_trial(self, study_id: int, trial_id: int) -> bool:
        with database.transaction(self.engine) as connection:
            row = history.trial(connection, trial_id)
        return row is not None and row.study_id == study_id

    # ---- writing -----------------------------------------------------------------------------------------------------

    @override
    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        if not key.startswith(NOTES):
            _refuse()
        super().set_study_system_attr(study_id, key, value)

    @override
    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        _refuse()

    @override
    def delete_study(self, study_id: int) -> None:
        _refuse()

    @override
    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        _refuse()

    @override
    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        _refuse()

    @override
    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        _refuse()

    @override
    def set_trial_state_values(self, trial_id: int, state: OptunaState, values: Sequence[float] | None = None) -> bool:
        _refuse()

    @override
    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        _refuse()

    @override
    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        _refuse()

    @override
    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        _refuse()


def _refuse() -> NoReturn:
    raise PermissionError("the dashboard writes notes and nothing else")


def _study(row: Row[Any]) -> FrozenStudy:
    study = frozen.study(row)
    if row.spec is None:
        return study
    if row.ended_at is not None or row.paused_at is not None:
        study.study_name = (
            f"{row.name} ({row.state})"  # the list of studies shows their names and nothing of their state
        )
    told = {"state": row.state, "end reason": row.end_reason, "trainer": row.trainer}
    study.user_attrs = {key: value for key, value in told.items() if value is not None} | study.user_attrs
    return study


def _trial(row: history.HistoryRow, result: Row[Any] | None, *, ours: bool) -> FrozenTrial:
    trial = frozen.trial(row)
    if not ours or result is None:
        return trial
    told = {
        "mlflow": f"/api/v1/studies/{row.study_id}/trials/{row.number}/mlflow",
        "state": result.state,
        "end reason": result.end_reason,
        "worker": result.worker_id,
        "best epoch": result.best_step,
        **json.loads(result.metrics or "{}"),
    }
    trial.user_attrs = {key: value for key, value in told.items() if value is not None} | trial.user_attrs
    return trial
