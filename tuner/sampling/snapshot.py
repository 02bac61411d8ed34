"""A study's history, and one trial before it, as a storage in memory: what Optuna's algorithms see of the database.

Owns the view that one ask or decision works on. The history is read when it is first looked at, and finished trials are
shared with other views; what is written stays here, for the caller to store.
"""

from __future__ import annotations

import copy
import json
from bisect import insort
from collections.abc import Callable, Container, Sequence
from typing import Any, NoReturn, TypeGuard

from optuna.distributions import BaseDistribution
from optuna.pruners import NopPruner
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from sqlalchemy import Connection
from typing_extensions import override

from tuner.sampling import finished, frozen, pruners
from tuner.sampling.finished import Finished
from tuner.sampling.plan import Plan
from tuner.store import history
from tuner.store.history import Curves, HistoryRow

History = tuple[Finished, list[FrozenTrial]]

_NO_SAMPLER = RandomSampler()  # a Study must have one, also where nothing is sampled


class Snapshot(BaseStorage):
    """A storage with one study, in which at most one trial can be changed.

    Attributes:
        trial_attrs: system attributes that were set on the trial.
        study_attrs: system attributes that were set on the study.
    """

    def __init__(
        self,
        plan: Plan,
        trial: FrozenTrial | None,
        *,
        read_history: Callable[[], History],
        read_study_attrs: Callable[[], str],
    ) -> None:
        self._plan = plan
        self._trial = trial
        self._read_history = read_history
        self._read_study_attrs = read_study_attrs
        self._history: History | None = None
        self._stored_study_attrs: dict[str, Any] | None = None
        self.trial_attrs: dict[str, Any] = {}
        self.study_attrs: dict[str, Any] = {}

    @property
    def study_id(self) -> int:
        return self._plan.study_id

    # ---- the study ---------------------------------------------------------------------------------------------------

    @override
    def get_study_id_from_name(self, study_name: str) -> int:
        assert study_name == self._plan.name
        return self._plan.study_id

    @override
    def get_study_name_from_id(self, study_id: int) -> str:
        self._check(study_id)
        return self._plan.name

    @override
    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        self._check(study_id)
        return self._plan.directions

    @override
    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        self._check(study_id)
        return {}

    @override
    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        self._check(study_id)
        if self._stored_study_attrs is None:
            self._stored_study_attrs = json.loads(self._read_study_attrs())
        return self._stored_study_attrs | self.study_attrs

    @override
    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._check(study_id)
        self.study_attrs[key] = value

    def _check(self, study_id: int) -> None:
        if study_id != self._plan.study_id:
            raise KeyError(f"no study {study_id} in the snapshot of study {self._plan.study_id}")

    # ---- the trials --------------------------------------------------------------------------------------------------

    @override
    def get_trial(self, trial_id: int) -> FrozenTrial:
        """The trial itself as a copy, since Optuna's Trial writes into what it gets; the others as they are."""
        if self._is_own(self._trial, trial_id):
            own = copy.copy(self._trial)
            own.params = dict(own.params)
            own.distributions = dict(own.distributions)
            own.system_attrs = dict(own.system_attrs)
            return own
        for trial in self.get_all_trials(self._plan.study_id, deepcopy=False):
            if trial._trial_id == trial_id:  # noqa: SLF001
                return trial
        raise KeyError(f"no trial {trial_id} in study {self._plan.study_id}")

    @override
    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        return self.get_trial(trial_id).system_attrs

    @override
    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[OptunaState] | None = None,
    ) -> list[FrozenTrial]:
        """A new list of shared trials, by number."""
        self._check(study_id)
        if self._history is None:
            self._history = self._read_history()
        done, live = self._history
        wanted = None if states is None else frozenset(state for state in OptunaState if state in states)
        trials = done.in_states(wanted).copy()
        for trial in live if self._trial is None else (*live, self._trial):
            if wanted is None or trial.state in wanted:
                insort(trials, trial, key=_number)
        return copy.deepcopy(trials) if deepcopy else trials

    @override
    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        changed = self._own(trial_id)
        changed.params[param_name] = distribution.to_external_repr(param_value_internal)
        changed.distributions[param_name] = distribution
        self._trial = changed

    @override
    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        changed = self._own(trial_id)
        changed.system_attrs[key] = value
        self.trial_attrs[key] = value
        self._trial = changed

    def _own(self, trial_id: int) -> FrozenTrial:
        if not self._is_own(self._trial, trial_id):
            _refuse()
        return self.get_trial(trial_id)

    @staticmethod
    def _is_own(trial: FrozenTrial | None, trial_id: int) -> TypeGuard[FrozenTrial]:
        # FrozenTrial shows its id nowhere else
        return trial is not None and trial._trial_id == trial_id  # noqa: SLF001

    # ---- what no sampler or pruner does ------------------------------------------------------------------------------

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
    def get_all_studies(self) -> list[FrozenStudy]:
        _refuse()

    @override
    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        _refuse()

    @override
    def set_trial_state_values(
        self,
        trial_id: int,
        state: OptunaState,
        values: Sequence[float] | None = None,
    ) -> bool:
        _refuse()

    @override
    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        _refuse()

    @override
    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        _refuse()


class SnapshotStudy(Study):
    """The study of a snapshot; `stop` is a note for the caller, where Optuna stops its own loop."""

    def __init__(self, snapshot: Snapshot, sampler: BaseSampler = _NO_SAMPLER) -> None:
        # No pruner: for samplers Hyperband's brackets change nothing, and cost a new class for every parameter
        name = snapshot.get_study_name_from_id(snapshot.study_id)
        super().__init__(study_name=name, storage=snapshot, sampler=sampler, pruner=NopPruner())
        self.exhausted = False

    @override
    def stop(self) -> None:
        self.exhausted = True


def of(connection: Connection, plan: Plan, row: HistoryRow | None = None) -> Snapshot:
    """A study's history as the sampler or pruner of one trial sees it; that trial is running, whatever it was.

    Args:
        connection: of the transaction that asks; the history is read through it.
        plan: the study's.
        row: the trial; None for a look back at the study.
    """
    trial = None
    if row is not None:
        trial = frozen.trial(row)
        trial.state = OptunaState.RUNNING
    curves: Curves = "all" if pruners.reads_curves(plan.spec.pruner) else "last"
    return Snapshot(
        plan,
        trial,
        read_history=lambda: finished.read(connection, plan.key, curves, but=None if row is None else row.id),
        read_study_attrs=lambda: history.study_attrs(connection, plan.study_id),
    )


def _number(trial: FrozenTrial) -> int:
    return trial.number


def _refuse() -> NoReturn:
    raise TypeError("a snapshot takes parameters and system attributes of its one trial, and nothing else")
