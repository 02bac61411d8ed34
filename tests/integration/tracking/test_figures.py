"""Figures in their order, and what deleted studies leave behind."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from tests.integration.tracking.passes import CURVES, MODEL, run_until_idle
from tuner.maintenance.publish import Memory, run_once
from tuner.store import publishing
from tuner.store.database import transaction
from tuner.store.tables import discards, studies, trials
from tuner.tracking import draw
from tuner.tracking.trials import Target


def test_the_best_trials_figures_come_first_and_all_come_in_the_end(
    engine: Engine, rows: Any, target: Target, shown: Any
) -> None:
    study = rows.study()
    for number in range(14):
        trial = rows.trial(study, number)
        rows.upload(trial, {"curves.json": CURVES})
        rows.finish(trial, metrics={"val/roc_auc": number / 20}, values=[number / 20])
    memory = Memory()
    run_once(engine, target, memory)
    first = _drawn(shown.of(study))
    with transaction(engine) as connection:
        draw.request(connection, publishing.trial(connection, study, 1).id)
    run_once(engine, target, memory)
    second = _drawn(shown.of(study)) - first
    passes = run_until_idle(engine, target, memory)

    assert first <= {f"trial {number}" for number in range(4, 14)}
    assert len(first) == 2
    assert "trial 1" in second
    assert _drawn(shown.of(study)) == {f"trial {number}" for number in range(14)}
    assert not passes[-1].behind


def test_numbers_that_cannot_be_drawn_are_given_up(engine: Engine, rows: Any, target: Target, shown: Any) -> None:
    study = rows.study()
    trial = rows.trial(study, 0)
    rows.upload(trial, {"curves.json": b"{"})
    rows.finish(trial, metrics={"val/roc_auc": 0.1}, values=[0.1])

    run_until_idle(engine, target)

    assert _drawn(shown.of(study)) == set()
    assert rows.get(trials, trial).figures_at > publishing.WANTED


def _drawn(seen: dict[str, Any]) -> set[str]:
    return {name for name, run in seen["runs"] if any(file.startswith("figures/") for file, _ in run["files"])}


def test_what_a_deleted_study_left_is_removed(
    engine: Engine, rows: Any, target: Target, shown: Any, mlflow_server: Any
) -> None:
    study = rows.study()
    trial = rows.trial(study, 0)
    attempt = rows.upload(trial, MODEL)
    rows.finish(trial, metrics={"val/roc_auc": 0.1}, values=[0.1])
    run_until_idle(engine, target)
    experiment = rows.get(studies, study).experiment_id
    folder = mlflow_server.artifacts / experiment
    had_files = any(file.is_file() for file in folder.rglob("*"))
    _discard(engine, experiment, str(attempt), str(attempt))

    counts = run_once(engine, target, Memory())
    _discard(engine, experiment, "00000000-0000-0000-0000-000000000000")  # gone already
    run_once(engine, target, Memory())

    assert had_files
    assert counts.discarded == 3
    assert shown.of(study)["experiments"] == ["deleted"]
    assert not any(file.is_file() for file in folder.rglob("*"))
    assert not (target.store / "attempts" / str(attempt)).exists()
    with transaction(engine) as connection:
        assert connection.execute(discards.select()).all() == []


def _discard(engine: Engine, experiment: str, *attempt_ids: str) -> None:
    rows = [{"kind": "experiment", "ref": experiment}, *({"kind": "attempt", "ref": ref} for ref in attempt_ids)]
    with transaction(engine) as connection:
        connection.execute(discards.insert(), rows)
