"""Optuna's storage over our tables: any Optuna tool reads the rows that REST reads, and scripts may keep studies here.

Owns the interface `BaseStorage`. A study made through it has no spec and no worker; one with a spec, we alone change.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Container, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.storages._base import DEFAULT_STUDY_NAME_PREFIX
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from sqlalchemy import Connection, Engine
from typing_extensions import override

from tuner.domain.errors import NameTakenError, NotFoundError
from tuner.sampling import distributions, frozen
from tuner.store import database, history, studies, trials
from tuner.store.history import HistoryRow
from tuner.store.studies import StudyRow

R = TypeVar("R")


class TunerStorage(BaseStorage):
    """Made from a database's URL or an engine; a pickle of it holds the URL, password included.

    Made from a connection, its calls are parts of that connection's transaction.
    """

    def __init__(self, where: Engine | Connection | str) -> None:
        self.engine: Engine | Connection = database.connect(where) if isinstance(where, str) else where

    def __getstate__(self) -> dict[str, str]:
        return {"url": self.engine.engine.url.render_as_string(hide_password=False)}

    def __setstate__(self, state: dict[str, str]) -> None:
        self.engine = database.connect(state["url"])

    # ---- studies -----------------------------------------------------------------------------------------------------

    @override
    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        name = f"{DEFAULT_STUDY_NAME_PREFIX}{uuid.uuid4()}" if study_name is None else study_name
        if "\0" in name:
            raise ValueError("a study's name cannot hold the character NUL: choose another")
        values = {"name": name, "directions": [each.name.lower() for each in directions], "state": "running"}
        try:
            with database.transaction(self.engine) as connection:
                return studies.create(connection, values)
        except NameTakenError as error:
            raise DuplicatedStudyError(error.detail) from None

    @override
    def delete_study(self, study_id: int) -> None:
        with database.transaction(self.engine) as connection:
            studies.remove(connection, _locked(connection, study_id))

    @override
    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        with database.transaction(self.engine) as connection:
            history.change_study_user_attrs(connection, study_id, lambda attrs: attrs.update({key: value}))

    @override
    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        with database.transaction(self.engine) as connection:
            history.change_study_attrs(connection, study_id, lambda attrs: attrs.update({key: value}))

    @override
    def get_study_id_from_name(self, study_name: str) -> int:
        with database.transaction(self.engine) as connection:
            row = None if "\0" in study_name else studies.by_name(connection, study_name)
        if row is None:
            raise KeyError(f"there is no study {study_name!r}")
        return int(row.id)

    @override
    def get_study_name_from_id(self, study_id: int) -> str:
        return str(self._study(study_id).name)

    @override
    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return frozen.directions(self._study(study_id).directions)

    @override
    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        attrs: dict[str, Any] = json.loads(self._study(study_id).user_attrs)
        return attrs

    @override
    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        attrs: dict[str, Any] = json.loads(self._study(study_id).system_attrs)
        return attrs

    @override
    def get_all_studies(self) -> list[FrozenStudy]:
        with database.transaction(self.engine) as connection:
            return [frozen.study(row) for row in history.all_studies(connection)]

    def _study(self, study_id: int) -> StudyRow:
        with database.transaction(self.engine) as connection:
            return _found(history.study(connection, study_id), "study", study_id)

    # ---- trials ------------------------------------------------------------------------------------------------------

    @override
    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        with database.transaction(self.engine) as connection:
            study = _locked(connection, study_id)
            if template_trial is None:
                values = {"state": "running", "started_at": datetime.now(UTC)}
                return history.insert_trial(connection, study_id, study.n_created, values)
            return _insert(connection, study, template_trial)

    @override
    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        with database.transaction(self.engine) as connection:
            row = self._unfinished(connection, trial_id)
            for text in history.distributions_naming(connection, row.study_id, param_name):
                known = distributions.from_text(text).get(param_name)
                if known is not None:
                    check_distribution_compatibility(known, distribution)
            params = json.loads(row.params) | {param_name: distribution.to_external_repr(param_value_internal)}
            named = json.loads(row.distributions) | {param_name: distributions.to_json(distribution)}
            history.set_trial(connection, trial_id, params=json.dumps(params), distributions=json.dumps(named))

    @override
    def set_trial_state_values(self, trial_id: int, state: OptunaState, values: Sequence[float] | None = None) -> bool:
        with database.transaction(self.engine) as connection:
            study_id = _found(history.trial(connection, trial_id), "trial", trial_id).study_id
            _locked(connection, study_id)
            row = self._unfinished(connection, trial_id)
            if state is OptunaState.RUNNING and row.state != "waiting":
                return False
            if state.is_finished():
                _finish(connection, row, state, row.objective_values if values is None else values)
                return True
            changes: dict[str, Any] = {"state": frozen.from_optuna(state)}
            if values is not None:
                changes["objective_values"] = list(values)
            if state is OptunaState.RUNNING:
                changes["started_at"] = datetime.now(UTC)
            history.set_trial(connection, trial_id, **changes)
            return True

    @override
    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        with database.transaction(self.engine) as connection:
            self._unfinished(connection, trial_id)
            history.put_report(connection, trial_id, step, intermediate_value)

    @override
    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        with database.transaction(self.engine) as connection:
            row = self._unfinished(connection, trial_id)
            history.set_trial(connection, trial_id, user_attrs=json.dumps(json.loads(row.user_attrs) | {key: value}))

    @override
    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        with database.transaction(self.engine) as connection:
            self._unfinished(connection, trial_id)
            history.change_trial_attrs(connection, trial_id, {key: value})

    @override
    def get_trial(self, trial_id: int) -> FrozenTrial:
        with database.transaction(self.engine) as connection:
            return frozen.trial(_found(history.trial(connection, trial_id, curves="all"), "trial", trial_id))

    @override
    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[OptunaState] | None = None
    ) -> list[FrozenTrial]:
        """Trials read anew with each call, which is as good as a deep copy."""
        with database.transaction(self.engine) as connection:
            _found(history.study(connection, study_id), "study", study_id)
            found = [frozen.trial(row) for row in history.all_trials(connection, study_id)]
        return found if states is None else [trial for trial in found if trial.state in states]

    def _unfinished(self, connection: Connection, trial_id: int) -> HistoryRow:
        """The trial, locked until the transaction ends."""
        row = _found(history.lock_trial(connection, trial_id), "trial", trial_id)
        self.check_trial_is_updatable(trial_id, frozen.to_optuna(row.state))
        return row


def _found(row: R | None, kind: str, row_id: int) -> R:
    if row is None:
        raise KeyError(f"there is no {kind} {row_id}")
    return row


def _locked(connection: Connection, study_id: int) -> StudyRow:
    """A study made through Optuna, locked."""
    try:
        study = studies.lock(connection, study_id)
    except NotFoundError as error:
        raise KeyError(error.detail) from None
    if study.spec is not None:
        raise RuntimeError(f"study {study_id} is run by the tuning service: change it over REST or with `tuner`")
    return study


def _insert(connection: Connection, study: StudyRow, template: FrozenTrial) -> int:
    named = {name: distributions.to_json(each) for name, each in template.distributions.items()}
    started_at = frozen.aware(template.datetime_start)
    values: dict[str, Any] = {
        "params": json.dumps(template.params),
        "distributions": json.dumps(named),
        "user_attrs": json.dumps(template.user_attrs),
        "system_attrs": json.dumps(template.system_attrs),
        "objective_values": template.values,
        "started_at": started_at,
    }
    if not template.state.is_finished():
        values["state"] = frozen.from_optuna(template.state)
    trial_id = history.insert_trial(connection, study.id, study.n_created, values)
    for step, value in template.intermediate_values.items():
        history.put_report(connection, trial_id, step, value)
    if template.state.is_finished():
        row = _found(history.trial(connection, trial_id), "trial", trial_id)
        _finish(connection, row, template.state, template.values, frozen.aware(template.datetime_complete))
    return trial_id


def _finish(
    connection: Connection,
    row: HistoryRow,
    state: OptunaState,
    values: Sequence[float] | None,
    finished_at: datetime | None = None,
) -> None:
    """Ends a trial; one without a time of its end ended now."""
    trials.finish(
        connection,
        study_id=row.study_id,
        trial_id=row.id,
        state=frozen.from_optuna(state),
        was_live=False,
        end_reason=None,
        objective_values=values,
        finished_at=finished_at or datetime.now(UTC),
    )
