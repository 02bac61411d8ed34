"""What MLflow shows of a study and of a trial, computed from our rows.

Owns which params, metrics, tags and words a run has. Pure: the same rows give the same content, so sending it again
changes nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from tuner.domain import ends
from tuner.domain.spec import StudySpec
from tuner.tracking import names

MAX_NOTE = 10_000  # characters; MLflow takes 20,000 on an experiment
MAX_DIGEST = 36  # of a data set, as MLflow has it; the whole one is a tag
MAX_SCHEMA = 1_000_000
COLUMN_TYPES = {"number": "double", "category": "string", "boolean": "boolean", "date": "datetime", "text": "string"}
MAX_ERROR = 1_000  # in a tag; the whole text is an artifact


@dataclass(frozen=True)
class Content:
    """Of one run, or a part of it."""

    params: dict[str, str] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


# ---- a trial ---------------------------------------------------------------------------------------------------------


def trial_tags(study: Any, trial: Any, base_url: str) -> dict[str, str]:
    """What is known when the run is made; `tuner.study_id`, `tuner.kind` and `tuner.trial` find it again."""
    page = f"{base_url}/api/v1/studies/{study.id}/trials/{trial.number}"
    return {
        **_study_tags(study),
        "tuner.kind": "trial",
        "tuner.trial": str(trial.number),
        "tuner.state": str(trial.state),
        **({} if trial.retry_of_number is None else {"tuner.retry_of": str(trial.retry_of_number)}),
        **_attempt_tags(trial),
        "mlflow.parentRunId": study.parent_run_id,
        "mlflow.source.name": study.trainer or "external",
        "mlflow.note.content": f"Trial [{trial.number}]({page}) of study {_escaped(study.name)}.",
    }


def trial_params(spec: StudySpec, trial: Any) -> dict[str, str]:
    """Sampled and fixed ones."""
    sampled: Mapping[str, Any] = json.loads(trial.params)
    return {names.key(name): str(value) for name, value in {**spec.fixed, **sampled}.items()}


def curves(spec: StudySpec, reports: Iterable[Any]) -> list[dict[str, Any]]:
    """Reports as points, at the time at which they were made."""
    rounds = spec.evaluation.rounds
    points = []
    for report in reports:
        for metric, value in json.loads(report.metrics).items():
            name, step = names.curve(metric, fold=report.fold, step=report.step, rounds=rounds)
            points.append(_point(name, value, report.reported_at, step))
    return points


def trial_end(spec: StudySpec, trial: Any) -> Content:
    """What is known once the trial has ended."""
    tags = {"tuner.state": str(trial.state), **_attempt_tags(trial)}
    if trial.end_reason is not None:
        tags |= _end_tags(trial)
    if trial.error:
        tags["tuner.error"] = trial.error[:MAX_ERROR]
    if trial.best_step is not None:
        tags["tuner.best_step"] = str(trial.best_step)
    points = final_metrics(spec, trial, step=trial.best_step or 0)
    return Content(params=trial_params(spec, trial), metrics=points, tags=tags)


def _end_tags(trial: Any) -> dict[str, str]:
    """The reason, a line for people, and every fact under a tag of its own."""
    detail = ends.read(trial.end_detail)
    facts = detail.model_dump(mode="json", exclude={"memory"})
    if detail.memory is not None:
        facts |= detail.memory.model_dump(mode="json")
    return {
        "tuner.end_reason": trial.end_reason,
        "tuner.end": ends.line(trial.end_reason, detail, trial.error),
        **{f"tuner.end.{name}": str(value) for name, value in facts.items()},
    }


def final_metrics(spec: StudySpec, trial: Any, *, step: int) -> list[dict[str, Any]]:
    """The result's metrics and the objectives' values."""
    values = {names.final(name, external=spec.is_external): value for name, value in _result(trial).items()}
    for index, value in enumerate(trial.objective_values or []):
        values[names.objective(spec, index)] = value
    return [_point(name, value, trial.finished_at, step) for name, value in values.items()]


def _result(trial: Any) -> dict[str, float]:
    found: dict[str, float] = json.loads(trial.metrics or "{}")
    return found


def _attempt_tags(trial: Any) -> dict[str, str]:
    if trial.attempt_id is None:
        return {}
    return {"tuner.attempt": str(trial.attempt_number), "tuner.worker": trial.worker_id}


# ---- a final fit -----------------------------------------------------------------------------------------------------


def final_tags(study: Any, final: Any) -> dict[str, str]:
    """What is known when the run is made; `tuner.study_id`, `tuner.kind` and `tuner.final` find it again."""
    return {
        **_study_tags(study),
        "tuner.kind": "final",
        "tuner.final": str(final.number),
        "tuner.of_trial": str(final.trial_number),
        "mlflow.parentRunId": study.parent_run_id,
        "mlflow.source.name": study.trainer,
    }


def final_params(spec: StudySpec, final: Any) -> dict[str, str]:
    """As trained: the trial's, with the number of epochs."""
    epochs = {} if final.epochs is None else {"epochs": str(final.epochs)}
    return trial_params(spec, final) | epochs


def final_end(spec: StudySpec, final: Any) -> Content:
    """What is known once it has ended; its metrics have names of their own already."""
    tags = {"tuner.state": str(final.state)}
    if final.error:
        tags["tuner.error"] = final.error[:MAX_ERROR]
    points = [
        _point(names.key(name), value, final.finished_at, final.epochs or 0) for name, value in _result(final).items()
    ]
    return Content(params=final_params(spec, final), metrics=points, tags=tags)


def version_tags(study: Any, spec: StudySpec, final: Any) -> dict[str, str]:
    """Of the registered model's version: of what it was made, and how good it is."""
    scored = {name: value for name, value in _result(final).items() if "/" in name}
    return {
        **_study_tags(study),
        "tuner.trial": str(final.trial_number),
        "tuner.trainer": study.trainer,
        **{names.key(name): f"{value:.6g}" for name, value in scored.items()},
        **{names.key(f"param/{name}"): value for name, value in final_params(spec, final).items()},
    }


# ---- the data set ----------------------------------------------------------------------------------------------------


def dataset(study: Any, base_url: str) -> dict[str, str] | None:
    """The study's data set, as MLflow describes an input of a run; None for a loop of the user's own."""
    facts = json.loads(study.facts).get("dataset")
    if not facts:
        return None
    name = facts["name"].partition("@")[0]
    columns = [{"name": column, "type": COLUMN_TYPES[kind]} for column, kind in facts["columns"].items()]
    profile = {"num_rows": facts["rows"], "num_features": facts["features"], "classes": facts["classes"]}
    described = {
        "name": facts["name"],
        "digest": facts["digest"].removeprefix("sha256:")[:MAX_DIGEST],
        "source_type": "http",
        "source": json.dumps({"url": f"{base_url}/api/v1/datasets/{quote(name, safe='')}"}),
        "schema": json.dumps({"mlflow_colspec": columns}),
        "profile": json.dumps(profile),
    }
    if not columns or len(described["schema"]) > MAX_SCHEMA:
        del described["schema"]
    return described


# ---- a study ---------------------------------------------------------------------------------------------------------


def experiment_tags(study: Any, spec: StudySpec, base_url: str) -> dict[str, str]:
    return {**_user_tags(spec), **_study_tags(study), "mlflow.note.content": _description(study, spec, base_url)}


def study_tags(study: Any, spec: StudySpec, base_url: str) -> dict[str, str]:
    """Of the parent run, when it is made; `tuner.study_id` and `tuner.kind` find it again."""
    return {
        **experiment_tags(study, spec, base_url),
        "tuner.kind": "study",
        "tuner.sampler": spec.sampler.name,
        "tuner.pruner": spec.pruner.name,
        "mlflow.source.name": study.trainer or "external",
    }


def study_best(spec: StudySpec, study: Any, best: Any) -> Content:
    """The best trial so far. Its params are one tag, since a better trial may come and MLflow never changes a param."""
    tags = {
        "tuner.best_trial": str(best.number),
        "tuner.best_run_id": best.run_id or "",
        "tuner.best_params": json.dumps(trial_params(spec, best)),
    }
    # steps rise with every better trial, so the table shows the last
    return Content(metrics=final_metrics(spec, best, step=study.best_finish_seq or 0), tags=tags)


def study_end(study: Any) -> Content:
    tags = {"tuner.state": str(study.state), "tuner.end_reason": study.end_reason or ""}
    counts = {name: getattr(study, f"n_{name}") for name in ("complete", "pruned", "failed", "cancelled")}
    points = [_point(f"trials/{name}", count, study.ended_at, study.finish_seq) for name, count in counts.items()]
    return Content(metrics=points, tags=tags)


def study_goes_on(study: Any) -> Content:
    """What its end had left on the parent run, when the study was extended."""
    return Content(tags={"tuner.state": str(study.state), "tuner.end_reason": ""})


def _study_tags(study: Any) -> dict[str, str]:
    tags = {"tuner.study": study.name, "tuner.study_id": str(study.id), "tuner.version": _version()}
    dataset = json.loads(study.facts).get("dataset") or {}
    if "digest" in dataset:
        tags |= {"tuner.dataset": dataset["name"], "tuner.dataset_digest": dataset["digest"]}
    return tags


@cache
def _version() -> str:
    return version("tuner")


def _user_tags(spec: StudySpec) -> dict[str, str]:
    return {names.key(name): str(value) for name, value in spec.tags.items() if not names.is_ours(name)}


def _description(study: Any, spec: StudySpec, base_url: str) -> str:
    api = f"{base_url}/api/v1/studies/{study.id}"
    what = f"Study [{_escaped(study.name)}]({api}) on {_escaped(spec.dataset or 'no data set')}"
    by = f"with {study.trainer or 'an external loop'}"
    links = f"[trials]({api}/trials), [dashboard]({base_url}/dashboard/studies/{study.id})"
    words = (
        "Sort runs by `objective`; `best/…` is a run's result at its best epoch, names without it are learning curves."
    )
    lines = [f"{what} {by}: {links}.", words]
    return "\n\n".join([*lines, spec.notes[:MAX_NOTE]]).strip()


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in r"\[]*_`<>" else letter for letter in text)


def _point(name: str, value: Any, moment: datetime, step: int) -> dict[str, Any]:
    return {"key": name, "value": _json_number(float(value)), "timestamp": milliseconds(moment), "step": step}


def _json_number(value: float) -> float | str:
    """Protobuf's JSON spells what JSON has no number for."""
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
