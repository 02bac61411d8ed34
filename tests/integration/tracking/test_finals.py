"""What MLflow shows of a final fit: a run of its own, and the study's champion in the registry."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from tests.integration.tracking.passes import MODEL, run_until_idle, word
from tuner.maintenance.publish import Memory, run_once
from tuner.store.tables import finals, studies
from tuner.tracking.trials import Target

METRICS = {"test/f1": 0.8, "test/f1_low": 0.7, "test/f1_high": 0.9, "baseline/f1": 0.5, "train_s": 1.5}


def finished(rows: Any, **study: Any) -> tuple[int, int]:
    """A study that has ended, and its one trial."""
    study_id = rows.study(**study)
    trial_id = rows.trial(study_id, 0)
    rows.finish(trial_id, metrics={"val/roc_auc": 0.5}, values=[0.5], best_step=2)
    rows.end(study_id)
    return study_id, trial_id


def test_a_final_fit_has_a_run_and_a_champion(engine: Engine, rows: Any, target: Target, shown: Any) -> None:
    study, trial = finished(rows)
    final = rows.final(trial, files=MODEL | {"log.txt": b"epoch 1\n"}, metrics=METRICS)
    assert word(engine, study) == "behind"

    run_until_idle(engine, target)

    assert word(engine, study) == "idle"
    seen = shown.of(study)
    run = dict(seen["runs"])["final"]
    assert run["status"] == "FINISHED"
    assert {name: value for name, _step, _time, value in run["metrics"]} == METRICS
    assert (run["tags"]["tuner.kind"], run["tags"]["tuner.of_trial"]) == ("final", "0")
    assert (run["params"]["epochs"], run["params"]["learning_rate"]) == ("2", "0.01")
    assert ("log.txt", 8) in run["files"]
    assert run["outputs"] == 1
    (version,) = seen["versions"]
    assert (version["name"], version["version"], version["aliases"]) == ("NAME", 1, [("champion", 1)])
    assert version["tags"]["test/f1_low"] == "0.7"
    assert version["tags"]["tuner.dataset_digest"].startswith("sha256:")
    row = rows.get(finals, final)
    assert row.model_version == "1"


def test_a_model_of_somebody_else_keeps_its_name_and_its_champion(
    engine: Engine, rows: Any, target: Target, shown: Any
) -> None:
    study, trial = finished(rows)
    name = rows.get(studies, study).name
    target.mlflow.post("registered-models/create", {"name": name})
    final = rows.final(trial, files=MODEL, metrics=METRICS)

    run_until_idle(engine, target)

    row = rows.get(finals, final)
    assert (row.model_name, row.model_version) == (f"{name} (#{study})", "1")
    assert target.mlflow.get("registered-models/get", name=name)["registered_model"].get("latest_versions", []) == []


def test_one_that_failed_has_a_run_that_says_why_and_no_model(
    engine: Engine, rows: Any, target: Target, shown: Any
) -> None:
    study, trial = finished(rows)
    rows.final(trial, state="failed", files={"log.txt": b"oh\n"}, metrics=None)

    run_until_idle(engine, target)

    assert word(engine, study) == "idle"
    run = dict(shown.of(study)["runs"])["final"]
    assert run["status"] == "FAILED"
    assert run["tags"]["tuner.error"] == "trainer-error: it broke"
    assert shown.of(study)["versions"] == []


def test_a_run_that_somebody_deleted_comes_back(engine: Engine, rows: Any, target: Target, shown: Any) -> None:
    study, trial = finished(rows)
    final = rows.final(trial, files=MODEL, metrics=METRICS)
    run_until_idle(engine, target)
    run_id = rows.get(finals, final).run_id
    target.mlflow.post("runs/delete", {"run_id": run_id})
    rows.set(finals, final, published_at=None)  # as if the last mark had been lost

    assert run_once(engine, target, Memory()).failures == 1  # it learns of it, and restores the run
    run_until_idle(engine, target)

    assert word(engine, study) == "idle"
    assert dict(shown.of(study)["runs"])["final"]["stage"] == "active"
    assert len(shown.of(study)["versions"]) == 1
