"""How studies and workers are shown: rows in, REST bodies out; reads only. Owns links and progress."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from sqlalchemy import Connection

from tuner import cursors, specs, view_final
from tuner.domain.errors import FieldError, InvalidError
from tuner.domain.spec import StudySpec
from tuner.sampling import importances
from tuner.store import studies, workers
from tuner.tracking import state as tracking
from tuner.wire import API, Best, FinalOut, Importances, Progress, StudyOut, StudyPage, WorkerOut


def study(connection: Connection, study_id: int) -> StudyOut:
    """One study.

    Raises:
        NotFoundError: there is none, or it was made by an Optuna script and has no spec to show.
    """
    return _study(connection, specs.with_spec(connection, study_id))


def study_page(
    connection: Connection, *, cursor: str | None, limit: int, state: str | None, name: str | None, tag: str | None
) -> StudyPage:
    """Studies, newest first; `tag` is key:value, `name` a part of the name."""
    key, colon, value = (tag or "").partition(":")
    if tag is not None and not colon:
        raise InvalidError([FieldError("/tag", "a tag is sought as key:value")])
    rows = studies.page(
        connection,
        before=cursors.decode_cursor(cursor),
        limit=limit + 1,
        state=state,
        name=name,
        tag=(key, value) if tag is not None else None,
    )
    items = [_study(connection, row) for row in rows[:limit]]
    return StudyPage(items=items, next_cursor=cursors.encode_cursor(rows[limit - 1].id) if len(rows) > limit else None)


def _study(connection: Connection, row: studies.StudyRow) -> StudyOut:
    spec, final = specs.of(row), view_final.final(connection, row.id)
    base = f"{API}/studies/{row.id}"
    return StudyOut(
        id=row.id,
        name=row.name,
        state=row.state,
        end_reason=row.end_reason,
        priority=row.priority,
        max_parallel=row.max_parallel,
        progress=_progress(row, final),
        best=_best(row, spec),
        final=final,
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


def _progress(row: studies.StudyRow, final: FinalOut | None) -> Progress:
    finished = row.n_complete + row.n_pruned + row.n_failed + row.n_cancelled
    elapsed_s = None
    if row.started_at is not None:
        # the database's clock may be ahead of ours
        fits_since = final.created_at if final is not None and final.finished_at is None else None
        until = fits_since or row.ended_at or _clock(row)
        elapsed_s = max(0.0, (until - row.started_at).total_seconds() - row.idle_s)
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
    row = specs.with_spec(connection, study_id)
    named = specs.of(row).objectives or []
    if not 0 <= objective < len(named):
        raise InvalidError([FieldError("/objective", f"the study has {len(named)} objectives, counted from 0")])
    shares = importances.importances(connection, study_id, objective)
    return Importances(metric=named[objective].metric, importances=shares)


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
