"""A trial's model in MLflow: a logged model with its files, an output of its run; registered on demand.

Owns the requests about models. A logged model is looked for by its run before it is made, and files are the same however
often they are sent; only an output would be listed twice, so it is looked for, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tuner.tracking import artifacts, runs
from tuner.tracking.artifacts import Artifacts
from tuner.tracking.rest import Mlflow, MlflowRefusedError

FOLDER = "model/"  # in an attempt's folder


def find(mlflow: Mlflow, experiment_id: str, run_ids: Collection[str]) -> dict[str, str]:
    """Logged models by the run that made them; one request."""
    if not run_ids:
        return {}
    wanted = f"source_run_id IN ({', '.join(repr(run_id) for run_id in sorted(run_ids))})"
    body = {"experiment_ids": [experiment_id], "filter": wanted, "max_results": len(run_ids)}
    found = mlflow.post("logged-models/search", body).get("models", [])
    return {model["info"]["source_run_id"]: model["info"]["model_id"] for model in found}


def publish(
    mlflow: Mlflow,
    folder: Artifacts,
    experiment_id: str,
    run_id: str,
    *,
    name: str,
    step: int,
    params: Mapping[str, str],
    files: Mapping[str, Path],
    known_id: str | None,
) -> str:
    """Makes the run's logged model whole.

    Args:
        mlflow: where to.
        folder: where the files go.
        experiment_id: of the run.
        run_id: of the run that made the model.
        name: that the UI shows.
        step: of the run at which the model was best.
        params: shown beside the model.
        files: by path in the model folder.
        known_id: of a logged model that an earlier pass began.

    Returns:
        The logged model's id: `models:/ID` loads it.
    """
    model_id = known_id or _create(mlflow, experiment_id, run_id, name, params)
    for path, file in files.items():
        folder.put_file(artifacts.of_model(experiment_id, model_id, path), file)
    mlflow.patch(f"logged-models/{model_id}", {"model_id": model_id, "status": "LOGGED_MODEL_READY"})
    if known_id is None or not runs.has_output(mlflow, run_id, model_id):
        mlflow.post("runs/outputs", {"run_id": run_id, "models": [{"model_id": model_id, "step": step}]})
    return model_id


def _create(mlflow: Mlflow, experiment_id: str, run_id: str, name: str, params: Mapping[str, str]) -> str:
    body = {
        "experiment_id": experiment_id,
        "source_run_id": run_id,
        "name": name,
        "params": runs.as_pairs(params),
    }
    model_id: str = mlflow.post("logged-models", body)["model"]["info"]["model_id"]
    return model_id


def take_name(mlflow: Mlflow, name: str, study_id: int) -> bool:
    """Makes the registered model of a study, once; False: somebody else has a model of that name."""
    owner = {"key": "tuner.study_id", "value": str(study_id)}
    try:
        mlflow.post("registered-models/create", {"name": name, "tags": [owner]})
    except MlflowRefusedError as error:
        if error.code != "RESOURCE_ALREADY_EXISTS":
            raise
        found = mlflow.get("registered-models/get", name=name)["registered_model"]
        return owner in found.get("tags", [])
    return True


def register(
    mlflow: Mlflow, name: str, model_id: str, *, run_id: str, tags: Mapping[str, str], alias: str | None = None
) -> str:
    """Makes a logged model a version of a registered model; the same logged model again is the same version.

    Args:
        mlflow: where to.
        name: of the registered model, which is there.
        model_id: of the logged model.
        run_id: of its run.
        tags: of the version.
        alias: for example `champion`; moves to this version.

    Returns:
        The version.
    """
    version = _version_of(mlflow, name, model_id, run_id)
    if version is None:
        body = {"name": name, "source": f"models:/{model_id}", "model_id": model_id, "run_id": run_id}
        made = mlflow.post("model-versions/create", {**body, "tags": runs.as_pairs(tags)})
        version = str(made["model_version"]["version"])
    if alias is not None:
        mlflow.post("registered-models/alias", {"name": name, "alias": alias, "version": version})
    return version


def _version_of(mlflow: Mlflow, name: str, model_id: str, run_id: str) -> str | None:
    """Looked for by the run, since a name with a quote in it cannot be written in MLflow's filters."""
    found: list[dict[str, Any]] = mlflow.get("model-versions/search", filter=f"run_id='{run_id}'").get(
        "model_versions", []
    )
    ours = (each for each in found if each["name"] == name and each["source"] == f"models:/{model_id}")
    return next((str(each["version"]) for each in ours), None)
