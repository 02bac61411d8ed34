"""Trials that ran elsewhere, before this study: which of them fit it, and how they become trials of it.

Owns the taking over of a history. Such trials are finished from the first moment: they have no attempt.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from tuner.domain.space import condition_order, exists
from tuner.domain.spec import StudySpec, metric_key
from tuner.domain.states import TrialEnd, TrialState
from tuner.endings import is_better
from tuner.sampling import after, distributions
from tuner.store import trials
from tuner.wire import HistoryTrialBody


def fitting(spec: StudySpec, history: Sequence[HistoryTrialBody]) -> list[HistoryTrialBody]:
    """The complete and pruned trials whose parameters are just those that the search space would give."""
    return [trial for trial in history if _has_result(spec, trial) and _lies_inside(spec, trial)]


def _has_result(spec: StudySpec, trial: HistoryTrialBody) -> bool:
    if trial.state == TrialState.PRUNED:
        return bool(trial.intermediate_values)
    return trial.state == TrialState.COMPLETE and len(trial.values or []) == len(spec.objectives or [])


def _lies_inside(spec: StudySpec, trial: HistoryTrialBody) -> bool:
    space = spec.search_space or {}
    expected = {name for name in condition_order(space) if exists(space[name], trial.params)}
    return set(trial.params) == expected and all(space[name].contains(trial.params[name]) for name in expected)


def store(connection: Connection, study_id: int, spec: StudySpec, taken: Sequence[HistoryTrialBody]) -> None:
    """Inserts the trials with numbers from 0 and counts them; the study was inserted in this transaction."""
    space = distributions.Space(spec.search_space or {})
    objectives = spec.objectives or []
    best: float | None = None
    for number, trial in enumerate(taken):
        trial_id = trials.create(connection, study_id, number)
        trials.set_past(
            connection,
            trial_id,
            params=trial.params,
            distributions={name: space.as_json[name] for name in trial.params},
            started_at=trial.started_at or trial.finished_at,
            intermediate_values=trial.intermediate_values,
        )
        state = TrialState(trial.state)
        values = trial.values if state is TrialState.COMPLETE else None
        metrics = {
            metric_key(objective.metric, external=spec.is_external): value
            for objective, value in zip(objectives, values or [], strict=False)
        }
        after.after_trial(connection, study_id, trial_id, state, values, metrics)
        is_best = (
            values is not None
            and len(objectives) == 1
            and after.is_feasible(spec, metrics)
            and is_better(values[0], best, objectives[0].direction)
        )
        if is_best and values is not None:
            best = values[0]
        trials.finish(
            connection,
            study_id=study_id,
            trial_id=trial_id,
            state=state,
            was_live=False,
            end_reason=TrialEnd.IMPORTED,
            objective_values=values,
            metrics=metrics,
            finished_at=trial.finished_at,
            is_best=is_best,
        )
