"""How trials, their attempts and reports are shown: rows in, REST bodies out; reads only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from tuner import cursors, specs
from tuner.domain import ends
from tuner.sampling import pareto
from tuner.store import attempts, history, studies, trials
from tuner.wire import (
    API,
    ArtifactOut,
    AttemptOut,
    EndOut,
    HistoryPage,
    HistoryTrial,
    ReportList,
    ReportOut,
    TrialDetail,
    TrialOut,
    TrialPage,
)


def trial_page(
    connection: Connection, study_id: int, *, cursor: str | None, limit: int, state: str | None
) -> TrialPage:
    """A study's trials in the order of their numbers."""
    studies.get(connection, study_id)
    after = cursors.decode_cursor(cursor)
    rows = trials.page(connection, study_id, after=-1 if after is None else after, limit=limit + 1, state=state)
    items = [_trial(row) for row in rows[:limit]]
    return TrialPage(
        items=items, next_cursor=cursors.encode_cursor(rows[limit - 1].number) if len(rows) > limit else None
    )


def history_page(connection: Connection, study_id: int, *, cursor: str | None, limit: int) -> HistoryPage:
    """A study's finished trials with their curves, as they travel."""
    studies.get(connection, study_id)
    after = cursors.decode_cursor(cursor)
    rows = history.page(connection, study_id, after=-1 if after is None else after, limit=limit + 1)
    items = [
        HistoryTrial(
            number=row.number,
            state=row.state,
            params=json.loads(row.params),
            distributions=json.loads(row.distributions),
            values=row.objective_values,
            intermediate_values=list(zip(row.steps or (), row.step_values or (), strict=True)),
            started_at=row.started_at,
            finished_at=row.finished_at,
        )
        for row in rows[:limit]
    ]
    return HistoryPage(
        items=items, next_cursor=cursors.encode_cursor(rows[limit - 1].number) if len(rows) > limit else None
    )


def trial(connection: Connection, study_id: int, number: int) -> TrialDetail:
    """One trial with its attempts."""
    row = trials.get(connection, study_id, number)
    held = [_attempt(attempt) for attempt in attempts.of_trial(connection, row.id)]
    shown = _trial(row)
    return TrialDetail(
        **shown.model_dump(), distributions=json.loads(row.distributions), attempts=held, run_id=row.run_id
    )


def _attempt(row: attempts.AttemptRow) -> AttemptOut:
    return AttemptOut(
        id=row.id,
        number=row.number,
        state=row.state,
        worker_id=row.worker_id,
        started_at=row.started_at,
        ended_at=row.ended_at,
        end_reason=row.end_reason,
        end=_end(row),
        error=row.error,
        resumed_from_step=row.resumed_from_step,
    )


def _end(row: Any) -> EndOut | None:
    """Of a trial or an attempt; a running one may know already why it is to be pruned, and has not ended."""
    if row.end_reason is None:
        return None
    detail = ends.read(row.end_detail)
    return EndOut(reason=row.end_reason, text=ends.line(row.end_reason, detail, row.error), **dict(detail))


def trial_id(connection: Connection, study_id: int, number: int) -> int:
    """The id of a trial's row.

    Raises:
        NotFoundError: there is no such trial.
    """
    return int(trials.get(connection, study_id, number).id)


def best(connection: Connection, study_id: int) -> list[TrialOut]:
    """The best trial, or for several objectives the Pareto front; empty before any trial is complete."""
    row = specs.with_spec(connection, study_id)
    if len(specs.of(row).objectives or []) > 1:
        numbers: Sequence[int] = pareto.pareto(connection, study_id)
    else:
        numbers = [] if row.best_number is None else [row.best_number]
    return [_trial(each) for each in trials.numbered(connection, study_id, numbers)]


def _trial(row: trials.TrialRow) -> TrialOut:
    base = f"{API}/studies/{row.study_id}/trials/{row.number}"
    duration_s = None
    if row.started_at is not None and row.finished_at is not None:
        duration_s = (row.finished_at - row.started_at).total_seconds()
    return TrialOut(
        number=row.number,
        state=row.state,
        end_reason=row.end_reason,
        end=_end(row),
        params=json.loads(row.params),
        values=row.objective_values,
        metrics=None if row.metrics is None else json.loads(row.metrics),
        best_step=row.best_step,
        retry_of=row.retry_of_number,
        error=row.error,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        duration_s=duration_s,
        model_uri=None if row.model_id is None else f"models:/{row.model_id}",
        links={
            "self": base,
            "reports": f"{base}/reports",
            "logs": f"{base}/logs",
            "artifacts": f"{base}/artifacts",
            "mlflow": f"{base}/mlflow",
        },
    )


def reports(connection: Connection, study_id: int, number: int) -> list[ReportOut]:
    """Every report of a trial, by fold and step."""
    row = trials.get(connection, study_id, number)
    return [_report(each) for each in trials.reports_of(connection, row.id)]


def report_page(connection: Connection, study_id: int, number: int, *, cursor: str | None, limit: int) -> ReportList:
    """A page of them: a trial may have very many, each with many metrics."""
    row = trials.get(connection, study_id, number)
    after = None if cursor is None else cursors.decode_place(cursor)
    rows = trials.reports_of(connection, row.id, after=after, limit=limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    return ReportList(
        items=[_report(each) for each in rows[:limit]],
        next_cursor=None if last is None else cursors.encode_place(last.fold, last.step),
    )


def _report(row: Row[Any]) -> ReportOut:
    return ReportOut(
        fold=row.fold,
        step=row.step,
        value=row.value,
        metrics=json.loads(row.metrics),
        reported_at=row.reported_at,
    )


def artifacts(connection: Connection, study_id: int, number: int) -> list[ArtifactOut]:
    row = trials.get(connection, study_id, number)
    return [ArtifactOut.model_validate(each) for each in attempts.artifacts_of_trial(connection, row.id)]
