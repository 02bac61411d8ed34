"""A study's final fit in MLflow: a run of its own, and its model registered under the study's name as the champion.

Owns what is sent of one and in which order. What must not be made twice (the run, the model, its version) is looked for by
tag or by run first; the alias is set once a version is there, and again where a pass was killed in between.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from tuner.domain.spec import StudySpec
from tuner.domain.states import FinalState
from tuner.store import finals, publishing
from tuner.store.database import transaction
from tuner.tracking import artifacts, content, models, names, runs
from tuner.tracking.experiments import Experiment, GoneError
from tuner.tracking.trials import Target, uploaded

LOG = "log.txt"
CHAMPION = "champion"
STATUS = {FinalState.COMPLETE: "FINISHED", FinalState.FAILED: "FAILED"}


def publish(
    engine: Engine, target: Target, holder: publishing.Holder, study: Any, spec: StudySpec, experiment: Experiment
) -> int:
    """Sends the final fits that have ended; gives how many there were.

    Raises:
        MlflowDownError: MLflow does not answer.
        MlflowRefusedError: it refuses one of them.
    """
    with transaction(engine) as connection:
        due = finals.unpublished(connection, study.id)
        files = publishing.files(connection, [final.attempt_id for final in due]) if due else {}
    for final in due:
        holder.check()
        run_id = _ensured(engine, target, study, final, experiment)
        runs.log(target.mlflow, run_id, content.final_end(spec, final))
        paths = files.get(final.attempt_id, [])
        if LOG in paths:
            file = uploaded(target.store, final.attempt_id, LOG)
            target.artifacts.put_file(artifacts.of_run(experiment.id, run_id, LOG), file)
        name = version = None
        if final.state == FinalState.COMPLETE:
            name = names.registered(study.name, study.id)
            if not models.take_name(target.mlflow, name, study.id):
                name = names.registered(study.name, study.id, is_taken=True)
                models.take_name(target.mlflow, name, study.id)
            version = _register(target, study, spec, final, experiment, run_id, name, paths)
        ended = content.milliseconds(final.finished_at)
        runs.set_status(target.mlflow, run_id, STATUS[FinalState(final.state)], end_ms=ended)
        with transaction(engine) as connection:
            finals.mark_published(connection, final.id, name, version)
    return len(due)


def run_ids(engine: Engine, study_id: int) -> list[str]:
    """Of those that are not whole in MLflow yet."""
    with transaction(engine) as connection:
        return [final.run_id for final in finals.unpublished(connection, study_id) if final.run_id is not None]


def _ensured(engine: Engine, target: Target, study: Any, final: Any, experiment: Experiment) -> str:
    """The final fit's run, found or made, and noted in our tables."""
    if final.run_id is not None:
        return str(final.run_id)
    run_id = runs.find_final(target.mlflow, experiment.id, study.id, final.number)
    if run_id is None:
        run_id = runs.create(
            target.mlflow,
            experiment.id,
            name=names.FINAL_RUN,
            start_ms=content.milliseconds(final.created_at),
            tags=content.final_tags(study, final),
        )
    runs.log_dataset(target.mlflow, run_id, content.dataset(study, target.base_url))
    with transaction(engine) as connection:
        kept = finals.set_run(connection, final.id, run_id)
    if not kept:
        runs.delete(target.mlflow, run_id)
        raise GoneError(f"the final fit of study {study.id} is gone, or has another run")
    return run_id


def _register(
    target: Target,
    study: Any,
    spec: StudySpec,
    final: Any,
    experiment: Experiment,
    run_id: str,
    name: str,
    paths: list[str],
) -> str:
    """Makes the model a version of the registered one; gives the version."""
    of_model = {path.removeprefix(models.FOLDER): path for path in paths if path.startswith(models.FOLDER)}
    known = models.find(target.mlflow, experiment.id, [run_id])
    model_id = models.publish(
        target.mlflow,
        target.artifacts,
        experiment.id,
        run_id,
        name=names.FINAL_RUN,
        step=final.epochs or 0,
        params=content.final_params(spec, final),
        files={inside: uploaded(target.store, final.attempt_id, path) for inside, path in of_model.items()},
        known_id=known.get(run_id),
    )
    tags = content.version_tags(study, spec, final)
    return models.register(target.mlflow, name, model_id, run_id=run_id, tags=tags, alias=CHAMPION)
