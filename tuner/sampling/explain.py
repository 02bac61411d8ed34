"""Why a pruner ended a trial: the value that it judged, the threshold that this missed, and the rule in words.

Owns the words. What is compared is worked out by Optuna's own functions on the same trials, right after the decision; so
this is asked only once a trial is to be pruned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from optuna.pruners import HyperbandPruner, PercentilePruner, SuccessiveHalvingPruner
from optuna.pruners import _percentile as percentiles
from optuna.pruners import _successive_halving as halvings
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from tuner.domain.ends import EndDetail
from tuner.domain.search import (
    HalvingSpec,
    HyperbandSpec,
    InnerPrunerSpec,
    MedianSpec,
    PatientSpec,
    PercentileSpec,
    PrunerSpec,
    ThresholdSpec,
    WilcoxonSpec,
)
from tuner.sampling import pruners


def explain(
    spec: PrunerSpec | InnerPrunerSpec, study: Study, trial: FrozenTrial, max_resource: int | None
) -> EndDetail:
    """The facts of a pruning that was decided just now.

    Args:
        spec: the study's pruner.
        study: as the pruner saw it, with the rungs that it noted.
        trial: as the pruner saw it.
        max_resource: as for `pruners.build`.
    """
    step = trial.last_step
    assert step is not None, "only a trial that has reported is pruned"
    value = trial.intermediate_values[step]
    if math.isnan(value) and not isinstance(spec, MedianSpec | PercentileSpec | PatientSpec | WilcoxonSpec):
        return EndDetail(step=step, rule="NaN is never good enough")
    match spec:
        case MedianSpec() | PercentileSpec():
            told = _percentile(spec, study, trial, step, max_resource)
        case HalvingSpec() | HyperbandSpec():
            told = _halving(spec, study, trial, value, max_resource)
        case ThresholdSpec():
            told = _threshold(spec, value)
        case PatientSpec():
            told = _patient(spec, study, trial, max_resource)
        case WilcoxonSpec():
            told = _wilcoxon(spec, study, trial)
        case _:
            told = EndDetail(value=value)
    return told.model_copy(update={"step": step})


def _worse(study: Study) -> str:
    return "below" if study.direction == StudyDirection.MAXIMIZE else "above"


def _percentile(
    spec: MedianSpec | PercentileSpec, study: Study, trial: FrozenTrial, step: int, max_resource: int | None
) -> EndDetail:
    """The best value so far against a percentile of what complete trials had at this step."""
    pruner = pruners.build(spec, max_resource=max_resource)
    assert isinstance(pruner, PercentilePruner)
    best = percentiles._get_best_intermediate_result_over_steps(trial, study.direction)
    if math.isnan(best):
        return EndDetail(rule="every value so far is NaN")
    complete = study.get_trials(deepcopy=False, states=(OptunaState.COMPLETE,))
    threshold = percentiles._get_percentile_intermediate_result_over_trials(
        complete,
        study.direction,
        step,
        pruner._percentile,
        pruner._n_min_trials,
    )
    rivals = sum(step in rival.intermediate_values for rival in complete)
    what = "median" if isinstance(spec, MedianSpec) else f"best {spec.percentile:g} %"
    rule = f"its best so far is {_worse(study)} {threshold:.6g}, the {what} of {rivals} complete trials at this step"
    return EndDetail(value=best, threshold=threshold, rule=rule)


def _halving(
    spec: HalvingSpec | HyperbandSpec, study: Study, trial: FrozenTrial, value: float, max_resource: int | None
) -> EndDetail:
    """The value at a rung against the worst that went on from it."""
    pruner = pruners.build(spec, max_resource=max_resource)
    bracket = ""
    if isinstance(pruner, HyperbandPruner):
        pruner._try_initialization(study)
        bracket_id = pruner._get_bracket_id(study, trial)
        study = pruner._create_bracket_study(study, bracket_id)
        pruner, bracket = pruner._pruners[bracket_id], f" of bracket {bracket_id}"
    assert isinstance(pruner, SuccessiveHalvingPruner)
    rivals = study.get_trials(deepcopy=False)
    own = next(each for each in rivals if each.number == trial.number)  # with the rungs noted just now
    rung = halvings._get_current_rung(own) - 1  # the one that it was stopped at
    key = halvings._completed_rung_key(rung)
    reached = [each.system_attrs[key] for each in rivals if key in each.system_attrs]
    competing = sorted(reached, reverse=study.direction == StudyDirection.MAXIMIZE)
    if len(competing) <= spec.bootstrap_count:
        rule = f"the first {spec.bootstrap_count} at rung {rung}{bracket} never go on"
        return EndDetail(value=value, rule=rule)
    threshold = competing[max(0, len(competing) // spec.reduction_factor - 1)]
    share = f"the best 1/{spec.reduction_factor} of {len(reached)} trials at rung {rung}{bracket} go on"
    rule = f"{_worse(study)} {threshold:.6g}: {share}"
    return EndDetail(value=value, threshold=threshold, rule=rule)


def _threshold(spec: ThresholdSpec, value: float) -> EndDetail:
    if spec.lower is not None and value < spec.lower:
        return EndDetail(value=value, threshold=spec.lower, rule=f"below the study's lower bound {spec.lower:g}")
    return EndDetail(value=value, threshold=spec.upper, rule=f"above the study's upper bound {spec.upper:g}")


def _patient(spec: PatientSpec, study: Study, trial: FrozenTrial, max_resource: int | None) -> EndDetail:
    """The best of the last steps against the best before them."""
    steps = sorted(trial.intermediate_values)
    before = _best([trial.intermediate_values[step] for step in steps[: -spec.patience - 1]], study)
    since = _best([trial.intermediate_values[step] for step in steps[-spec.patience - 1 :]], study)
    patience = f"its best of the last {spec.patience + 1} steps is {_worse(study)} its best before them, {before:.6g}"
    if spec.min_delta > 0:
        patience += f", by more than {spec.min_delta:g}"
    if pruners.is_alone(spec):
        return EndDetail(value=since, threshold=before, rule=patience)
    inner = explain(spec.wrapped, study, trial, max_resource)
    return inner.model_copy(update={"rule": f"{inner.rule}; and {patience}"})


def _best(values: Sequence[float], study: Study) -> float:
    best = np.nanmax if study.direction == StudyDirection.MAXIMIZE else np.nanmin
    return float(best(values))


def _wilcoxon(spec: WilcoxonSpec, study: Study, trial: FrozenTrial) -> EndDetail:
    """The p-value of the paired test against the best trial, by the same call of scipy."""
    from scipy import stats  # noqa: PLC0415 - Optuna loads it for this pruner alone

    best = study.best_trial
    paired = [step for step in sorted(trial.intermediate_values) if step in best.intermediate_values]
    differences = [trial.intermediate_values[step] - best.intermediate_values[step] for step in paired]
    worse = "less" if study.direction == StudyDirection.MAXIMIZE else "greater"
    p = float(stats.wilcoxon(differences, alternative=worse, zero_method="zsplit").pvalue)
    rule = (
        f"worse than trial {best.number} over {len(paired)} steps with p = {p:.3g}, less than p_threshold "
        f"{spec.p_threshold:g} (Wilcoxon's signed-rank test)"
    )
    return EndDetail(value=p, threshold=spec.p_threshold, rule=rule)
