"""Optuna's samplers, built for one trial from what a study names.

Owns the translation of `sampler` into Optuna's objects, and their seeds: two processes that ask for the same study never
draw the same numbers, and a study submitted again with its seed draws the same ones.
"""

from __future__ import annotations

import hashlib
from typing import Any

from optuna import samplers as os_
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial
from typing_extensions import override

from tuner.domain.search import (
    BruteForceSpec,
    CmaEsSpec,
    GpSpec,
    GridSpec,
    Nsga2Spec,
    Nsga3Spec,
    QmcSpec,
    RandomSpec,
    SamplerSpec,
    TpeSpec,
)
from tuner.sampling import quiet
from tuner.sampling.distributions import Space
from tuner.sampling.grid import GridSampler

ONE_BY_ONE = ("grid", "brute")  # must see the points of the asks before theirs
_ODD = 0x9E3779B1  # times an odd number is one to one modulo 2**32


def trial_seed(study_seed: int, trial_number: int) -> int:
    """A seed of 32 bits, another one for every number of a study, and unlike `hash()` the same everywhere."""
    start = int.from_bytes(hashlib.sha256(str(study_seed).encode()).digest()[:4], "big")
    return (start + trial_number * _ODD) % 2**32


def build(spec: SamplerSpec, *, study_seed: int, trial_number: int, space: Space) -> os_.BaseSampler:
    """The sampler for one trial.

    Raises:
        ValueError: grid or brute force over a parameter that has no `step` and no `choices`.
    """
    quiet.hush()
    seed = trial_seed(study_seed, trial_number)
    match spec:
        case RandomSpec():
            return os_.RandomSampler(seed=seed)
        case GridSpec():
            return GridSampler(space, study_seed=study_seed, trial_seed=seed)
        case BruteForceSpec():
            return os_.BruteForceSampler(seed=seed)
        case TpeSpec():
            return os_.TPESampler(
                n_startup_trials=spec.n_startup_trials,
                n_ei_candidates=spec.n_ei_candidates,
                multivariate=spec.multivariate,
                group=spec.group,
                constant_liar=spec.constant_liar,
                seed=seed,
            )
        case GpSpec():
            return os_.GPSampler(
                seed=seed,
                n_startup_trials=spec.n_startup_trials,
                deterministic_objective=spec.deterministic_objective,
                warn_independent_sampling=False,
            )
        case CmaEsSpec():
            return _cmaes(spec, study_seed, seed)
        case Nsga2Spec():
            return os_.NSGAIISampler(**_genetic(spec), seed=seed)
        case Nsga3Spec():
            return os_.NSGAIIISampler(**_genetic(spec), dividing_parameter=spec.dividing_parameter, seed=seed)
        case QmcSpec():
            return _NumberedQmcSampler(spec, space, study_seed=study_seed, seed=seed, sample_id=trial_number)


def _genetic(spec: Nsga2Spec | Nsga3Spec) -> dict[str, Any]:
    return {
        "population_size": spec.population_size,
        "mutation_prob": spec.mutation_prob,
        "crossover_prob": spec.crossover_prob,
        "swapping_prob": spec.swapping_prob,
    }


def _cmaes(spec: CmaEsSpec, study_seed: int, seed: int) -> os_.CmaEsSampler:
    """CMA-ES adds the trial's number to its own seed; what it leaves to chance needs the trial's."""
    return os_.CmaEsSampler(
        seed=study_seed,
        independent_sampler=os_.RandomSampler(seed=seed),
        n_startup_trials=spec.n_startup_trials,
        sigma0=spec.sigma0,
        popsize=spec.popsize,
        consider_pruned_trials=spec.consider_pruned_trials,
        use_separable_cma=spec.use_separable_cma,
        with_margin=spec.with_margin,
        lr_adapt=spec.lr_adapt,
        warn_independent_sampling=False,
    )


class _NumberedQmcSampler(os_.QMCSampler):
    """QMC whose place in the sequence is the trial's number, over the whole search space from the first trial on.

    Optuna counts places in an attribute of the study, which two asks at once read alike.
    """

    def __init__(self, spec: QmcSpec, space: Space, *, study_seed: int, seed: int, sample_id: int) -> None:
        super().__init__(
            qmc_type=spec.qmc_type,
            scramble=spec.scramble,
            seed=study_seed,
            independent_sampler=os_.RandomSampler(seed=seed),
            warn_independent_sampling=False,
        )
        self._known = {name: each for name, each in space.distributions.items() if not each.single()}
        self._sample_id = sample_id

    @override
    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._known

    @override
    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._independent_sampler.sample_independent(study, trial, param_name, param_distribution)

    @override
    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._sample_id
