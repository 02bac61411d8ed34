"""What MLflow shows of studies, live ones and finished ones; read from its own tables and folder."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, update

from tests.integration.tracking.passes import CURVES, MODEL, T0_MS, run_until_idle, word
from tests.integration.tracking.rows import DIGEST
from tuner.domain.errors import NotFoundError, UnavailableError
from tuner.maintenance.publish import Memory
from tuner.store.database import transaction
from tuner.store.tables import studies, trials
from tuner.tracking import links
from tuner.tracking.trials import Target

# ---- content ---------------------------------------------------------------------------------------------------------


def test_a_finished_study_is_shown_whole(engine: Engine, rows: Any, shown: Any, target: Target) -> None:
    study = rows.study(tags={"team": "vision"}, notes="a note")
    best = rows.trial(study, 0)
    for step in (1, 2):
        rows.report(best, step, {"val/roc_auc": step / 4, "train/loss": float("nan")})
    rows.upload(best, {**MODEL, "curves.json": CURVES, "log.txt": b"a line\n", "checkpoint.pt": b"not for MLflow"})
    rows.finish(best, metrics={"val/roc_auc": 0.82, "latency_ms": 1.5}, values=[0.82], best_step=2)
    failed = rows.trial(study, 1)
    rows.finish(failed, "failed", error="Traceback …\nValueError: no", end_reason="trainer-error")
    pruned = rows.trial(study, 2)
    rows.report(pruned, 1, {"val/roc_auc": 0.5})
    rows.finish(pruned, "pruned", metrics={"val/roc_auc": 0.5}, best_step=1)
    rows.end(study)

    run_until_idle(engine, target)
    seen = shown.of(study)

    assert word(engine, study) == "idle"
    assert seen["experiments"] == ["active"]
    assert seen["experiment_tags"]["team"] == "vision"
    assert "http://tuner.test:8642/api/v1/studies/ID" in seen["experiment_tags"]["mlflow.note.content"]
    parent, first, second, third = (run for _, run in seen["runs"])
    assert [name for name, _ in seen["runs"]] == ["NAME", "trial 0", "trial 1", "trial 2"]
    assert [run["status"] for _, run in seen["runs"]] == ["FINISHED", "FINISHED", "FAILED", "KILLED"]

    assert first["params"] == {"learning_rate": "0.01", "epochs": "3", "optimizer": "adamw"}
    assert first["metrics"] == [
        ("best/val/roc_auc", 2, T0_MS + 600_000, 0.82),
        ("latency_ms", 2, T0_MS + 600_000, 1.5),
        ("objective", 2, T0_MS + 600_000, 0.82),
        ("train/loss", 1, T0_MS + 1000, "nan"),
        ("train/loss", 2, T0_MS + 2000, "nan"),
        ("val/roc_auc", 1, T0_MS + 1000, 0.25),
        ("val/roc_auc", 2, T0_MS + 2000, 0.5),
    ]
    assert first["times"] == (T0_MS, T0_MS + 600_000)
    assert first["tags"]["mlflow.parentRunId"] == "RUN NAME"
    assert (first["tags"]["tuner.trial"], first["tags"]["tuner.state"]) == ("0", "complete")
    assert first["tags"]["tuner.worker"] == "worker-1"
    figures = ["figures/predicted_vs_actual.png", "figures/residuals.png"]
    assert [name for name, _ in first["files"]] == ["curves.json", *figures, "log.txt"]
    assert first["outputs"] == 1
    columns = [{"name": "mean radius", "type": "double"}, {"name": "grade", "type": "string"}]
    used = ("breast_cancer", DIGEST.removeprefix("sha256:")[:36], json.dumps({"mlflow_colspec": columns}))
    assert [run["inputs"] for run in (parent, first, second, third)] == [[used]] * 4
    assert seen["models"] == [("RUN trial 0", "trial 0", 2, [("MLmodel", 12), ("data/weights.bin", 100)])]

    assert second["tags"]["tuner.error"] == "Traceback …\nValueError: no"
    assert second["tags"]["tuner.end_reason"] == "trainer-error"
    assert [name for name, _ in second["files"]] == ["error.txt"]
    assert ("val/roc_auc", 1, T0_MS + 1000, 0.5) in third["metrics"]

    assert parent["tags"]["tuner.best_trial"] == "0"
    assert parent["tags"]["tuner.best_run_id"] == "RUN trial 0"
    assert parent["tags"]["tuner.end_reason"] == "trials"
    assert ("objective", 1, T0_MS + 600_000, 0.82) in parent["metrics"]
    assert ("trials/pruned", 3, T0_MS + 3_600_000, 1.0) in parent["metrics"]
    assert parent["times"] == (T0_MS, T0_MS + 3_600_000)


def test_the_profile_of_the_first_complete_trial_is_shown_and_no_other(
    engine: Engine, rows: Any, shown: Any, target: Target
) -> None:
    study = rows.study(profile=True)
    made = [rows.trial(study, number) for number in range(3)]
    profile = {"profile/trace.json.gz": b"zipped", "profile/operators.txt": b"a table"}
    for trial in made:
        rows.upload(trial, {**profile, "log.txt": b"a line\n"})
    rows.finish(made[2], "pruned", metrics={"val/roc_auc": 0.5})
    rows.finish(made[1], metrics={"val/roc_auc": 0.7}, values=[0.7])
    rows.finish(made[0], metrics={"val/roc_auc": 0.8}, values=[0.8])

    run_until_idle(engine, target)

    files = [[name for name, _ in run["files"]] for _, run in shown.of(study)["runs"]]
    assert files == [["study.json"], ["log.txt"], ["log.txt", *sorted(profile)], ["log.txt"]]


def test_files_may_be_linked_into_mlflows_folder(
    engine: Engine, rows: Any, shown: Any, target: Target, linking: Target
) -> None:
    ids = []
    for with_target in (target, linking):
        study = rows.study()
        trial = rows.trial(study, 0)
        rows.upload(trial, {**MODEL, "curves.json": CURVES, "log.txt": b"x"})
        rows.finish(trial, metrics={"val/roc_auc": 0.5}, values=[0.5])
        run_until_idle(engine, with_target)
        ids.append(study)

    assert shown.of(ids[0])["runs"] == shown.of(ids[1])["runs"]
    assert shown.of(ids[0])["models"] == shown.of(ids[1])["models"]
    assert len(shown.of(ids[1])["models"][0][3]) == 2


def test_folds_have_curves_of_their_own(engine: Engine, rows: Any, shown: Any, target: Target) -> None:
    study = rows.study(evaluation={"folds": 2})
    trial = rows.trial(study, 0)
    for fold in (0, 1):
        rows.report(trial, 1, {"val/loss": 1.0 + fold}, fold=fold)
        rows.report(trial, 0, {"val/loss": 2.0 + fold}, fold=fold)

    run_until_idle(engine, target)

    found = [(key, step, value) for key, step, _, value in dict(shown.of(study)["runs"])["trial 0"]["metrics"]]
    assert found == [
        ("fold_0/val/loss", 1, 1.0),
        ("fold_1/val/loss", 1, 2.0),
        ("folds/val/loss", 0, 2.0),
        ("folds/val/loss", 1, 3.0),
    ]


def test_more_metrics_than_one_request_takes_all_arrive(engine: Engine, rows: Any, shown: Any, target: Target) -> None:
    study = rows.study()
    trial = rows.trial(study, 0)
    for step in range(1, 601):
        rows.report(trial, step, {"a": step, "b": -step, "c": 0.5})
    rows.finish(trial, metrics={"val/roc_auc": 0.5}, values=[0.5])

    run_until_idle(engine, target)

    run = dict(shown.of(study)["runs"])["trial 0"]
    assert len([metric for metric in run["metrics"] if metric[0] in "abc"]) == 1800
    assert run["status"] == "FINISHED"


# ---- live studies ----------------------------------------------------------------------------------------------------


def test_a_running_trials_curve_grows_with_its_reports(engine: Engine, rows: Any, shown: Any, target: Target) -> None:
    memory = Memory()
    study = rows.study()
    trial = rows.trial(study, 0)
    run_until_idle(engine, target, memory)
    before = dict(shown.of(study)["runs"])["trial 0"]
    rows.report(trial, 1, {"val/loss": 1.0})
    behind = word(engine, study)
    run_until_idle(engine, target, memory)
    rows.report(trial, 2, {"val/loss": 0.5})
    run_until_idle(engine, target, memory)
    after = dict(shown.of(study)["runs"])["trial 0"]

    assert (before["status"], before["metrics"], before["params"]["epochs"]) == ("RUNNING", [], "3")
    assert behind == "behind"
    assert [(step, value) for _, step, _, value in after["metrics"]] == [(1, 1.0), (2, 0.5)]
    assert word(engine, study) == "idle"


def test_a_trial_that_was_lost_is_scheduled_until_it_runs_again(
    engine: Engine, rows: Any, shown: Any, target: Target
) -> None:
    study = rows.study()
    trial = rows.trial(study, 0)
    statuses = []
    for trial_state in ("running", "waiting", "running"):
        with transaction(engine) as connection:
            connection.execute(update(trials).where(trials.c.id == trial).values(state=trial_state))
        run_until_idle(engine, target)
        statuses.append(dict(shown.of(study)["runs"])["trial 0"]["status"])

    assert statuses == ["RUNNING", "SCHEDULED", "RUNNING"]


def test_an_extended_study_runs_again(engine: Engine, rows: Any, shown: Any, target: Target) -> None:
    study = rows.study()
    rows.finish(rows.trial(study, 0), metrics={"val/roc_auc": 0.5}, values=[0.5])
    rows.end(study)
    run_until_idle(engine, target)
    first = shown.of(study)["runs"][0][1]["status"]
    with transaction(engine) as connection:
        again = {"state": "running", "end_reason": None, "ended_at": None}
        connection.execute(update(studies).where(studies.c.id == study).values(again))
    run_until_idle(engine, target)
    second = shown.of(study)["runs"][0][1]["status"]
    rows.finish(rows.trial(study, 1), metrics={"val/roc_auc": 0.7}, values=[0.7])
    rows.end(study, "cancelled", "cancelled")
    run_until_idle(engine, target)
    parent = shown.of(study)["runs"][0][1]

    assert (first, second, parent["status"]) == ("FINISHED", "RUNNING", "KILLED")
    assert parent["tags"]["tuner.best_trial"] == "1"
    assert [(step, value) for key, step, _, value in parent["metrics"] if key == "objective"] == [(1, 0.5), (2, 0.7)]


def test_a_study_is_linked_to_once_it_is_shown(engine: Engine, rows: Any, target: Target) -> None:
    study = rows.study()
    rows.trial(study, 0)
    with transaction(engine) as connection:
        with pytest.raises(UnavailableError):
            links.of_study(connection, study)
        with pytest.raises(UnavailableError):
            links.of_trial(connection, study, 0)
        with pytest.raises(NotFoundError):
            links.of_trial(connection, study, 1)

    run_until_idle(engine, target)

    with transaction(engine) as connection:
        row = connection.execute(studies.select().where(studies.c.id == study)).one()
        run_id = connection.execute(trials.select().where(trials.c.study_id == study)).one().run_id
        assert links.of_study(connection, study) == links.study_runs_url("/mlflow", row.experiment_id)
        assert links.of_trial(connection, study, 0) == f"/mlflow/#/experiments/{row.experiment_id}/runs/{run_id}"


def test_times_are_told_to_the_millisecond(engine: Engine, rows: Any, target: Target, shown: Any) -> None:
    study = rows.study()
    trial = rows.trial(study, 0)
    rows.report(
        trial, 1, {"a": 1}, at=rows.get(trials, trial).started_at + timedelta(milliseconds=1234, microseconds=999)
    )

    run_until_idle(engine, target)

    assert dict(shown.of(study)["runs"])["trial 0"]["metrics"] == [("a", 1, T0_MS + 1234, 1.0)]
