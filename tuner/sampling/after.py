"""What a sampler does with a trial's end, before the trial's row is finished; and what constraints make of metrics.

Owns the violations that samplers read, and the question whether a search space is exhausted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from optuna.samplers import BaseSampler, BruteForceSampler
from sqlalchemy import Connection

from tuner.domain.spec import Constraint, StudySpec, metric_key
from tuner.domain.states import TrialState
from tuner.sampling import frozen, plan, quiet, samplers, snapshot
from tuner.sampling.plan import Plan
from tuner.sampling.snapshot import SnapshotStudy
from tuner.store import history

CONSTRAINTS = "constraints"  # Optuna's own name for a trial's violations: at most 0 each, or the trial is not feasible


def after_trial(
    connection: Connection,
    study_id: int,
    trial_id: int,
    state: TrialState,
    values: Sequence[float] | None,
    metrics: Mapping[str, float] | None = None,
) -> bool:
    """Stores the trial's constraints, and says whether every point of a finite search space has now been tried.

    The trial's row is still unfinished and the caller holds the study's lock.

    Args:
        connection: of the transaction that finishes the trial.
        study_id: the study.
        trial_id: the trial.
        state: the one that it is about to have.
        values: of the objectives, for a complete trial.
        metrics: of the result, by the names under which they were reported.
    """
    study = plan.of(connection, study_id)
    if study.spec.constraints and state in {TrialState.COMPLETE, TrialState.PRUNED}:
        violations = constraints_of(study.spec, metrics or {})
        history.change_trial_attrs(connection, trial_id, {CONSTRAINTS: violations})
    if study.spec.sampler.name not in samplers.ONE_BY_ONE:
        return False  # the other samplers of Optuna do nothing then, once the constraints are there
    return _is_exhausted(connection, study, trial_id, state, values)


def _is_exhausted(
    connection: Connection, study: Plan, trial_id: int, state: TrialState, values: Sequence[float] | None
) -> bool:
    row = history.trial(connection, trial_id)
    if row is None or row.params == "{}":
        return False  # it ended before it was sampled
    quiet.hush()
    view = snapshot.of(connection, study, row)
    sampled = SnapshotStudy(view, _sampler(study, row.number))
    sampled.sampler.after_trial(sampled, view.get_trial(trial_id), frozen.to_optuna(state), values)
    return sampled.exhausted


def _sampler(study: Plan, trial_number: int) -> BaseSampler:
    spec = study.spec.sampler
    if spec.name == "brute":
        # Optuna's name for: count a point as tried when its trial has finished, not when it has started
        return BruteForceSampler(seed=spec.seed, avoid_premature_stop=True)
    return samplers.build(spec, study_seed=spec.seed or 0, trial_number=trial_number, space=study.space)


def constraints_of(spec: StudySpec, metrics: Mapping[str, float]) -> list[float]:
    """How far each constraint is exceeded: at most 0 where it is kept.

    A trial without the metric, or with one that is not finite, cannot show that it keeps the bound: it counts as far off.
    """
    return [_violation(constraint, metrics, external=spec.is_external) for constraint in spec.constraints]


def is_feasible(spec: StudySpec, metrics: Mapping[str, float]) -> bool:
    return all(violation <= 0 for violation in constraints_of(spec, metrics))


def _violation(constraint: Constraint, metrics: Mapping[str, float], *, external: bool) -> float:
    bound = constraint.max if constraint.max is not None else constraint.min
    assert bound is not None
    value = metrics.get(metric_key(constraint.metric, external=external), math.nan)
    if not math.isfinite(value):
        return max(1.0, abs(bound))  # of the metric's own size: samplers that model violations cannot use infinity
    return value - bound if constraint.max is not None else bound - value
