"""What people see of one trial on a terminal: what it was, and why it and each attempt at it ended."""

from __future__ import annotations

from rich.text import Text

from tuner.show import console, duration, new_table, shown_value, with_spread
from tuner.wire import AttemptOut, StudyOut, TrialDetail


def trial(study: StudyOut, shown: TrialDetail) -> None:
    console.print(Text(f"trial {shown.number} of {study.name}: {shown.end.text if shown.end else shown.state}"))
    table = new_table("", "")
    for name, value in {**study.spec.fixed, **shown.params}.items():
        table.add_row(name, shown_value(value))
    table.add_section()
    for name, text in with_spread(shown.metrics or {}).items():
        table.add_row(name, text)
    console.print(table)
    if shown.attempts:
        _attempts(shown.attempts)
    if shown.error:
        console.print(Text(shown.error))


def _attempts(held: list[AttemptOut]) -> None:
    table = new_table("attempt", "worker", "started", "took", "end")
    for attempt in held:
        took = "" if attempt.ended_at is None else duration((attempt.ended_at - attempt.started_at).total_seconds())
        end = attempt.state if attempt.end is None else attempt.end.text
        table.add_row(
            str(attempt.number), attempt.worker_id, f"{attempt.started_at:%Y-%m-%d %H:%M:%S}Z", took, Text(end)
        )
    console.print(table)
