"""Tables show names as they are, whatever markup they look like."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tuner import show
from tuner.wire import WorkerOut


def test_a_name_that_looks_like_markup_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime.now(UTC)
    worker = WorkerOut(
        id="w[/x]",
        name="[/bold][red]a",
        version="[/]",
        slots=1,
        devices=["[/]"],
        trainers=[],
        busy=0,
        alive=True,
        started_at=now,
        seen_at=now,
    )

    show.workers([worker])
    show.compare([], title="[/t]")

    shown = capsys.readouterr().out
    for name in ("w[/x]", "[/bold][red]a", "[/t]"):
        assert name in shown
