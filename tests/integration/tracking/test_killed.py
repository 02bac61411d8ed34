"""A publisher that is killed at any request leaves nothing doubled and nothing missing once the next pass is through."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.integration.tracking.passes import CURVES
from tuner.maintenance.publish import Memory, run_once
from tuner.store.database import transaction
from tuner.tracking import state
from tuner.tracking.trials import Target

MOST_REQUESTS = 60


@pytest.fixture
def killed(database_url: str, mlflow_server: Any, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    script = str(Path(__file__).with_name("killed.py"))
    command = [sys.executable, script, database_url, mlflow_server.url, str(tmp_path / "artifacts")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def small_study(rows: Any) -> int:
    """One trial of every kind of request: a model, figures and files; an error; a curve alone; and the study's end."""
    study = rows.study()
    trial = rows.trial(study, 0)
    for step in (1, 2):
        rows.report(trial, step, {"val/roc_auc": step / 4})
    rows.upload(trial, {"model/MLmodel": b"flavors: {}\n", "curves.json": CURVES})
    rows.finish(trial, metrics={"val/roc_auc": 0.5}, values=[0.5], best_step=2)
    rows.finish(rows.trial(study, 1), "failed", error="it broke")
    rows.end(study)
    return int(study)


def finalized_study(rows: Any) -> int:
    """A final fit with everything that is sent of one."""
    study = rows.study()
    trial = rows.trial(study, 0)
    rows.finish(trial, metrics={"val/roc_auc": 0.5}, values=[0.5], best_step=2)
    rows.end(study)
    metrics = {"test/roc_auc": 0.8, "test/roc_auc_low": 0.7, "test/roc_auc_high": 0.9, "baseline/roc_auc": 0.5}
    rows.final(trial, files={"model/MLmodel": b"flavors: {}\n", "log.txt": b"epoch 1\n"}, metrics=metrics)
    return int(study)


@pytest.mark.parametrize(
    ("when", "make"),
    [("before", small_study), ("after", small_study), ("before", finalized_study), ("after", finalized_study)],
)
def test_a_kill_at_any_request_doubles_and_loses_nothing(
    when: str,
    make: Callable[[Any], int],
    engine: Engine,
    rows: Any,
    target: Target,
    shown: Any,
    killed: subprocess.Popen[str],
) -> None:
    assert killed.stdin is not None
    assert killed.stdout is not None
    undisturbed = make(rows)
    _finish(engine, target, undisturbed)
    expected = shown.of(undisturbed)
    kills = 0
    for at in range(1, MOST_REQUESTS):
        study = make(rows)
        killed.stdin.write(f"{when} {at}\n")
        killed.stdin.flush()
        if killed.stdout.readline() == "finished\n":
            break
        kills += 1
        _finish(engine, target, study)

        assert shown.of(study) == expected, f"killed {when} request {at}"

    assert 20 < kills < MOST_REQUESTS - 1
    assert expected["models"][0][2] == 2  # ready
    assert [run["outputs"] for _, run in expected["runs"]].count(1) == 1
    assert [version["aliases"] for version in expected["versions"]] == (
        [[("champion", 1)]] if make is finalized_study else []
    )


def _finish(engine: Engine, target: Target, study: int) -> None:
    """Passes until nothing is left; the first may find the study locked by the connection of who was killed."""
    memory, deadline = Memory(), time.monotonic() + 20
    word = "behind"
    while word == "behind" and time.monotonic() < deadline:
        counts = run_once(engine, target, memory)
        assert counts.failures == 0
        with transaction(engine) as connection:
            word = state.of_study(connection, study)
    while run_once(engine, target, memory).did_something:  # figures
        assert time.monotonic() < deadline
    assert word == "idle"
