"""What deleted studies left behind: their experiments in MLflow, and the files of their attempts.

Owns its removal. What is gone already is as good as removed.
"""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Engine

from tuner.store import publishing
from tuner.store.database import transaction
from tuner.tracking.rest import Mlflow, MlflowRefusedError

log = structlog.get_logger()

MODELS = "models"


def remove(engine: Engine, mlflow: Mlflow, store: Path, *, limit: int) -> int:
    """Removes up to `limit` of them; returns how many.

    Raises:
        MlflowDownError: MLflow does not answer.
    """
    with transaction(engine) as connection:
        found = publishing.discarded(connection, limit=limit)
    removed = 0
    for discard in found:
        try:
            _remove(mlflow, store, discard)
        except (MlflowRefusedError, OSError, ValueError) as error:  # it stays listed, and holds up no other
            log.warning("not removed", kind=discard.kind, ref=discard.ref, error=repr(error))
            continue
        with transaction(engine) as connection:
            publishing.forget(connection, discard.id)
        removed += 1
    return removed


def _remove(mlflow: Mlflow, store: Path, discard: Any) -> None:
    if discard.kind == "experiment":
        _remove_experiment(mlflow, discard.ref)
        return
    folder = store / "attempts" / str(uuid.UUID(discard.ref))
    if folder.exists():
        shutil.rmtree(folder)


def _remove_experiment(mlflow: Mlflow, experiment_id: str) -> None:
    """Deletes it, and its files but those of registered models: who serves one goes on."""
    try:
        mlflow.post("experiments/delete", {"experiment_id": experiment_id})
    except MlflowRefusedError as error:
        # gone, or deleted before: then files may be left of a removal that was broken off
        if error.code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "INVALID_STATE"}:
            raise
    kept = _registered(mlflow, experiment_id)
    for name in mlflow.listing(experiment_id):
        if name != MODELS or not kept:
            mlflow.remove(f"{experiment_id}/{name}")
    if kept:
        for name in set(mlflow.listing(f"{experiment_id}/{MODELS}")) - kept:
            mlflow.remove(f"{experiment_id}/{MODELS}/{name}")


def _registered(mlflow: Mlflow, experiment_id: str) -> set[str]:
    """Logged models of the experiment that are versions of registered ones."""
    found, token = set(), None
    while True:
        body = {"experiment_ids": [experiment_id], "max_results": 100, **({"page_token": token} if token else {})}
        answer = mlflow.post("logged-models/search", body)
        for model in answer.get("models", []):
            if any(tag["key"] == "mlflow.modelVersions" for tag in model["info"].get("tags", [])):
                found.add(model["info"]["model_id"])
        token = answer.get("next_page_token")
        if not token:
            return found
