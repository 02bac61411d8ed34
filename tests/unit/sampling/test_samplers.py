"""Every sampler is built with its options, and its seed follows from the study's seed and the trial's number."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from pydantic import TypeAdapter

from tuner.domain.search import PrunerSpec, SamplerSpec
from tuner.domain.space import SearchSpace
from tuner.sampling import pruners, samplers
from tuner.sampling.distributions import MAX_CELLS, Space

SAMPLER: TypeAdapter[SamplerSpec] = TypeAdapter(SamplerSpec)
PRUNER: TypeAdapter[PrunerSpec] = TypeAdapter(PrunerSpec)
SPACE: TypeAdapter[SearchSpace] = TypeAdapter(SearchSpace)


def _space(**parameters: Any) -> Space:
    return Space(SPACE.validate_python(parameters))


SMALL = {"x": {"type": "float", "low": 0, "high": 1, "step": 0.5}, "c": {"type": "categorical", "choices": ["a", "b"]}}


def _build(name: str, trial_number: int = 0, **options: Any) -> optuna.samplers.BaseSampler:
    spec = SAMPLER.validate_python({"name": name, **options})
    return samplers.build(spec, study_seed=7, trial_number=trial_number, space=_space(**SMALL))


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("tpe", {"n_startup_trials": 3, "n_ei_candidates": 9}, {"_n_startup_trials": 3, "_n_ei_candidates": 9}),
        ("tpe", {"multivariate": True, "group": True}, {"_multivariate": True, "_group": True}),
        ("tpe", {"constant_liar": False}, {"_constant_liar": False}),
        (
            "gp",
            {"deterministic_objective": True, "n_startup_trials": 4},
            {"_deterministic": True, "_n_startup_trials": 4},
        ),
        ("cmaes", {"sigma0": 0.2, "popsize": 9}, {"_sigma0": 0.2, "_popsize": 9, "_n_startup_trials": 1}),
        (
            "cmaes",
            {"with_margin": True, "consider_pruned_trials": True},
            {"_with_margin": True, "_consider_pruned_trials": True},
        ),
        ("cmaes", {"use_separable_cma": True}, {"_use_separable_cma": True}),
        ("cmaes", {"lr_adapt": True}, {"_lr_adapt": True}),
        ("nsga2", {"population_size": 6}, {"_population_size": 6}),
        ("nsga3", {"population_size": 8, "dividing_parameter": 2}, {"_population_size": 8}),
        ("qmc", {"qmc_type": "halton", "scramble": False}, {"_qmc_type": "halton", "_scramble": False, "_seed": 7}),
    ],
)
def test_options_reach_optunas_sampler(name: str, options: dict[str, Any], expected: dict[str, Any]) -> None:
    built = _build(name, **options)

    assert {key: getattr(built, key) for key in expected} == expected


def test_genetic_options_reach_the_crossover() -> None:
    built: Any = _build("nsga2", mutation_prob=0.25, crossover_prob=0.75, swapping_prob=0.125)

    strategy = built._child_generation_strategy
    assert (strategy._mutation_prob, strategy._crossover_prob, strategy._swapping_prob) == (0.25, 0.75, 0.125)


def test_seeds_differ_for_every_trial_of_the_largest_study() -> None:
    seeds = {samplers.trial_seed(7, number) for number in range(100_000)}

    assert len(seeds) == 100_000
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_seeds_are_the_same_on_every_machine() -> None:
    assert [samplers.trial_seed(7, number) for number in (0, 1, 99)] == [2030201243, 389669708, 2826336526]
    assert samplers.trial_seed(8, 0) != samplers.trial_seed(7, 0)


def test_the_grid_has_every_point_that_exists_once() -> None:
    space = _space(
        optimizer={"type": "categorical", "choices": ["sgd", "adam"]},
        momentum={"type": "float", "low": 0.1, "high": 0.35, "step": 0.1, "when": {"optimizer": ["sgd"]}},
        depth={"type": "int", "low": 1, "high": 4, "step": 2},
    )

    points = [tuple(sorted(cell.items())) for cell in space.cells]

    assert len(points) == len(set(points)) == 2 * (3 + 1)
    assert {dict(point).get("momentum") for point in points} == {None, 0.1, 0.2, 0.3}


def test_a_grid_that_has_no_end_is_refused() -> None:
    with pytest.raises(ValueError, match=r"x: .*`step`"):
        _ = _space(x={"type": "float", "low": 0, "high": 1}).cells
    with pytest.raises(ValueError, match=str(MAX_CELLS)):
        _ = _space(**{f"x{i}": {"type": "int", "low": 1, "high": 10} for i in range(6)}).cells


def test_a_range_that_is_no_multiple_of_its_step_ends_at_its_last_step() -> None:
    space = _space(
        x={"type": "float", "low": 0.1, "high": 0.39, "step": 0.1}, n={"type": "int", "low": 1, "high": 9, "step": 3}
    )

    assert space.as_json["x"]["attributes"]["high"] == 0.3
    assert space.as_json["n"]["attributes"]["high"] == 7


@pytest.mark.parametrize("qmc_type", ["sobol", "halton"])
def test_qmc_fills_the_space_evenly_whatever_the_order_of_its_trials(qmc_type: str) -> None:
    space = _space(x={"type": "float", "low": 0, "high": 1}, y={"type": "float", "low": 0, "high": 1})
    spec = SAMPLER.validate_python({"name": "qmc", "qmc_type": qmc_type})
    from scipy.stats import qmc  # noqa: PLC0415 - slow to import

    points = []
    study = optuna.create_study()
    for number in reversed(range(64)):
        sampler = samplers.build(spec, study_seed=3, trial_number=number, space=space)
        relative = sampler.infer_relative_search_space(study, study.trials)  # type: ignore[arg-type]
        point = sampler.sample_relative(study, study.trials, relative)  # type: ignore[arg-type]
        points.append((point["x"], point["y"]))

    chance = np.random.RandomState(0).random((64, 2))
    assert len(set(points)) == 64
    assert qmc.discrepancy(np.array(points)) < qmc.discrepancy(chance) / 4


def test_halving_and_hyperband_never_guess_their_resource() -> None:
    hyperband: Any = pruners.build(PRUNER.validate_python({"name": "hyperband"}), max_resource=27)
    halving: Any = pruners.build(PRUNER.validate_python({"name": "halving", "min_resource": 3}), max_resource=None)

    assert (hyperband._max_resource, halving._min_resource) == (27, 3)
    with pytest.raises(ValueError, match=r"fixed\.epochs"):
        pruners.build(PRUNER.validate_python({"name": "hyperband"}), max_resource=None)


def test_hyperband_with_fewer_epochs_than_its_least_resource_still_has_a_bracket() -> None:
    built: Any = pruners.build(PRUNER.validate_python({"name": "hyperband", "min_resource": 10}), max_resource=4)
    built._try_initialization(None)

    assert built._n_brackets == 1


@pytest.mark.parametrize("name", ["random", "tpe", "gp", "cmaes", "nsga2", "nsga3", "qmc"])
def test_these_samplers_do_nothing_with_a_finished_trial(name: str) -> None:
    """So `after_trial` does not build them; it would have to, were one to look at the study: there is none here."""
    trial = optuna.trial.create_trial(value=1.0, constraints={"0": -1.0})

    _build(name).after_trial(None, trial, trial.state, [1.0])  # type: ignore[arg-type]

    assert trial.system_attrs == {"constraints:0": -1.0}
