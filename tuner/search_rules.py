"""Whether a study's sampler, pruner, objectives, budget and points go together."""

from __future__ import annotations

import math

from tuner.domain.errors import FieldError, InvalidError
from tuner.domain.search import Nsga3Spec, PatientSpec
from tuner.domain.space import IntParameter
from tuner.domain.spec import StudySpec
from tuner.points import EXHAUSTIVE, check_points
from tuner.sampling.distributions import MAX_CELLS

MAX_REFERENCE_POINTS = 5_000  # of NSGA-III, which compares each trial with all of them
MAX_GP_VALUES = 100_000  # of an integer parameter, all of which gp holds in memory


def check_search(spec: StudySpec) -> None:
    """Whether sampler, pruner, objectives, budget and points go together."""
    check_points(spec, spec.enqueue or [], "/enqueue")
    errors: list[FieldError] = []
    several = len(spec.objectives or []) > 1
    if several and spec.pruner.name != "none":
        errors.append(FieldError("/pruner/name", "with several objectives nothing can be pruned: use none"))
    if several and spec.sampler.name == "cmaes":
        errors.append(FieldError("/sampler/name", "cmaes knows one objective: use nsga2, tpe or gp"))
    if several and spec.budget.target is not None:
        errors.append(FieldError("/budget/target", "with several objectives there is no one target: leave it out"))
    if several and spec.budget.no_improvement is not None:
        detail = "with several objectives there is no one best: leave it out"
        errors.append(FieldError("/budget/no_improvement", detail))
    epochs = spec.fixed.get("epochs")
    if spec.is_external and needs_last_step(spec) and (type(epochs) is not int or epochs < 1):
        detail = f"{spec.pruner.name} needs to know the last step: give fixed.epochs, a number from 1"
        errors.append(FieldError("/fixed/epochs", detail))
    if spec.budget.trials is not None and len(spec.enqueue or []) > spec.budget.trials:
        detail = f"{len(spec.enqueue or [])} points are more than budget.trials, {spec.budget.trials}: raise it"
        errors.append(FieldError("/enqueue", detail))
    errors += _size_errors(spec)
    errors += _grid_errors(spec) if spec.sampler.name in EXHAUSTIVE else []
    if errors:
        raise InvalidError(errors)


def needs_last_step(spec: StudySpec) -> bool:
    """Whether the pruner, or the one that it wraps, shares out a known number of steps."""
    inner = spec.pruner.wrapped if isinstance(spec.pruner, PatientSpec) else spec.pruner
    return inner.name in {"halving", "hyperband"}


def _size_errors(spec: StudySpec) -> list[FieldError]:
    """Options with which a sampler would need more memory than there is."""
    errors: list[FieldError] = []
    if isinstance(spec.sampler, Nsga3Spec):
        several, parts = len(spec.objectives or []), spec.sampler.dividing_parameter
        points = math.comb(several + parts - 1, parts)
        if points > MAX_REFERENCE_POINTS:
            detail = f"that makes {points} reference points for {several} objectives: choose a smaller one"
            errors.append(FieldError("/sampler/dividing_parameter", detail))
    if spec.sampler.name == "gp":
        detail = f"gp looks at each of at most {MAX_GP_VALUES} integers: give it a step, or make it a float"
        errors += [
            FieldError(f"/search_space/{name}", detail)
            for name, parameter in (spec.search_space or {}).items()
            if isinstance(parameter, IntParameter) and parameter.n_cells() > MAX_GP_VALUES
        ]
    return errors


def _grid_errors(spec: StudySpec) -> list[FieldError]:
    errors: list[FieldError] = []
    cells = 1
    for name, parameter in (spec.search_space or {}).items():
        count = parameter.n_cells()
        if count is None or getattr(parameter, "log", False):
            detail = f"{spec.sampler.name} needs finitely many values of {name}: give it step or choices"
            errors.append(FieldError(f"/search_space/{name}", detail))
        else:
            cells *= count
    if cells > MAX_CELLS:
        errors.append(FieldError("/search_space", f"{cells} cells are more than {MAX_CELLS}: make the steps larger"))
    return errors
