"""The auditor: recomputes from the rows what must hold at every commit, and compares with MLflow when publishing is idle."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Connection, Engine, select

from tuner import specs
from tuner.domain.spec import metric_key
from tuner.domain.states import ENDED, FINISHED, FinalState, StudyEnd, StudyState, TrialEnd, TrialState
from tuner.store.tables import artifacts, attempts, finals, idempotency_keys, reports, studies, trials
from tuner.tracking import content, names

MLFLOW_STATUS = {
    TrialState.WAITING: "SCHEDULED",
    TrialState.RUNNING: "RUNNING",
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAILED: "FAILED",
    TrialState.CANCELLED: "KILLED",
}


def audit(engine: Engine) -> None:
    """Asserts the invariants over every study with a spec."""
    with engine.begin() as connection:
        for study in connection.execute(select(studies).where(studies.c.spec.is_not(None))):
            _audit_study(connection, study)


def _audit_study(connection: Connection, study: Any) -> None:
    rows = list(connection.execute(select(trials).where(trials.c.study_id == study.id).order_by(trials.c.number)))
    held = list(connection.execute(select(attempts).join(trials).where(trials.c.study_id == study.id)))
    states = Counter(row.state for row in rows)
    live = Counter(attempt.trial_id for attempt in held if attempt.state == "running")
    accepted = Counter(attempt.trial_id for attempt in held if attempt.state == "succeeded")

    assert [row.number for row in rows] == list(range(study.n_created)), "numbers are dense"
    if study.budget_trials is not None:
        assert len(rows) <= study.budget_trials, "the budget holds"
    finished = sum(count for state, count in states.items() if state in FINISHED)
    if study.end_reason == StudyEnd.TRIALS:
        assert finished == study.budget_trials, "a study that ended for trials has just as many"
    assert (study.n_complete, study.n_pruned, study.n_failed, study.n_cancelled) == tuple(
        states[state] for state in ("complete", "pruned", "failed", "cancelled")
    ), "the counters count"
    assert study.n_live == sum(live.values()), "n_live counts live attempts"
    for row in rows:
        assert live[row.id] <= 1, "at most one live attempt"
        assert row.state != TrialState.RUNNING or live[row.id] == 1, "a running trial has a live attempt"
        assert row.state not in FINISHED or live[row.id] == 0, "a finished trial has none"
        assert accepted[row.id] <= 1, "at most one accepted result"
        has_result = row.state in {TrialState.COMPLETE, TrialState.PRUNED} and row.end_reason != TrialEnd.IMPORTED
        assert has_result == (accepted[row.id] == 1), "a result is an attempt's"
    sequence = sorted(row.finish_seq for row in rows if row.finish_seq is not None)
    assert sequence == list(range(1, study.finish_seq + 1)), "finish_seq is dense"
    if study.state in ENDED:
        assert finished == len(rows), "nothing waits or runs in a study that has ended"
    _audit_best(study, rows)
    _audit_finals(connection, study)


def _audit_finals(connection: Connection, study: Any) -> None:
    rows = list(connection.execute(select(finals).where(finals.c.study_id == study.id).order_by(finals.c.number)))
    assert [row.number for row in rows] == list(range(1, len(rows) + 1)), "final fits are numbered"
    for row in rows:
        held = list(connection.execute(select(attempts).where(attempts.c.final_id == row.id)))
        states = Counter(attempt.state for attempt in held)
        assert states["running"] == (row.state == FinalState.RUNNING), "a running final fit has one live attempt"
        assert states["succeeded"] == (row.state == FinalState.COMPLETE), "a result is an attempt's"
    is_open = bool(rows) and rows[-1].state in {FinalState.WAITING, FinalState.RUNNING}
    assert all(row.state not in {FinalState.WAITING, FinalState.RUNNING} for row in rows[:-1]), "one is open at most"
    assert not is_open or study.state == StudyState.FINALIZING, "a final fit keeps its study finalizing"
    if study.state == StudyState.FINALIZING:
        assert is_open or study.n_live > 0, "a study that is finalizing has something to wait for"


def _audit_best(study: Any, rows: list[Any]) -> None:
    spec = specs.of(study)
    if len(spec.objectives or []) != 1:
        assert study.best_number is None
        return
    sign = 1 if spec.objectives[0].direction == "maximize" else -1  # type: ignore[index]  # has one
    complete = [row for row in rows if row.state == "complete" and _keeps(spec, json.loads(row.metrics))]
    if not complete:
        assert study.best_number is None
        return
    best = max(complete, key=lambda row: (sign * row.objective_values[0], -row.finish_seq))
    assert (study.best_number, study.best_value) == (best.number, best.objective_values[0]), "the best is the best"


def _keeps(spec: Any, metrics: dict[str, float]) -> bool:
    for constraint in spec.constraints:
        value = metrics[metric_key(constraint.metric, external=spec.is_external)]
        if (constraint.max is not None and value > constraint.max) or (
            constraint.min is not None and value < constraint.min
        ):
            return False
    return True


def audit_acknowledged(engine: Engine, acknowledged: Collection[int]) -> None:
    """Asserts that every study of which a client was told is there, and that a repeated submit made no second one."""
    with engine.begin() as connection:
        stored = set(connection.execute(select(studies.c.id)).scalars())
        submitted = select(idempotency_keys.c.study_id).where(idempotency_keys.c.move.is_(None))
        keyed = list(connection.execute(submitted).scalars())
    assert set(acknowledged) <= stored, "an acknowledged study is there"
    assert len(keyed) == len(set(keyed)), "a key gave one study"


def drafts(artifact_root: Path) -> list[Path]:
    """Halves of uploads; those of a killed server go some seconds after their attempt has ended."""
    return [draft for folder in ("attempts", "checkpoints") for draft in (artifact_root / folder).glob(".*")]


def audit_files(engine: Engine, artifact_root: Path) -> None:
    """Asserts that the store has every file that it acknowledged, and nothing half uploaded."""
    root = artifact_root / "attempts"
    assert not drafts(artifact_root), "no half of an upload is left"
    with engine.begin() as connection:
        accepted = select(artifacts).join(attempts).where(attempts.c.state == "succeeded")
        for row in connection.execute(accepted):
            content = (root / str(row.attempt_id) / row.path).read_bytes()
            assert hashlib.sha256(content).hexdigest() == row.sha256, f"{row.path} is what was uploaded"


def audit_mlflow(engine: Engine, url: str, key: str, *, base: str = "/mlflow") -> None:
    """Asserts that MLflow shows every study once, with every trial's state, reports and result once.

    Args:
        engine: to our tables.
        url: the control plane's, or with an empty `base` that of an MLflow of the user's own.
        key: that it asks for.
        base: where MLflow is mounted.
    """
    with (
        engine.begin() as connection,
        httpx.Client(base_url=f"{url}{base}", headers={"Authorization": f"Bearer {key}"}, trust_env=False) as http,
    ):
        for study in connection.execute(select(studies).where(studies.c.spec.is_not(None))):
            _audit_experiment(connection, http, study)


def _audit_experiment(connection: Connection, http: httpx.Client, study: Any) -> None:
    # scripts may open runs of their own beside ours
    runs = [run for run in _runs(http, study.experiment_id) if run["tags"].get("tuner.study_id") == str(study.id)]
    parents = [run for run in runs if "mlflow.parentRunId" not in run["tags"]]
    assert len(parents) == 1, "one parent run"
    assert (parents[0]["status"] == "RUNNING") == (study.state not in ENDED), "the parent runs while the study does"
    of_finals = {int(run["tags"]["tuner.final"]): run for run in runs if run["tags"].get("tuner.kind") == "final"}
    nested = {int(run["tags"]["tuner.trial"]): run for run in runs if "tuner.trial" in run["tags"]}
    assert len(nested) + len(of_finals) == len(runs) - 1, "one run a trial, and a final fit"
    _audit_final_runs(connection, http, study, of_finals)
    spec = specs.of(study)
    for trial in connection.execute(select(trials).where(trials.c.study_id == study.id)):
        run = nested.get(trial.number)
        if run is None:
            assert trial.state in {TrialState.WAITING, TrialState.RUNNING}, f"trial {trial.number} has a run"
            continue
        assert run["status"] == MLFLOW_STATUS[TrialState(trial.state)], f"trial {trial.number} has its state"
        expected = _reported(connection, spec, trial)
        for point in content.final_metrics(spec, trial, step=trial.best_step or 0) if trial.finished_at else ():
            expected[point["key"]].append((point["step"], point["value"]))
        # a script of the user's own may log more to its trial's run
        ours = [name for name in run["metrics"] if name in expected or not spec.is_external]
        shown = {name: _history(http, run["run_id"], name) for name in ours}
        assert set(shown) == set(expected), f"trial {trial.number} has the metrics that were reported"
        for name, points in expected.items():
            assert sorted(shown[name]) == sorted(points), f"every report of {name} once"


def _audit_final_runs(connection: Connection, http: httpx.Client, study: Any, runs: dict[int, dict[str, Any]]) -> None:
    done = finals.c.state.in_([FinalState.COMPLETE, FinalState.FAILED])
    rows = list(connection.execute(select(finals).where(finals.c.study_id == study.id, done)))
    assert set(runs) == {row.number for row in rows}, "one run for each final fit that ended by itself"
    for row in rows:
        run, result = runs[row.number], json.loads(row.metrics or "{}")
        assert run["status"] == ("FINISHED" if row.state == FinalState.COMPLETE else "FAILED")
        assert set(run["metrics"]) == set(result), "a final run has the metrics of its result"
        for name, value in result.items():
            assert _history(http, run["run_id"], name) == [(row.epochs or 0, value)]
        found = http.get("/api/2.0/mlflow/model-versions/search", params={"filter": f"run_id='{run['run_id']}'"})
        versions = found.raise_for_status().json().get("model_versions", [])
        expected = [(row.model_name, row.model_version)] if row.state == FinalState.COMPLETE else []
        assert [(each["name"], each["version"]) for each in versions] == expected, "one version for each final model"


def _reported(connection: Connection, spec: Any, trial: Any) -> defaultdict[str, list[tuple[int, float]]]:
    points = defaultdict(list)
    for report in connection.execute(select(reports).where(reports.c.trial_id == trial.id)):
        for metric, value in json.loads(report.metrics).items():
            name, step = names.curve(metric, fold=report.fold, step=report.step, rounds=spec.evaluation.rounds)
            points[name].append((step, value))
    return points


def _history(http: httpx.Client, run_id: str, name: str) -> list[tuple[int, float]]:
    params = {"run_id": run_id, "metric_key": name, "max_results": 25_000}
    answer = http.get("/api/2.0/mlflow/metrics/get-history", params=params).raise_for_status()
    return [(int(point.get("step", 0)), float(point["value"])) for point in answer.json().get("metrics", [])]


def _runs(http: httpx.Client, experiment_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        body = {"experiment_ids": [experiment_id], "max_results": 1000, "page_token": token}
        answer = http.post("/api/2.0/mlflow/runs/search", json=body).raise_for_status().json()
        for run in answer.get("runs", []):
            tags = {tag["key"]: tag["value"] for tag in run["data"].get("tags", [])}
            metrics = [metric["key"] for metric in run["data"].get("metrics", [])]
            found.append({**run["info"], "tags": tags, "metrics": metrics})
        token = answer.get("next_page_token", "")
        if not token:
            return found
