"""A sampler that visits every point of a finite search space once, in an order that follows from the study's seed.

Owns grid search. Optuna's own GridSampler knows no conditions, no partly fixed points and does not see points that were
enqueued; several workers make it visit points twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from typing_extensions import override

from tuner.domain.space import Scalar
from tuner.sampling.distributions import Space

CELL = "grid_id"  # the trial's system attribute that names its point


class GridSampler(BaseSampler):
    """Gives each trial the next free point; asks of one study must come one after the other.

    A point is taken once any trial, live or finished in whatever state, has exactly its parameters. A trial with fixed
    parameters takes what is fixed and draws the others at random.
    """

    def __init__(self, space: Space, *, study_seed: int, trial_seed: int) -> None:
        self._cells = space.cells
        self._order = np.random.RandomState(study_seed).permutation(len(self._cells))
        self._random = RandomSampler(seed=trial_seed)

    @override
    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        if trial.system_attrs.get("fixed_params"):
            return
        others = [t for t in _all_trials(study) if t.number != trial.number]
        free = self._free(others)
        cell = next(free, None)
        if cell is not None:
            study._storage.set_trial_system_attr(trial._trial_id, CELL, cell)  # noqa: SLF001 - as Optuna's samplers do
        if next(free, None) is None:
            study.stop()

    @override
    def infer_relative_search_space(
        self,
        study: Study,
        trial: FrozenTrial,
    ) -> dict[str, BaseDistribution]:
        return {}

    @override
    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        return {}

    @override
    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if CELL in trial.system_attrs:
            return self._cells[trial.system_attrs[CELL]][param_name]
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    @override
    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: OptunaState,
        values: Sequence[float] | None,
    ) -> None:
        done = [t for t in _all_trials(study) if t.state.is_finished() or t.number == trial.number]
        if next(self._free(done), None) is None:
            study.stop()

    def _free(self, trials: Sequence[FrozenTrial]) -> Iterator[int]:
        """The points that none of the trials has, in the study's order."""
        taken = {trial.system_attrs[CELL] for trial in trials if CELL in trial.system_attrs}
        enqueued = {_key(trial.params) for trial in trials if CELL not in trial.system_attrs and trial.params}
        for cell in self._order.tolist():
            if cell not in taken and not (enqueued and _key(self._cells[cell]) in enqueued):
                yield cell


def _key(params: Mapping[str, Scalar]) -> frozenset[tuple[str, Scalar]]:
    return frozenset(params.items())


def _all_trials(study: Study) -> list[FrozenTrial]:
    return study._storage.get_all_trials(study._study_id, deepcopy=False)  # noqa: SLF001
