"""Whether a running trial should stop early, decided at its last report just as Optuna's own pruner would.

Owns the decision, and what pruners note on a trial (the rungs of halving).
"""

from __future__ import annotations

from sqlalchemy import Connection

from tuner.sampling import plan, pruners, snapshot
from tuner.sampling.snapshot import SnapshotStudy
from tuner.store import history


def should_prune(connection: Connection, study_id: int, trial_id: int) -> bool:
    """Decides on the reports stored so far; after the last epoch, or fold, nothing is pruned.

    A study without a pruner costs no statement once its plan is known.
    """
    study = plan.of(connection, study_id)
    if study.spec.pruner.name == "none" or len(study.directions) > 1:
        return False
    row = history.trial(connection, trial_id, curves="all")
    if row is None or not row.steps:
        return False
    if study.max_resource is not None and row.steps[-1] >= study.max_resource:
        return False
    view = snapshot.of(connection, study, row)
    pruner = pruners.build(study.spec.pruner, max_resource=study.max_resource)
    pruned = pruner.prune(SnapshotStudy(view), view.get_trial(trial_id))
    if view.trial_attrs:
        history.change_trial_attrs(connection, trial_id, view.trial_attrs)
    return bool(pruned)
