"""Trials as Optuna reads and writes them: rows with curves, attributes, and what its storage interface needs.

Owns every statement that `tuner.sampling` runs over `studies`, `trials` and `reports`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, get_args

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Row,
    Select,
    String,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, DOUBLE_PRECISION, aggregate_order_by
from sqlalchemy.dialects.postgresql import insert as upsert

from tuner.store.tables import attempts, reports, studies, trials

HistoryRow = Row[Any]
# every step of finished trials, only the last one of pruned trials, or every step of unfinished trials too
Curves = Literal["all", "last", "live"]

_ASK_LOCK = 0x61736B  # "ask", the first of an advisory lock's two keys
_UNFINISHED = ("waiting", "running")

_TRIAL = (
    trials.c.id,
    trials.c.study_id,
    trials.c.number,
    trials.c.state,
    trials.c.params,
    trials.c.distributions,
    trials.c.user_attrs,
    trials.c.system_attrs,
    trials.c.objective_values,
    trials.c.started_at,
    trials.c.finished_at,
    trials.c.finish_seq,
)


def _aggregated(column: ColumnElement[Any], *, last: bool) -> ColumnElement[Any]:
    order = reports.c.pruner_step.desc() if last else reports.c.pruner_step
    array = func.array_agg(aggregate_order_by(column, order))
    shown = select(array[1:1] if last else array).where(
        reports.c.trial_id == trials.c.id, reports.c.pruner_step.is_not(None)
    )
    return shown.scalar_subquery()


def _curve(curves: Curves | None) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """The columns `steps` and `values`, NULL where nothing is shown."""
    steps: ColumnElement[Any] = cast(null(), ARRAY(BIGINT))
    values: ColumnElement[Any] = cast(null(), ARRAY(DOUBLE_PRECISION))
    if curves in {"all", "live"}:
        steps, values = _aggregated(reports.c.pruner_step, last=False), _aggregated(reports.c.value, last=False)
    elif curves == "last":
        pruned = trials.c.state == "pruned"
        steps = case((pruned, _aggregated(reports.c.pruner_step, last=True)))
        values = case((pruned, _aggregated(reports.c.value, last=True)))
    return steps.label("steps"), values.label("step_values")


def _trials(curves: Curves | None) -> Select[Any]:
    return select(*_TRIAL, *_curve(curves))


def _finished_since(curves: Curves) -> CompoundSelect[Any]:
    of_study = trials.c.study_id == bindparam("study_id")
    finished = _trials(curves).where(of_study, trials.c.finish_seq > bindparam("finish_seq"))
    unfinished = _trials("live" if curves == "live" else None).where(of_study, trials.c.state.in_(_UNFINISHED))
    return union_all(finished, unfinished)


# Built once: putting these together costs as much as running them
_BY_ID = {curves: _trials(curves).where(trials.c.id == bindparam("trial_id")) for curves in (None, *get_args(Curves))}
_SINCE = {curves: _finished_since(curves) for curves in get_args(Curves)}


def finished_since(connection: Connection, study_id: int, finish_seq: int, curves: Curves) -> list[HistoryRow]:
    """In one statement: trials that finished after `finish_seq`, and all unfinished ones."""
    return list(connection.execute(_SINCE[curves], {"study_id": study_id, "finish_seq": finish_seq}))


def trial(connection: Connection, trial_id: int, *, curves: Curves | None = None) -> HistoryRow | None:
    return connection.execute(_BY_ID[curves], {"trial_id": trial_id}).one_or_none()


def all_trials(connection: Connection, study_id: int, states: Collection[str] | None = None) -> list[HistoryRow]:
    """Every trial with its whole curve, by number."""
    query = _trials("all").where(trials.c.study_id == study_id)
    if states is not None:
        query = query.where(trials.c.state.in_(states))
    return list(connection.execute(query.order_by(trials.c.number)))


def page(connection: Connection, study_id: int, *, after: int, limit: int) -> list[HistoryRow]:
    """Finished trials with their whole curves and numbers above `after`, ascending."""
    query = _trials("all").where(
        trials.c.study_id == study_id, trials.c.number > after, trials.c.state.not_in(_UNFINISHED)
    )
    return list(connection.execute(query.order_by(trials.c.number).limit(limit)))


def all_studies(connection: Connection) -> list[Row[Any]]:
    return list(connection.execute(select(studies).order_by(studies.c.id)))


def study(connection: Connection, study_id: int) -> Row[Any] | None:
    return connection.execute(select(studies).where(studies.c.id == study_id)).one_or_none()


def results(connection: Connection, study_id: int, finish_seq: int) -> list[Row[Any]]:
    """What a trial's row and its last attempt tell beyond Optuna's view; finished after `finish_seq` or unfinished."""
    last = select(attempts.c.worker_id).where(attempts.c.trial_id == trials.c.id)
    worker = last.order_by(attempts.c.number.desc()).limit(1).scalar_subquery().label("worker_id")
    columns = (trials.c.id, trials.c.state, trials.c.end_reason, trials.c.best_step, trials.c.metrics, worker)
    fresh = or_(trials.c.finish_seq > finish_seq, trials.c.state.in_(_UNFINISHED))
    return list(connection.execute(select(*columns).where(trials.c.study_id == study_id, fresh)))


def lock_asks(connection: Connection, study_id: int) -> None:
    """Makes asks of one study go one after the other, each with the points of those before it in sight.

    Not the study's row: claims and finished trials should not wait for a sampler.
    """
    connection.execute(select(func.pg_advisory_xact_lock(_ASK_LOCK, study_id % 2**31)))


def allow_idle(connection: Connection) -> None:
    """Lets this transaction wait as long as a slow sampler takes; the server would end its session after a minute."""
    connection.execute(text("set local idle_in_transaction_session_timeout = 0"))


def study_attrs(connection: Connection, study_id: int) -> str:
    return str(connection.execute(select(studies.c.system_attrs).where(studies.c.id == study_id)).scalar_one())


def change_study_attrs(connection: Connection, study_id: int, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrites a study's system attributes with its row locked, so that no concurrent change is lost."""
    _change_attrs(connection, study_id, studies.c.system_attrs, change)


def change_study_user_attrs(connection: Connection, study_id: int, change: Callable[[dict[str, Any]], None]) -> None:
    _change_attrs(connection, study_id, studies.c.user_attrs, change)


def _change_attrs(
    connection: Connection, study_id: int, column: ColumnElement[str], change: Callable[[dict[str, Any]], None]
) -> None:
    found = connection.execute(select(column).where(studies.c.id == study_id).with_for_update()).scalar_one_or_none()
    if found is None:
        raise KeyError(f"there is no study {study_id}")
    attrs = json.loads(found)
    change(attrs)
    connection.execute(update(studies).where(studies.c.id == study_id).values({column: json.dumps(attrs)}))


def change_trial_attrs(connection: Connection, trial_id: int, changes: Mapping[str, Any]) -> None:
    """Adds to a trial's system attributes."""
    query = select(trials.c.system_attrs).where(trials.c.id == trial_id).with_for_update()
    attrs = json.loads(connection.execute(query).scalar_one()) | dict(changes)
    set_trial(connection, trial_id, system_attrs=json.dumps(attrs))


def insert_trial(connection: Connection, study_id: int, number: int, values: Mapping[str, Any]) -> int:
    """Inserts a waiting trial and counts it; the caller holds the study's lock."""
    row = {"study_id": study_id, "number": number, "state": "waiting", **values}
    trial_id = connection.execute(insert(trials).values(**row).returning(trials.c.id)).scalar_one()
    connection.execute(update(studies).where(studies.c.id == study_id).values(n_created=number + 1))
    return int(trial_id)


def lock_trial(connection: Connection, trial_id: int) -> HistoryRow | None:
    return connection.execute(_trials(None).where(trials.c.id == trial_id).with_for_update()).one_or_none()


def set_trial(connection: Connection, trial_id: int, **values: Any) -> None:
    connection.execute(update(trials).where(trials.c.id == trial_id).values(**values))


def distributions_naming(connection: Connection, study_id: int, name: str) -> list[str]:
    """Distribution texts of the study that contain the quoted name; JSON with NaN rules out JSON operators."""
    quoted = literal(json.dumps(name), String)
    query = (
        select(trials.c.distributions)
        .distinct()
        .where(trials.c.study_id == study_id, func.strpos(trials.c.distributions, quoted) > 0)
    )
    return list(connection.execute(query).scalars())


def put_report(connection: Connection, trial_id: int, step: int, value: float) -> None:
    """Stores an intermediate value as Optuna does: the last one for a step stands."""
    row = {"trial_id": trial_id, "fold": 0, "step": step, "pruner_step": step, "value": value}
    key = [reports.c.trial_id, reports.c.fold, reports.c.step]
    connection.execute(upsert(reports).values(**row).on_conflict_do_update(index_elements=key, set_=row))
