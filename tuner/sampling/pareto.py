"""The trials that no other beats in every objective, among those that keep the constraints.

Owns the Pareto front of a study, by Optuna's own definition; of one objective it is the best trial, or several alike.
"""

from __future__ import annotations

from optuna.study._multi_objective import _get_pareto_front_trials_by_trials
from optuna.trial import TrialState as OptunaState
from sqlalchemy import Connection

from tuner.sampling import plan, snapshot


def pareto(connection: Connection, study_id: int) -> list[int]:
    """Their numbers, ascending; empty before a trial is complete and feasible."""
    study = plan.of(connection, study_id)
    complete = snapshot.of(connection, study).get_all_trials(study_id, deepcopy=False, states=(OptunaState.COMPLETE,))
    # what `study.best_trials` does, without its deep copy of every trial
    front = _get_pareto_front_trials_by_trials(complete, study.directions, consider_constraint=True)
    return [trial.number for trial in front]
