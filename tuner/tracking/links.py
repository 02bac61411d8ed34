"""Where a study and a trial are seen in MLflow's UI.

Owns the UI's addresses, which lie behind `#`, and what its table of runs shows first. MLflow documents neither; both were
read from its UI's source and tried in a browser. The table's columns are a "shared view": a tag of the experiment that
the address names.
"""

from __future__ import annotations

import json
from urllib.parse import quote

from sqlalchemy import Connection

from tuner.domain.errors import NotFoundError, UnavailableError
from tuner.domain.spec import StudySpec, metric_key
from tuner.store import publishing
from tuner.tracking import names

BASE = "/mlflow"
VIEW = "tuner"
MAX_PARAMS = 20  # columns


def of_study(connection: Connection, study_id: int, base: str = BASE) -> str:
    """The table of a study's runs, the best on top.

    Raises:
        NotFoundError: there is no such study.
        UnavailableError: MLflow does not show it yet.
    """
    study = publishing.study(connection, study_id)
    if study is None:
        raise NotFoundError(f"there is no study {study_id}")
    if study.experiment_id is None or study.spec is None:
        raise UnavailableError(f"MLflow does not show study {study_id} yet: try again in some seconds")
    return study_runs_url(base, study.experiment_id)


def of_trial(connection: Connection, study_id: int, number: int, base: str = BASE) -> str:
    """A trial's run.

    Raises:
        NotFoundError: there is no such trial.
        UnavailableError: MLflow does not show it yet.
    """
    trial = publishing.trial(connection, study_id, number)
    if trial is None:
        raise NotFoundError(f"study {study_id} has no trial {number}")
    if trial.run_id is None or trial.experiment_id is None:
        raise UnavailableError(
            f"MLflow does not show trial {number} of study {study_id} yet: try again in some seconds"
        )
    return run_url(base, trial.experiment_id, trial.run_id)


def study_runs_url(base: str, experiment_id: str) -> str:
    """The table of an experiment's runs, as `view` says; `base` is where MLflow is mounted."""
    return f"{base}/#/experiments/{quote(experiment_id)}/runs?viewStateShareKey={VIEW}&workflowType=machine_learning"


def run_url(base: str, experiment_id: str, run_id: str) -> str:
    return f"{base}/#/experiments/{quote(experiment_id)}/runs/{quote(run_id)}"


def view(spec: StudySpec, direction: str) -> dict[str, str]:
    """The experiment's tag by which the table opens sorted by the objective, with objectives and parameters as columns."""
    objectives = [objective.metric for objective in spec.objectives or []]
    keys = [metric_key(metric, external=spec.is_external) for metric in objectives]
    keys += [metric_key(constraint.metric, external=spec.is_external) for constraint in spec.constraints]
    values = [names.objective(spec, index) for index in range(len(objectives))]
    metrics = dict.fromkeys([*values, *(names.final(key, external=spec.is_external) for key in keys)])
    columns = [f"metrics.`{metric}`" for metric in metrics]
    columns += [f"params.`{param}`" for param in list(spec.search_space or {})[:MAX_PARAMS]]
    state = {
        "orderByKey": columns[0] if columns else "attributes.`Created`",
        "orderByAsc": direction == "minimize",
        "selectedColumns": [*columns, "attributes.`Models`"],
    }
    return {f"mlflow.sharedViewState.{VIEW}": json.dumps(state)}
