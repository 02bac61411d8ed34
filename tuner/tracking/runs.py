"""Runs in MLflow: found by tag, made, filled in as few requests as there can be, ended.

Owns the requests about runs. All but `create` may be sent twice without harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from tuner.tracking.content import Content
from tuner.tracking.rest import Mlflow

MAX_BATCH = 1_000  # params, metrics and tags in one request
MAX_OF_KIND = 100  # params, or tags
PAGE = 200


def find_study(mlflow: Mlflow, experiment_id: str, study_id: int) -> str | None:
    """The study's parent run."""
    wanted = f"tags.`tuner.study_id` = '{study_id}' AND tags.`tuner.kind` = 'study'"
    return next((run["info"]["run_id"] for run in _search(mlflow, experiment_id, wanted)), None)


def find_trials(mlflow: Mlflow, experiment_id: str, study_id: int, *, since_ms: int) -> dict[int, str]:
    """Runs of the study's trials that began then or later, by the trial's number."""
    wanted = (
        f"tags.`tuner.study_id` = '{study_id}' AND tags.`tuner.kind` = 'trial' AND attributes.start_time >= {since_ms}"
    )
    found: dict[int, str] = {}
    for run in _search(mlflow, experiment_id, wanted):
        tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
        found.setdefault(int(tags["tuner.trial"]), run["info"]["run_id"])
    return found


def find_final(mlflow: Mlflow, experiment_id: str, study_id: int, number: int) -> str | None:
    """The run of a study's final fit."""
    wanted = f"tags.`tuner.study_id` = '{study_id}' AND tags.`tuner.kind` = 'final' AND tags.`tuner.final` = '{number}'"
    return next((run["info"]["run_id"] for run in _search(mlflow, experiment_id, wanted)), None)


def _search(mlflow: Mlflow, experiment_id: str, wanted: str) -> Iterator[dict[str, Any]]:
    token = None
    while True:
        body = {"experiment_ids": [experiment_id], "filter": wanted, "max_results": PAGE, "page_token": token}
        answer = mlflow.post("runs/search", {name: value for name, value in body.items() if value is not None})
        yield from answer.get("runs", [])
        token = answer.get("next_page_token")
        if not token:
            return


def create(mlflow: Mlflow, experiment_id: str, *, name: str, start_ms: int, tags: Mapping[str, str]) -> str:
    """A new run, RUNNING; its id."""
    body = {"experiment_id": experiment_id, "run_name": name, "start_time": start_ms, "tags": as_pairs(tags)}
    run_id: str = mlflow.post("runs/create", body)["run"]["info"]["run_id"]
    return run_id


def log(mlflow: Mlflow, run_id: str, added: Content) -> None:
    """Adds params, metrics and tags: one request, unless there are more of them than MLflow takes in one."""
    params, tags, metrics = iter(as_pairs(added.params)), iter(as_pairs(added.tags)), iter(added.metrics)
    while True:
        body: dict[str, Any] = {"params": list(islice(params, MAX_OF_KIND)), "tags": list(islice(tags, MAX_OF_KIND))}
        room = MAX_BATCH - len(body["params"]) - len(body["tags"])
        body["metrics"] = list(islice(metrics, room))
        if not any(body.values()):
            return
        mlflow.post("runs/log-batch", {"run_id": run_id, **body})


def log_dataset(mlflow: Mlflow, run_id: str, described: dict[str, str] | None) -> None:
    """Names the data set that a run learns from; MLflow keeps it once, however often it is sent."""
    if described is not None:
        tags = [{"key": "mlflow.data.context", "value": "training"}]
        mlflow.post("runs/log-inputs", {"run_id": run_id, "datasets": [{"dataset": described, "tags": tags}]})


def set_status(mlflow: Mlflow, run_id: str, status: str, *, end_ms: int | None = None) -> None:
    ended = {} if end_ms is None else {"end_time": end_ms}
    mlflow.post("runs/update", {"run_id": run_id, "status": status, **ended})


def delete(mlflow: Mlflow, run_id: str) -> None:
    mlflow.post("runs/delete", {"run_id": run_id})


def has_output(mlflow: Mlflow, run_id: str, model_id: str) -> bool:
    """Whether the run names the logged model as its output."""
    outputs = mlflow.get("runs/get", run_id=run_id)["run"].get("outputs", {}).get("model_outputs", [])
    return any(output["model_id"] == model_id for output in outputs)


def as_pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]
