"""Optuna's pruners, built from what a study names.

Owns the translation of `pruner` into Optuna's objects. They keep nothing of a trial in memory: one is built for each
decision.
"""

from __future__ import annotations

from optuna import pruners as op

from tuner.domain.search import (
    HalvingSpec,
    HyperbandSpec,
    InnerPrunerSpec,
    MedianSpec,
    NonePrunerSpec,
    PatientSpec,
    PercentileSpec,
    PrunerSpec,
    ThresholdSpec,
    WilcoxonSpec,
)
from tuner.sampling import quiet


def build(spec: PrunerSpec | InnerPrunerSpec, *, max_resource: int | None) -> op.BasePruner:
    """The pruner of a study.

    Args:
        spec: as the study names it.
        max_resource: the last step that a trial reports: epochs, or rounds.

    Raises:
        ValueError: Hyperband without `max_resource`, which it would otherwise guess from finished trials.
    """
    quiet.hush()
    match spec:
        case NonePrunerSpec():
            return op.NopPruner()
        case MedianSpec() | PercentileSpec():
            return _percentile(spec)
        case HalvingSpec():
            return op.SuccessiveHalvingPruner(
                min_resource=spec.min_resource,
                reduction_factor=spec.reduction_factor,
                min_early_stopping_rate=spec.min_early_stopping_rate,
                bootstrap_count=spec.bootstrap_count,
            )
        case HyperbandSpec():
            return _hyperband(spec, max_resource)
        case ThresholdSpec():
            return op.ThresholdPruner(
                lower=spec.lower,
                upper=spec.upper,
                n_warmup_steps=spec.n_warmup_steps,
                interval_steps=spec.interval_steps,
            )
        case PatientSpec():
            wrapped = None if is_alone(spec) else build(spec.wrapped, max_resource=max_resource)
            return op.PatientPruner(wrapped, patience=spec.patience, min_delta=spec.min_delta)
        case WilcoxonSpec():
            return op.WilcoxonPruner(p_threshold=spec.p_threshold, n_startup_steps=spec.n_startup_steps)


def is_alone(spec: PatientSpec) -> bool:
    """Whether patience decides by itself."""
    return isinstance(spec.wrapped, NonePrunerSpec)


def _percentile(spec: MedianSpec | PercentileSpec) -> op.PercentilePruner:
    kind = {
        "n_startup_trials": spec.n_startup_trials,
        "n_warmup_steps": spec.n_warmup_steps,
        "interval_steps": spec.interval_steps,
        "n_min_trials": spec.n_min_trials,
    }
    if isinstance(spec, MedianSpec):
        return op.MedianPruner(**kind)
    return op.PercentilePruner(spec.percentile, **kind)


def _hyperband(spec: HyperbandSpec, max_resource: int | None) -> op.HyperbandPruner:
    if max_resource is None:
        raise ValueError("hyperband needs to know the last step: set `fixed.epochs`, or use halving")
    return op.HyperbandPruner(
        min_resource=min(spec.min_resource, max_resource),  # above it, Optuna would count no bracket at all
        max_resource=max_resource,
        reduction_factor=spec.reduction_factor,
        bootstrap_count=spec.bootstrap_count,
    )


def reads_curves(spec: PrunerSpec | InnerPrunerSpec) -> bool:
    """Whether it looks at every step of finished trials; the others need none, or what a trial's attributes hold."""
    if isinstance(spec, PatientSpec):
        return reads_curves(spec.wrapped)
    return isinstance(spec, MedianSpec | PercentileSpec | WilcoxonSpec)
