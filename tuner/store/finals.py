"""Rows of `finals`: a study's final fits, of which one at most is under way, and their attempts."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Double, Row, Select, func, insert, literal, or_, select, text, update

from tuner.domain.states import FinalState
from tuner.store.attempts import until
from tuner.store.studies import change, stood_still
from tuner.store.tables import attempts, finals, reports, studies, trials

FinalRow = Row[Any]

_OPEN = finals.c.state.in_([str(FinalState.WAITING), str(FinalState.RUNNING)])
# with what it is of: `trial_number`, `params` and `trial_metrics`
_columns = (*finals.c, trials.c.number.label("trial_number"), trials.c.params, trials.c.metrics.label("trial_metrics"))


def create(connection: Connection, study_id: int, trial_id: int, epochs: int | None) -> None:
    """A waiting one; the study is locked and has none that is open."""
    before = select(func.coalesce(func.max(finals.c.number), 0)).where(finals.c.study_id == study_id)
    number = connection.execute(before).scalar_one() + 1
    values = {"study_id": study_id, "number": number, "trial_id": trial_id, "epochs": epochs}
    connection.execute(insert(finals).values(**values, state=FinalState.WAITING))


def last(connection: Connection, study_id: int) -> FinalRow | None:
    """The study's newest, with `trial_number` and `params` of the trial whose configuration it is."""
    query = select(*_columns).join(trials, trials.c.id == finals.c.trial_id).where(finals.c.study_id == study_id)
    return connection.execute(query.order_by(finals.c.number.desc()).limit(1)).one_or_none()


def open_of(connection: Connection, study_id: int) -> FinalRow | None:
    """The one that waits or runs, with `attempt_id` of its live attempt, or None."""
    live = select(attempts.c.id).where(attempts.c.final_id == finals.c.id, attempts.c.state == "running")
    query = select(finals, live.scalar_subquery().label("attempt_id")).where(finals.c.study_id == study_id, _OPEN)
    return connection.execute(query).one_or_none()


def of_attempt(connection: Connection, attempt_id: uuid.UUID) -> FinalRow | None:
    """What an attempt is of, as `last` gives it.

    With the attempt's `attempt_state`, `end_reason`, `attempt_error` and `result_digest`.
    """
    query: Select[Any] = (
        select(
            *_columns,
            attempts.c.state.label("attempt_state"),
            attempts.c.end_reason,
            attempts.c.error.label("attempt_error"),
            attempts.c.result_digest,
        )
        .select_from(attempts.join(finals).join(trials, trials.c.id == finals.c.trial_id))
        .where(attempts.c.id == attempt_id)
    )
    return connection.execute(query).one_or_none()


def lock_study(connection: Connection, attempt_id: uuid.UUID) -> Row[Any] | None:
    """The study of a final fit's attempt, locked: its row. None for an attempt of none."""
    query: Select[Any] = select(*studies.c, attempts.c.worker_id, attempts.c.lease_s)
    joined = query.select_from(attempts.join(finals).join(studies)).where(attempts.c.id == attempt_id)
    return connection.execute(joined.with_for_update(of=studies)).one_or_none()


def renew(connection: Connection, attempt_id: uuid.UUID) -> Row[Any] | None:
    """Moves a live attempt's lease forward; None if it is live no more, or of a trial."""
    query = (
        update(attempts)
        .where(attempts.c.id == attempt_id, attempts.c.state == "running", attempts.c.final_id.is_not(None))
        .values(lease_until=until(attempts.c.lease_s))
        .returning(attempts.c.lease_s)
    )
    return connection.execute(query).one_or_none()


def count_ended(connection: Connection, final_id: int, end_reason: str) -> int:
    """How many attempts at a final fit ended for this reason."""
    alike = (attempts.c.final_id == final_id, attempts.c.end_reason == end_reason)
    return int(connection.execute(select(func.count()).select_from(attempts).where(*alike)).scalar_one())


def wait_again(connection: Connection, final_id: int, *, used_attempt: bool) -> None:
    waiting = {"state": FinalState.WAITING, "n_attempts": finals.c.n_attempts + int(used_attempt)}
    connection.execute(update(finals).where(finals.c.id == final_id).values(waiting))


def finish(
    connection: Connection,
    final_id: int,
    state: FinalState,
    *,
    metrics: Mapping[str, float] | None = None,
    error: str | None = None,
) -> None:
    """Ends one; for the search of its study, which is locked, time stood still since it was queued."""
    ended = {
        "state": state,
        "metrics": None if metrics is None else json.dumps(metrics),
        "error": error,
        "finished_at": func.now(),
    }
    query = (
        update(finals).where(finals.c.id == final_id).values(ended).returning(finals.c.study_id, finals.c.created_at)
    )
    final = connection.execute(query).one()
    change(connection, final.study_id, **stood_still(func.now() - final.created_at))


# ---- what is to be fitted --------------------------------------------------------------------------------------------


def best_steps(connection: Connection, trial_id: int, direction: str) -> list[int]:
    """The step of each fold at which the first objective was best; of equals that of least loss, then the first."""
    finite = reports.c.value != literal("NaN", Double)
    query = select(reports.c.fold, reports.c.step, reports.c.value, reports.c.metrics)
    rows = connection.execute(query.where(reports.c.trial_id == trial_id, reports.c.step > 0, finite))
    sign = -1 if direction == "maximize" else 1
    best: dict[int, tuple[float, float, int]] = {}
    for row in rows:
        place = (sign * row.value, json.loads(row.metrics).get("val/loss", math.inf), row.step)
        best[row.fold] = min(place, best.get(row.fold, place))
    return [step for _, _, step in best.values()]


# ---- publishing ------------------------------------------------------------------------------------------------------

unseen = finals.c.published_at.is_(None) & or_(
    finals.c.state == str(FinalState.COMPLETE), finals.c.state == str(FinalState.FAILED)
)


def unpublished(connection: Connection, study_id: int) -> list[FinalRow]:
    """Those that have ended and MLflow does not show; as `last` gives them, with the deciding `attempt_id`."""
    deciding = (
        select(attempts.c.id.label("attempt_id"), attempts.c.worker_id)
        .where(attempts.c.final_id == finals.c.id)
        .order_by((attempts.c.state == "succeeded").desc(), attempts.c.number.desc())
        .limit(1)
        .lateral()
    )
    joined = finals.join(trials, trials.c.id == finals.c.trial_id).outerjoin(deciding, text("true"))
    query = select(*_columns, *deciding.c).select_from(joined).where(finals.c.study_id == study_id, unseen)
    return list(connection.execute(query.order_by(finals.c.number)))


def set_run(connection: Connection, final_id: int, run_id: str) -> bool:
    """Keeps MLflow's run; False where the row is gone or has another."""
    free_or_same = or_(finals.c.run_id.is_(None), finals.c.run_id == run_id)
    kept = update(finals).where(finals.c.id == final_id, free_or_same).values(run_id=run_id)
    return connection.execute(kept).rowcount == 1


def mark_published(connection: Connection, final_id: int, name: str | None, version: str | None) -> None:
    seen = {"published_at": func.now(), "model_name": name, "model_version": version}
    connection.execute(update(finals).where(finals.c.id == final_id).values(seen))
