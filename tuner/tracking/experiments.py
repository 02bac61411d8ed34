"""A study's experiment and parent run: found or made, kept up to date, ended with the study.

Owns these two. Each is looked for by name or tag before it is made, and its id is kept in our tables afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from tuner.domain.spec import StudySpec
from tuner.store import publishing
from tuner.store.database import transaction
from tuner.tracking import artifacts, content, links, names, runs
from tuner.tracking.artifacts import Artifacts
from tuner.tracking.rest import Mlflow, MlflowRefusedError


@dataclass(frozen=True)
class Experiment:
    """A study in MLflow.

    Attributes:
        id: MLflow's, of the experiment.
        is_new: made in this pass, so there is nothing in it to find.
    """

    id: str
    is_new: bool


class GoneError(Exception):
    """Our row is gone, or another pass has published it: nothing is left to do here."""


def ensure(engine: Engine, mlflow: Mlflow, study: Any, spec: StudySpec, base_url: str) -> Experiment:
    """The study's experiment.

    Raises:
        GoneError: the study was deleted meanwhile.
    """
    if study.experiment_id is not None:
        return Experiment(study.experiment_id, is_new=False)
    name = names.experiment(study.name, study.id)
    found = _by_name(mlflow, name)
    if found is None:
        tags = {**content.experiment_tags(study, spec, base_url), **links.view(spec, study.directions[0])}
        body = {"name": name, "tags": runs.as_pairs({**tags, "mlflow.experimentKind": "custom_model_development"})}
        experiment_id = mlflow.post("experiments/create", body)["experiment_id"]
    else:
        experiment_id = found["experiment_id"]
        if found["lifecycle_stage"] != "active":
            mlflow.post("experiments/restore", {"experiment_id": experiment_id})
    with transaction(engine) as connection:
        kept = publishing.set_experiment(connection, study.id, experiment_id)
        if not kept and publishing.study(connection, study.id) is None:
            publishing.discard(connection, experiment_id)
    if not kept:
        raise GoneError(f"study {study.id} was deleted while it was published")
    return Experiment(experiment_id, is_new=found is None)


def _by_name(mlflow: Mlflow, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = mlflow.get("experiments/get-by-name", experiment_name=name)["experiment"]
    except MlflowRefusedError as error:
        if error.code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return found


def ensure_parent(
    engine: Engine,
    mlflow: Mlflow,
    folder: Artifacts,
    experiment: Experiment,
    study: Any,
    spec: StudySpec,
    base_url: str,
) -> str:
    """The run that stands for the whole study; its spec lies with it as `study.json`."""
    if study.parent_run_id is not None:
        return str(study.parent_run_id)
    run_id = None if experiment.is_new else runs.find_study(mlflow, experiment.id, study.id)
    if run_id is None:
        started = content.milliseconds(study.started_at or study.created_at)
        tags = content.study_tags(study, spec, base_url)
        run_id = runs.create(mlflow, experiment.id, name=study.name, start_ms=started, tags=tags)
    runs.log_dataset(mlflow, run_id, content.dataset(study, base_url))
    folder.put_bytes(artifacts.of_run(experiment.id, run_id, "study.json"), study.spec.encode())
    with transaction(engine) as connection:
        kept = publishing.set_parent_run(connection, study.id, run_id)
    if not kept:
        runs.delete(mlflow, run_id)
        raise GoneError(f"study {study.id} has another parent run")
    return run_id


def show_best(engine: Engine, mlflow: Mlflow, study: Any, spec: StudySpec) -> None:
    """Puts the best trial so far on the parent run."""
    if study.best_number is None:
        return
    with transaction(engine) as connection:
        best = publishing.trial(connection, study.id, study.best_number)
    if best is not None:
        runs.log(mlflow, study.parent_run_id, content.study_best(spec, study, best))


def end(engine: Engine, mlflow: Mlflow, study: Any, spec: StudySpec) -> None:
    """Ends the parent run as the study ended."""
    show_best(engine, mlflow, study, spec)
    runs.log(mlflow, study.parent_run_id, content.study_end(study))
    status = names.STUDY_STATUS[study.state]
    runs.set_status(mlflow, study.parent_run_id, status, end_ms=content.milliseconds(study.ended_at))
    with transaction(engine) as connection:
        publishing.mark_study(connection, study.id, ended=True)


def reopen(engine: Engine, mlflow: Mlflow, study: Any) -> None:
    """The study was extended and goes on."""
    runs.log(mlflow, study.parent_run_id, content.study_goes_on(study))
    runs.set_status(mlflow, study.parent_run_id, "RUNNING")
    with transaction(engine) as connection:
        publishing.mark_study(connection, study.id, ended=False)


def mend(mlflow: Mlflow, experiment: Experiment, run_ids: Sequence[str]) -> None:
    """Restores what somebody deleted in MLflow: it is a projection, so what our tables have comes back."""
    found = mlflow.get("experiments/get", experiment_id=experiment.id)["experiment"]
    if found["lifecycle_stage"] != "active":
        mlflow.post("experiments/restore", {"experiment_id": experiment.id})
    for run_id in run_ids:
        if mlflow.get("runs/get", run_id=run_id)["run"]["info"]["lifecycle_stage"] != "active":
            mlflow.post("runs/restore", {"run_id": run_id})
