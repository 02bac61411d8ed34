"""SQL of publishing: what MLflow does not show yet, who publishes a study, and what was published.

Owns the marks `experiment_id`, `run_id`, `published`, `published_at` and `figures_at`, and the locks under which they change.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    and_,
    delete,
    exists,
    func,
    or_,
    select,
    text,
    tuple_,
    update,
)

from tuner.domain.states import FINISHED, TrialState
from tuner.store.database import transaction
from tuner.store.finals import unseen as final_unseen
from tuner.store.migrate import migration_lock
from tuner.store.tables import artifacts, attempts, discards, finals, reports, studies, trials

WANTED = datetime(1970, 1, 1, tzinfo=UTC)  # in `figures_at`: somebody asked for them, so they come first
LOCK_CLASS = 0x7075626C  # "publ", the first half of the advisory locks' keys

_finished = trials.c.state.in_([str(state) for state in sorted(FINISHED)])
_live = trials.c.state.in_([str(TrialState.WAITING), str(TrialState.RUNNING)])  # so written, it has an index
_unsent_reports = exists().where(reports.c.trial_id == trials.c.id, ~reports.c.published)
# `published_at is null` goes without saying of a live trial, and lets PostgreSQL use the index of the unpublished
_end_unseen = and_(trials.c.published_at.is_(None), _finished)
_start_unseen = and_(trials.c.published_at.is_(None), trials.c.state == TrialState.RUNNING, trials.c.run_id.is_(None))
_live_unseen = and_(trials.c.published_at.is_(None), _live, or_(_start_unseen, _unsent_reports))


@contextmanager
def mlflow_schema(engine: Engine) -> Iterator[None]:
    """Makes sure of the schema `mlflow`, and holds the migrations' lock while MLflow changes its tables there."""
    with migration_lock(engine) as connection:
        connection.execute(text("create schema if not exists mlflow"))
    with migration_lock(engine) as connection:
        # this connection idles while MLflow works over its own
        connection.execute(text("set local idle_in_transaction_session_timeout = 0"))
        yield


class Holder:
    """The studies that one pass publishes, locked against other passes until its transaction ends.

    PostgreSQL ends a session that idles in a transaction for a minute (see `database.connect`): so a process that was
    stopped loses its locks, and learns it from `check` before it writes to MLflow again.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._one_at_a_time = threading.Lock()  # a connection is not for two threads

    def take(self, study_id: int) -> bool:
        """Whether the study is ours; False while another pass has it."""
        taking = select(func.pg_try_advisory_xact_lock(LOCK_CLASS, study_id % 2**31))
        with self._one_at_a_time:
            return bool(self._connection.execute(taking).scalar_one())

    def check(self) -> None:
        """Raises an OperationalError where the locks are lost."""
        with self._one_at_a_time:
            self._connection.execute(select(1))


@contextmanager
def holding(engine: Engine) -> Iterator[Holder]:
    with transaction(engine) as connection:
        yield Holder(connection)


# ---- what is due -----------------------------------------------------------------------------------------------------


def _study_unseen() -> ColumnElement[bool]:
    seen, ended = studies.c.published_at.is_not(None), studies.c.ended_at.is_not(None)
    final_is_unseen = exists().where(finals.c.study_id == studies.c.id, final_unseen)
    # the third: it was extended, or is to have its final model
    return or_(studies.c.parent_run_id.is_(None), and_(ended, ~seen), and_(~ended, seen), final_is_unseen)


def studies_due(connection: Connection, *, after: int, but: Collection[int], limit: int) -> list[int]:
    """Ids of studies of which something is unpublished, going round from the id `after`."""
    unseen = and_(trials.c.published_at.is_(None), or_(_end_unseen, _live_unseen))
    trial_unseen = exists().where(trials.c.study_id == studies.c.id, unseen)
    query = (
        select(studies.c.id)
        .where(studies.c.spec.is_not(None), or_(_study_unseen(), trial_unseen), studies.c.id.not_in(but))
        .order_by(studies.c.id <= after, studies.c.id)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def study(connection: Connection, study_id: int) -> Row[Any] | None:
    return connection.execute(select(studies).where(studies.c.id == study_id)).one_or_none()


def trials_due(connection: Connection, study_id: int, *, but: Collection[int], limit: int) -> list[Row[Any]]:
    """Trials with something unpublished: up to `limit` finished ones by the order of their ends, and as many live ones."""
    found: list[Row[Any]] = []
    for due in (_end_unseen, _live_unseen):
        query = _with_attempt().where(trials.c.study_id == study_id, due, trials.c.id.not_in(but))
        found += connection.execute(query.order_by(trials.c.finish_seq, trials.c.number).limit(limit))
    return found


def trial(connection: Connection, study_id: int, number: int) -> Row[Any] | None:
    query = _with_attempt().where(trials.c.study_id == study_id, trials.c.number == number)
    return connection.execute(query).one_or_none()


def _with_attempt() -> Any:
    """Trials with `experiment_id` and `retry_of_number`, and `attempt_id`, `attempt_number`, `worker_id`.

    These are of the accepted attempt, or else of the last one.
    """
    failed = trials.alias("failed")
    retry_of = select(failed.c.number).where(failed.c.id == trials.c.retry_of).scalar_subquery()
    last = (
        select(attempts.c.id.label("attempt_id"), attempts.c.number.label("attempt_number"), attempts.c.worker_id)
        .where(attempts.c.trial_id == trials.c.id)
        .order_by((attempts.c.state == "succeeded").desc(), attempts.c.number.desc())
        .limit(1)
        .lateral()
    )
    joined = trials.join(studies).outerjoin(last, text("true"))
    return select(trials, retry_of.label("retry_of_number"), studies.c.experiment_id, *last.c).select_from(joined)


def first_complete(connection: Connection, study_id: int) -> int | None:
    """The id of the trial that completed first."""
    complete = select(trials.c.id).where(trials.c.study_id == study_id, trials.c.state == TrialState.COMPLETE)
    return connection.execute(complete.order_by(trials.c.finish_seq).limit(1)).scalar_one_or_none()


def live_trials(connection: Connection) -> list[Row[Any]]:
    """Trials that have not ended and have a run, for its status."""
    query = select(trials.c.id, trials.c.study_id, trials.c.state, trials.c.run_id)
    return list(connection.execute(query.where(_live, trials.c.run_id.is_not(None))))


def reports_due(connection: Connection, trial_ids: Collection[int], *, limit: int) -> dict[int, list[Row[Any]]]:
    """Unpublished reports by trial, up to `limit` each, in the order in which they were made."""
    place = func.row_number().over(partition_by=reports.c.trial_id, order_by=(reports.c.fold, reports.c.step))
    due = (
        select(reports, place.label("place")).where(reports.c.trial_id.in_(trial_ids), ~reports.c.published).subquery()
    )
    found: dict[int, list[Row[Any]]] = {trial_id: [] for trial_id in trial_ids}
    for row in connection.execute(select(due).where(due.c.place <= limit).order_by(due.c.trial_id, due.c.place)):
        found[row.trial_id].append(row)
    return found


def files(connection: Connection, attempt_ids: Collection[Any]) -> dict[Any, list[str]]:
    """Paths of uploaded files by attempt."""
    query = select(artifacts.c.attempt_id, artifacts.c.path).where(artifacts.c.attempt_id.in_(attempt_ids))
    found: dict[Any, list[str]] = {}
    for attempt_id, path in connection.execute(query.order_by(artifacts.c.path)):
        found.setdefault(attempt_id, []).append(path)
    return found


def unpublished(connection: Connection, study_id: int) -> Any:
    """How much of a study MLflow does not show: `reports`, `trials`, and whether its own state is missing (`study`)."""
    of_study = trials.c.study_id == study_id
    return connection.execute(
        select(
            select(func.count())
            .select_from(reports.join(trials))
            .where(of_study, ~reports.c.published)
            .scalar_subquery()
            .label("reports"),
            select(func.count())
            .select_from(trials)
            .where(of_study, or_(_end_unseen, _start_unseen))
            .scalar_subquery()
            .label("trials"),
            select(exists().where(studies.c.id == study_id, studies.c.spec.is_not(None), _study_unseen()))
            .scalar_subquery()
            .label("study"),
        )
    ).one()


# ---- what was published ----------------------------------------------------------------------------------------------


def set_experiment(connection: Connection, study_id: int, experiment_id: str) -> bool:
    """Keeps the experiment's id; False where the study is gone or has another."""
    return _set_once(connection, studies, study_id, "experiment_id", experiment_id)


def set_parent_run(connection: Connection, study_id: int, run_id: str) -> bool:
    return _set_once(connection, studies, study_id, "parent_run_id", run_id)


def set_run(connection: Connection, trial_id: int, run_id: str) -> bool:
    return _set_once(connection, trials, trial_id, "run_id", run_id)


def _set_once(connection: Connection, table: Any, row_id: int, column: str, value: str) -> bool:
    free_or_same = or_(table.c[column].is_(None), table.c[column] == value)
    written = connection.execute(update(table).where(table.c.id == row_id, free_or_same).values({column: value}))
    return written.rowcount == 1


def mark_reports(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    keys = [(row.trial_id, row.fold, row.step) for row in rows]
    if keys:
        key = tuple_(reports.c.trial_id, reports.c.fold, reports.c.step)
        connection.execute(update(reports).where(key.in_(keys)).values(published=True))


def mark_trial(connection: Connection, trial_id: int, *, has_figures: bool, model_id: str | None) -> None:
    """Everything of a finished trial is in MLflow; a trial without numbers for figures counts as drawn."""
    drawn = trials.c.figures_at if has_figures else func.coalesce(trials.c.figures_at, func.now())
    seen = update(trials).where(trials.c.id == trial_id)
    connection.execute(seen.values(published_at=func.now(), figures_at=drawn, model_id=model_id))


def mark_study(connection: Connection, study_id: int, *, ended: bool) -> None:
    """The study's end, or that it goes on after all, is in MLflow."""
    written = update(studies).where(studies.c.id == study_id, studies.c.ended_at.is_not(None) == ended)
    connection.execute(written.values(published_at=func.now() if ended else None))


# ---- figures and discards --------------------------------------------------------------------------------------------

_drawable = and_(
    trials.c.state == TrialState.COMPLETE,
    trials.c.published_at.is_not(None),
    or_(trials.c.figures_at.is_(None), trials.c.figures_at == WANTED),
)


def want_figures(connection: Connection, trial_id: int) -> None:
    """Puts a trial's figures to the front of the queue, unless they are drawn."""
    undrawn = and_(trials.c.id == trial_id, trials.c.figures_at.is_(None))
    connection.execute(update(trials).where(undrawn).values(figures_at=WANTED))


def figures_due(connection: Connection, *, best_of: Collection[int], limit: int, others: bool) -> list[Row[Any]]:
    """Trials without figures: those asked for, then the ten best of the studies `best_of`, then the others if wished."""
    wanted = select(trials.c.id).where(_drawable, trials.c.figures_at == WANTED).limit(limit)
    ids = list(connection.execute(wanted).scalars())
    for study_id in best_of:
        best = select(trials.c.id).where(trials.c.id.in_(_ten_best(connection, study_id)), _drawable)
        ids += connection.execute(best.limit(limit)).scalars()
    if others and not ids:
        ids += connection.execute(select(trials.c.id).where(_drawable).order_by(trials.c.id).limit(limit)).scalars()
    first = list(dict.fromkeys(ids))[:limit]
    return list(connection.execute(_with_attempt().where(trials.c.id.in_(first)))) if first else []


def _ten_best(connection: Connection, study_id: int) -> list[int]:
    """By the first objective."""
    first = trials.c.objective_values[1]
    directions = select(studies.c.directions[1]).where(studies.c.id == study_id)
    best_first = first.desc() if connection.execute(directions).scalar() == "maximize" else first
    complete = select(trials.c.id).where(trials.c.study_id == study_id, trials.c.state == TrialState.COMPLETE)
    return list(connection.execute(complete.order_by(best_first, trials.c.number).limit(10)).scalars())


def mark_figures(connection: Connection, trial_id: int) -> None:
    connection.execute(update(trials).where(trials.c.id == trial_id).values(figures_at=func.now()))


def discarded(connection: Connection, *, limit: int) -> list[Row[Any]]:
    return list(connection.execute(select(discards).order_by(discards.c.id).limit(limit)))


def discard(connection: Connection, experiment_id: str) -> None:
    """Leaves an experiment to be deleted."""
    connection.execute(discards.insert().values(kind="experiment", ref=experiment_id))


def forget(connection: Connection, discard_id: int) -> None:
    connection.execute(delete(discards).where(discards.c.id == discard_id))
