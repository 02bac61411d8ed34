"""Whether a running trial should stop early, decided at its last report just as Optuna's own pruner would.

Owns the decision, and what pruners note on a trial (the rungs of halving). Why, tells `tuner.sampling.explain`.
"""

from __future__ import annotations

import structlog
from optuna.trial import FrozenTrial
from sqlalchemy import Connection

from tuner.domain.ends import EndDetail
from tuner.domain.spec import metric_key
from tuner.sampling import explain, plan, pruners, snapshot
from tuner.sampling.plan import Plan
from tuner.sampling.snapshot import SnapshotStudy
from tuner.store import history

log = structlog.get_logger()


def decide(connection: Connection, study_id: int, trial_id: int) -> EndDetail | None:
    """Decides on the reports stored so far: why the trial should end, or None if it should go on.

    After the last epoch, or fold, nothing is pruned.

    A study without a pruner costs no statement once its plan is known.
    """
    study = plan.of(connection, study_id)
    if study.spec.pruner.name == "none" or len(study.directions) > 1:
        return None
    row = history.trial(connection, trial_id, curves="all")
    if row is None or not row.steps:
        return None
    if study.max_resource is not None and row.steps[-1] >= study.max_resource:
        return None
    view = snapshot.of(connection, study, row)
    pruner = pruners.build(study.spec.pruner, max_resource=study.max_resource)
    optunas = SnapshotStudy(view)
    pruned = pruner.prune(optunas, view.get_trial(trial_id))
    if view.trial_attrs:
        history.change_trial_attrs(connection, trial_id, view.trial_attrs)
    if not pruned:
        return None
    return _why(study, optunas, view.get_trial(trial_id))


def _why(study: Plan, optunas: SnapshotStudy, trial: FrozenTrial) -> EndDetail:
    """The decision stands, whether it can be explained or not."""
    assert study.spec.objectives is not None
    metric = metric_key(study.spec.objectives[0].metric, external=study.spec.is_external)
    try:
        why = explain.explain(study.spec.pruner, optunas, trial, study.max_resource)
    except Exception:
        log.exception("a pruning cannot be explained", study=study.study_id, trial=trial.number)
        why = EndDetail(step=trial.last_step)
    return why.model_copy(update={"metric": metric})
