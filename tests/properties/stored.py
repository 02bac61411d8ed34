"""What is compared after every move: the columns that the model predicts, as stored and as predicted."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Engine, text

from tests.properties.model import Model, Study, Trial
from tuner.store.database import transaction

STORED = {
    "studies": """
        select id, state, end_reason, budget_trials, n_created, n_live, best_number, best_value from tuner.studies
    """,
    "trials": """
        select study_id, number, state, end_reason, n_attempts, params, objective_values[1] from tuner.trials
    """,
    "attempts": """
        select t.study_id, t.number, a.number, a.worker_id, a.state, a.end_reason
        from tuner.attempts a join tuner.trials t on t.id = a.trial_id
    """,
    "reports": """
        select t.study_id, t.number, r.step, r.value, r.attempt_id
        from tuner.reports r join tuner.trials t on t.id = r.trial_id
    """,
}


def rows(engine: Engine) -> dict[str, set[tuple[Any, ...]]]:
    """What is stored, by table."""
    with transaction(engine) as connection:
        return {table: {tuple(row) for row in connection.execute(text(query))} for table, query in STORED.items()}


def predicted(model: Model) -> dict[str, set[tuple[Any, ...]]]:
    """What should be."""
    trials = [trial for study in model.studies.values() for trial in study.trials]
    return {
        "studies": {_study_row(study) for study in model.studies.values()},
        "trials": {_trial_row(trial) for trial in trials},
        "attempts": {
            (trial.study.id, trial.number, number, attempt.worker, attempt.state, attempt.end_reason)
            for trial in trials
            for number, attempt in enumerate(trial.attempts, start=1)
        },
        "reports": {
            (trial.study.id, trial.number, step, value, attempt_id)
            for trial in trials
            for step, (value, attempt_id) in trial.reports.items()
        },
    }


def _study_row(study: Study) -> tuple[Any, ...]:
    best = (None, None) if study.best is None else (study.best.number, study.best.value)
    reason = str(study.end_reason) if study.end_reason else None
    return (study.id, study.state, reason, study.budget_trials, len(study.trials), len(study.live()), *best)


def _trial_row(trial: Trial) -> tuple[Any, ...]:
    params = json.dumps(trial.params)
    return (trial.study.id, trial.number, trial.state, trial.end_reason, trial.used_attempts, params, trial.value)
