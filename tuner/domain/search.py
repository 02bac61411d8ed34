"""Samplers and pruners as a study names them, each with its options, ranges and defaults.

Owns the words; `tuner.sampling` builds Optuna's objects from them. Options carry Optuna's own names and meanings.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictInt, model_validator

Seed = Annotated[StrictInt, Field(ge=0, le=2**32 - 1)]
Count = Annotated[StrictInt, Field(ge=0, le=100_000)]
Positive = Annotated[StrictInt, Field(ge=1, le=100_000)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Sampler(_Options):
    seed: Seed | None = Field(default=None, description="Drawn at submission where it is left out.")


class RandomSpec(_Sampler):
    name: Literal["random"] = "random"


class GridSpec(_Sampler):
    name: Literal["grid"]


class TpeSpec(_Sampler):
    name: Literal["tpe"] = "tpe"
    n_startup_trials: Count = 10
    n_ei_candidates: Positive = 24
    multivariate: bool | None = None
    group: bool = False
    constant_liar: bool = True

    @model_validator(mode="after")
    def _group_needs_multivariate(self) -> Self:
        if self.group and not self.multivariate:
            raise ValueError("group needs multivariate: true")
        return self


class GpSpec(_Sampler):
    name: Literal["gp"]
    n_startup_trials: Count = 10
    deterministic_objective: bool = False


class CmaEsSpec(_Sampler):
    name: Literal["cmaes"]
    n_startup_trials: Count = 1
    sigma0: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    popsize: Annotated[StrictInt, Field(ge=2, le=10_000)] | None = None
    consider_pruned_trials: bool = False
    use_separable_cma: bool = False
    with_margin: bool = False
    lr_adapt: bool = False

    @model_validator(mode="after")
    def _exclusive(self) -> Self:
        if self.use_separable_cma + self.with_margin + self.lr_adapt > 1:
            raise ValueError("use_separable_cma, with_margin and lr_adapt exclude each other: keep one")
        return self


class _Nsga(_Sampler):
    population_size: Annotated[StrictInt, Field(ge=2, le=10_000)] = 50
    mutation_prob: Probability | None = None
    crossover_prob: Probability = 0.9
    swapping_prob: Probability = 0.5


class Nsga2Spec(_Nsga):
    name: Literal["nsga2"]


class Nsga3Spec(_Nsga):
    name: Literal["nsga3"]
    dividing_parameter: Annotated[StrictInt, Field(ge=1, le=100)] = 3


class QmcSpec(_Sampler):
    name: Literal["qmc"]
    qmc_type: Literal["sobol", "halton"] = "sobol"
    scramble: bool = True


class BruteForceSpec(_Sampler):
    name: Literal["brute"]


SamplerSpec = Annotated[
    RandomSpec | GridSpec | TpeSpec | GpSpec | CmaEsSpec | Nsga2Spec | Nsga3Spec | QmcSpec | BruteForceSpec,
    Field(discriminator="name"),
]


class NonePrunerSpec(_Options):
    name: Literal["none"] = "none"


class _Warming(_Options):
    n_startup_trials: Count = 5
    n_warmup_steps: Count = 0
    interval_steps: Positive = 1
    n_min_trials: Positive = 1


class MedianSpec(_Warming):
    name: Literal["median"]


class PercentileSpec(_Warming):
    name: Literal["percentile"]
    percentile: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 25.0


class HalvingSpec(_Options):
    name: Literal["halving"]
    min_resource: Positive = 1
    reduction_factor: Annotated[StrictInt, Field(ge=2, le=1_000)] = 4
    min_early_stopping_rate: Count = 0
    bootstrap_count: Count = 0


class HyperbandSpec(_Options):
    name: Literal["hyperband"]
    min_resource: Positive = 1
    reduction_factor: Annotated[StrictInt, Field(ge=2, le=1_000)] = 3
    bootstrap_count: Count = 0


class ThresholdSpec(_Options):
    name: Literal["threshold"]
    lower: Finite | None = None
    upper: Finite | None = None
    n_warmup_steps: Count = 0
    interval_steps: Positive = 1

    @model_validator(mode="after")
    def _some_bound(self) -> Self:
        if self.lower is None and self.upper is None:
            raise ValueError("a threshold needs lower, upper or both")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"lower {self.lower:g} is above upper {self.upper:g}: exchange them")
        return self


class WilcoxonSpec(_Options):
    name: Literal["wilcoxon"]
    p_threshold: Probability = 0.1
    n_startup_steps: Count = 2


InnerPrunerSpec = Annotated[
    NonePrunerSpec | MedianSpec | PercentileSpec | HalvingSpec | HyperbandSpec | ThresholdSpec | WilcoxonSpec,
    Field(discriminator="name"),
]


class PatientSpec(_Options):
    name: Literal["patient"]
    patience: Count = 3
    min_delta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    wrapped: InnerPrunerSpec = Field(
        default_factory=NonePrunerSpec,
        description="Asked only after `patience` steps without improvement; none means that patience alone decides.",
    )


PrunerSpec = Annotated[
    NonePrunerSpec
    | MedianSpec
    | PercentileSpec
    | HalvingSpec
    | HyperbandSpec
    | ThresholdSpec
    | PatientSpec
    | WilcoxonSpec,
    Field(discriminator="name"),
]
