"""What `tuner trials` and `tuner trial` print of ends, from real rows."""

from __future__ import annotations

from datetime import UTC

import pytest
from rich.console import Console
from sqlalchemy import Engine

from tests.studying import claim, complete, fail, report, submit
from tuner import attempts, show, show_trial, trial_views, views
from tuner.wire_attempts import CompleteBody


@pytest.fixture
def study_id(engine: Engine) -> int:
    """Trial 0 is complete at its second attempt, trial 1 pruned."""
    made = submit(engine, pruner={"name": "threshold", "upper": 1.0}, budget={"trials": 2})
    fail(engine, claim(engine)[0], "device-fatal")
    complete(engine, claim(engine)[0], 0.5)
    bad = claim(engine)[0]
    report(engine, bad, 3, 2.0)
    attempts.complete(engine, bad.attempt_id, CompleteBody(state="pruned", metrics={"y": 2.0}))
    return made


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> Console:
    console = Console(width=200, highlight=False, record=True)
    monkeypatch.setattr(show, "console", console)
    monkeypatch.setattr(show_trial, "console", console)
    return console


def test_the_list_of_trials_says_why_each_ended(engine: Engine, study_id: int, wide: Console) -> None:
    with engine.begin() as connection:
        study = views.study(connection, study_id)
        listed = trial_views.trial_page(connection, study_id, cursor=None, limit=10, state=None).items
    show.trials(study, listed)

    first, second = wide.export_text().splitlines()[1:]
    assert "pruned at step 3, y 2: above the study's upper bound 1" in second
    assert "complete" in first
    assert first.count("complete") == 1  # its state alone tells


def test_one_trial_shows_each_attempt_with_its_end(engine: Engine, study_id: int, wide: Console) -> None:
    with engine.begin() as connection:
        study, trial = views.study(connection, study_id), trial_views.trial(connection, study_id, 0)
    show_trial.trial(study, trial)

    text = wide.export_text()
    started = trial.attempts[0].started_at.astimezone(UTC)
    assert text.startswith(f"trial 0 of {study.name}: complete")
    assert f"{started:%H:%M:%S}Z" in text
    assert "device-fatal: it broke" in text
