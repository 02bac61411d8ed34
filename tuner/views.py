"""How studies, trials and workers are shown: rows in, REST bodies out; reads only.

Owns links, progress and cursors.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row

from tuner import specs, view_final
from tuner.domain import ends
from tuner.domain.errors import FieldError, InvalidError, NotFoundError
from tuner.domain.spec import StudySpec
from tuner.sampling import importances, pareto
from tuner.store import attempts, history, studies, trials, workers
from tuner.tracking import state as tracking
from tuner.wire import (
    ArtifactOut,
    AttemptOut,
    Best,
    EndOut,
    HistoryPage,
    HistoryTrial,
    Importances,
    Progress,
    ReportList,
    ReportOut,
    StudyOut,
    StudyPage,
    TrialDetail,
    TrialOut,
    TrialPage,
    WorkerOut,
)

API = "/api/v1"


# ---- studies ---------------------------------------------------------------------------------------------------------


def study(connection: Connection, study_id: int) -> StudyOut:
    """One study.

    Raises:
        NotFoundError: there is none, or it was made by an Optuna script and has no spec to show.
    """
    return _study(connection, _with_spec(connection, study_id))


def study_page(
    connection: Connection, *, cursor: str | None, limit: int, state: str | None, name: str | None, tag: str | None
) -> StudyPage:
    """Studies, newest first; `tag` is key:value, `name` a part of the name."""
    key, colon, value = (tag or "").partition(":")
    if tag is not None and not colon:
        raise InvalidError([FieldError("/tag", "a tag is sought as key:value")])
    rows = studies.page(
        connection,
        before=decode_cursor(cursor),
        limit=limit + 1,
        state=state,
        name=name,
        tag=(key, value) if tag is not None else None,
    )
    items = [_study(connection, row) for row in rows[:limit]]
    return StudyPage(items=items, next_cursor=encode_cursor(rows[limit - 1].id) if len(rows) > limit else None)


def _with_spec(connection: Connection, study_id: int) -> studies.StudyRow:
    row = studies.get(connection, study_id)
    if row.spec is None:
        raise NotFoundError(f"study {study_id} was made by an Optuna script and has no spec: see it in the dashboard")
    return row


def _study(connection: Connection, row: studies.StudyRow) -> StudyOut:
    spec = specs.of(row)
    base = f"{API}/studies/{row.id}"
    return StudyOut(
        id=row.id,
        name=row.name,
        state=row.state,
        end_reason=row.end_reason,
        priority=row.priority,
        max_parallel=row.max_parallel,
        progress=_progress(row),
        best=_best(row, spec),
        final=view_final.final(connection, row.id),
        spec=spec,
        facts=studies.facts(row),
        tracking=tracking.of_study(connection, row.id),
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        links={
            "self": base,
            "trials": f"{base}/trials",
            "best": f"{base}/best",
            "importances": f"{base}/importances",
            "mlflow": f"{base}/mlflow",
            "dashboard": f"/dashboard/studies/{row.id}",
        },
    )


def _progress(row: studies.StudyRow) -> Progress:
    finished = row.n_complete + row.n_pruned + row.n_failed + row.n_cancelled
    elapsed_s = None
    if row.started_at is not None:
        # the database's clock may be ahead of ours
        elapsed_s = max(0.0, ((row.ended_at or _clock(row)) - row.started_at).total_seconds() - row.idle_s)
    return Progress(
        budget=row.budget_trials,
        created=row.n_created,
        waiting=row.n_created - row.n_live - finished,
        running=row.n_live,
        complete=row.n_complete,
        pruned=row.n_pruned,
        failed=row.n_failed,
        cancelled=row.n_cancelled,
        finished=finished,
        budget_hours=row.budget_hours,
        elapsed_s=elapsed_s,
        remaining_s=_remaining_s(row, finished, elapsed_s),
    )


def _remaining_s(row: studies.StudyRow, finished: int, elapsed_s: float | None) -> float | None:
    if row.ended_at is not None:
        return 0.0
    until_deadline = max(0.0, (row.deadline - _clock(row)).total_seconds()) if row.deadline is not None else None
    if row.budget_trials is None or not finished or elapsed_s is None:
        return until_deadline
    by_rate = (row.budget_trials - finished) * elapsed_s / finished
    return float(by_rate) if until_deadline is None else min(by_rate, until_deadline)


def _clock(row: studies.StudyRow) -> datetime:
    """Now; for a paused study, the time at which it was paused."""
    paused_at: datetime | None = row.paused_at
    return paused_at or datetime.now(UTC)


def _best(row: studies.StudyRow, spec: StudySpec) -> Best | None:
    if row.best_number is None or not spec.objectives:
        return None
    objective = spec.objectives[0]
    assert objective.direction is not None
    return Best(number=row.best_number, value=row.best_value, metric=objective.metric, direction=objective.direction)


def importance(connection: Connection, study_id: int, objective: int) -> Importances:
    """Shares of the objective's variance that each parameter explains."""
    row = _with_spec(connection, study_id)
    named = specs.of(row).objectives or []
    if not 0 <= objective < len(named):
        raise InvalidError([FieldError("/objective", f"the study has {len(named)} objectives, counted from 0")])
    shares = importances.importances(connection, study_id, objective)
    return Importances(metric=named[objective].metric, importances=shares)


# ---- trials ----------------------------------------------------------------------------------------------------------


def trial_page(
    connection: Connection, study_id: int, *, cursor: str | None, limit: int, state: str | None
) -> TrialPage:
    """A study's trials in the order of their numbers."""
    studies.get(connection, study_id)
    after = decode_cursor(cursor)
    rows = trials.page(connection, study_id, after=-1 if after is None else after, limit=limit + 1, state=state)
    items = [_trial(row) for row in rows[:limit]]
    return TrialPage(items=items, next_cursor=encode_cursor(rows[limit - 1].number) if len(rows) > limit else None)


def history_page(connection: Connection, study_id: int, *, cursor: str | None, limit: int) -> HistoryPage:
    """A study's finished trials with their curves, as they travel."""
    studies.get(connection, study_id)
    after = decode_cursor(cursor)
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
    return HistoryPage(items=items, next_cursor=encode_cursor(rows[limit - 1].number) if len(rows) > limit else None)


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
    row = _with_spec(connection, study_id)
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
    after = None if cursor is None else _decode_place(cursor)
    rows = trials.reports_of(connection, row.id, after=after, limit=limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    return ReportList(
        items=[_report(each) for each in rows[:limit]],
        next_cursor=None if last is None else _encode(f"{last.fold}:{last.step}"),
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


# ---- workers ---------------------------------------------------------------------------------------------------------


def listed_workers(connection: Connection) -> list[WorkerOut]:
    return [
        WorkerOut(
            id=row.id,
            name=row.name,
            version=row.version,
            slots=row.slots,
            devices=json.loads(row.devices),
            trainers=json.loads(row.trainers),
            busy=row.busy,
            alive=row.alive,
            started_at=row.started_at,
            seen_at=row.seen_at,
        )
        for row in workers.listed(connection)
    ]


# ---- cursors ---------------------------------------------------------------------------------------------------------


NO_CURSOR = FieldError("/cursor", "not a cursor of ours: take next_cursor of the last page")


def encode_cursor(position: int) -> str:
    return _encode(str(position))


def decode_cursor(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    (position,) = _decode(cursor, 1)
    if not -(2**31) < position < 2**31:
        raise InvalidError([NO_CURSOR])
    return position


def _decode_place(cursor: str) -> tuple[int, int]:
    fold, step = _decode(cursor, 2)
    if not 0 <= fold < 2**31 or not -(2**63) <= step < 2**63:
        raise InvalidError([NO_CURSOR])
    return fold, step


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


def _decode(cursor: str, count: int) -> list[int]:
    try:
        numbers = [int(part) for part in base64.urlsafe_b64decode(cursor.encode()).decode().split(":")]
    except (ValueError, binascii.Error):
        numbers = []
    if len(numbers) != count:
        raise InvalidError([NO_CURSOR])
    return numbers
