"""Publishing where something goes wrong, and where two passes run at once."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, update

from tests.integration.tracking.passes import MODEL, T0_MS, run_until_idle, word
from tuner.domain.spec import StudySpec
from tuner.maintenance.publish import Counts, Memory, run_once
from tuner.store import publishing
from tuner.store.database import transaction
from tuner.store.tables import attempts, studies, trials
from tuner.tracking import experiments, runs
from tuner.tracking.experiments import Experiment, GoneError
from tuner.tracking.publish import publish_study
from tuner.tracking.rest import Mlflow
from tuner.tracking.trials import Target, Trials


def test_mlflow_being_down_is_an_answer(engine: Engine, rows: Any, target: Target, shown: Any) -> None:
    study = rows.study()
    rows.finish(rows.trial(study, 0), metrics={"val/roc_auc": 0.5}, values=[0.5])
    memory = Memory()
    with Mlflow("http://127.0.0.1:9/mlflow", "k") as nowhere:
        counts = run_once(engine, replace(target, mlflow=nowhere), memory)

    assert counts == Counts(failures=1, behind=True)
    assert word(engine, study) == "behind"
    run_until_idle(engine, target, memory)
    assert dict(shown.of(study)["runs"])["trial 0"]["status"] == "FINISHED"


def test_a_trial_that_cannot_be_published_holds_up_no_other_and_rests(
    engine: Engine, rows: Any, target: Target, shown: Any
) -> None:
    study = rows.study()
    bad, good = rows.trial(study, 0), rows.trial(study, 1)
    attempt = rows.upload(bad, {"log.txt": b"x"})
    (target.store / "attempts" / str(attempt) / "log.txt").unlink()
    for trial in (bad, good):
        rows.finish(trial, metrics={"val/roc_auc": 0.5}, values=[0.5])
    rows.end(study)
    memory = Memory()

    first = run_once(engine, target, memory)
    second = run_once(engine, target, memory)

    assert (first.trials, first.failures) == (1, 1)
    assert (second.trials, second.failures) == (0, 0)
    runs = dict(shown.of(study)["runs"])
    assert (runs["trial 0"]["status"], runs["trial 1"]["status"], runs["NAME"]["status"]) == (
        "RUNNING",
        "FINISHED",
        "RUNNING",
    )
    assert word(engine, study) == "behind"

    (target.store / "attempts" / str(attempt) / "log.txt").write_bytes(b"x")
    memory.trials.clear()  # its rest is over
    run_until_idle(engine, target, memory)
    assert [run["status"] for _, run in shown.of(study)["runs"]] == ["FINISHED"] * 3


def test_a_study_that_cannot_be_published_holds_up_no_other(
    engine: Engine, rows: Any, target: Target, shown: Any
) -> None:
    bad, good = rows.study(), rows.study()
    for study in (bad, good):
        rows.finish(rows.trial(study, 0), metrics={"val/roc_auc": 0.5}, values=[0.5])
    with transaction(engine) as connection:
        connection.execute(update(studies).where(studies.c.id == bad).values(experiment_id="999999"))

    counts = run_once(engine, target, memory := Memory())

    assert (counts.trials, counts.failures) == (1, 1)
    assert dict(shown.of(good)["runs"])["trial 0"]["status"] == "FINISHED"
    assert list(memory.studies) == [bad]


@pytest.mark.parametrize("what", ["experiment", "run", "parent run"])
def test_what_somebody_deleted_in_mlflow_comes_back(
    engine: Engine, rows: Any, target: Target, shown: Any, what: str
) -> None:
    study = rows.study()
    trial = rows.trial(study, 0)
    run_until_idle(engine, target)
    row = rows.get(studies, study)
    if what == "experiment":
        target.mlflow.post("experiments/delete", {"experiment_id": row.experiment_id})
    else:
        run_id = rows.get(trials, trial).run_id if what == "run" else row.parent_run_id
        target.mlflow.post("runs/delete", {"run_id": run_id})
    rows.finish(trial, metrics={"val/roc_auc": 0.5}, values=[0.5])
    rows.end(study)

    first = run_once(engine, target, Memory())
    run_until_idle(engine, target)
    seen = shown.of(study)

    assert first.failures == 1
    assert seen["experiments"] == ["active"]
    assert [(run["stage"], run["status"]) for _, run in seen["runs"]] == [("active", "FINISHED")] * 2


# ---- two at once -----------------------------------------------------------------------------------------------------


def test_passes_at_once_publish_everything_once(engine: Engine, rows: Any, target: Target, shown: Any) -> None:
    ids = [rows.study() for _ in range(3)]
    for study in ids:
        for number in range(4):
            trial = rows.trial(study, number)
            rows.report(trial, 1, {"val/loss": 0.1 * number})
            rows.upload(trial, MODEL)
            rows.finish(trial, metrics={"val/roc_auc": 0.5}, values=[0.5])
        rows.end(study)
    passes = [threading.Thread(target=run_once, args=(engine, target, Memory())) for _ in range(3)]
    for each in passes:
        each.start()
    for each in passes:
        each.join()
    run_until_idle(engine, target)

    for study in ids:
        seen = shown.of(study)
        assert [name for name, _ in seen["runs"]] == ["NAME", "trial 0", "trial 1", "trial 2", "trial 3"]
        assert [run["outputs"] for _, run in seen["runs"]] == [0, 1, 1, 1, 1]
        assert len(seen["models"]) == 4


def test_a_study_that_another_pass_holds_is_left_alone(engine: Engine, rows: Any, target: Target, shown: Any) -> None:
    study = rows.study()
    with publishing.holding(engine) as holder:
        assert holder.take(study)
        counts = run_once(engine, target, Memory())

    assert counts.failures == 0
    assert shown.of(study)["experiments"] == []


def test_a_pass_that_lost_its_locks_makes_nothing(engine: Engine, rows: Any, target: Target, shown: Any) -> None:
    study = rows.study()
    rows.trial(study, 0)
    with pytest.raises(Exception, match=r"terminating connection|closed"), publishing.holding(engine) as holder:  # noqa: PT012
        holder.take(study)
        with transaction(engine) as connection:
            connection.exec_driver_sql(
                "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and pid <> pg_backend_pid()"
            )
        publish_study(engine, target, holder, study)

    assert shown.of(study)["experiments"] == []


def test_a_run_made_by_a_pass_that_came_second_is_taken_back(
    engine: Engine, rows: Any, target: Target, shown: Any
) -> None:
    study = rows.study()
    trial = rows.trial(study, 0)
    run_until_idle(engine, target)
    row = rows.get(studies, study)
    experiment = Experiment(row.experiment_id, is_new=False)
    second = runs.create(target.mlflow, experiment.id, name="trial 0, again", start_ms=T0_MS, tags={})
    spec = StudySpec.model_validate_json(row.spec)
    with publishing.holding(engine) as holder, pytest.raises(GoneError):
        Trials(engine, target, holder, row, spec, experiment)._note(rows.get(trials, trial), second)

    assert [(name, run["stage"]) for name, run in shown.of(study)["runs"]] == [
        ("NAME", "active"),
        ("trial 0", "active"),
        ("trial 0, again", "deleted"),
    ]


def test_a_study_deleted_while_it_was_published_leaves_nothing(
    engine: Engine, rows: Any, target: Target, shown: Any
) -> None:
    study = rows.study()
    row = rows.get(studies, study)
    with transaction(engine) as connection:
        connection.execute(attempts.delete())
        connection.execute(studies.delete().where(studies.c.id == study))
    spec = StudySpec.model_validate_json(row.spec)
    with pytest.raises(GoneError):
        experiments.ensure(engine, target.mlflow, row, spec, target.base_url)
    run_once(engine, target, Memory())

    found = target.mlflow.get("experiments/get-by-name", experiment_name=f"{row.name} (#{study})")
    assert found["experiment"]["lifecycle_stage"] == "deleted"
