"""Claiming in few round trips: what there is to claim, and taking the next trial of a locked study.

Owns the statements that every claim of every worker goes through, hence written out, one round trip each.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row

from tuner.store.prepared import Prepared
from tuner.store.tables import studies

# This commit need not wait for the disk. Should PostgreSQL crash just then, the claim never was: its worker is refused as
# stale, and the trial is claimed anew. Whatever a worker sends later is flushed with its claim before it is acknowledged.
UNHURRIED = "set_config('synchronous_commit', 'off', true)"

# states, spec, hours, parallelism and budget leave room for another trial
_HAS_WORK = """
    s.state in ('queued', 'running') and s.spec is not null
    and (s.deadline is null or s.deadline > now())
    and (s.max_parallel is null or s.n_live < s.max_parallel)
    and (
        s.budget_trials is null or s.n_created < s.budget_trials
        or s.n_created > s.n_live + s.n_complete + s.n_pruned + s.n_failed + s.n_cancelled
    )
"""

_LOOK = Prepared(
    "claim_look",
    f"""
    select
        (select left_at is not null from tuner.workers where id = :worker_id) as has_left,
        (
            select array_agg(id) from tuner.attempts
            where worker_id = :worker_id and request_id = :request_id and state = 'running'
        ) as held,
        (
            select s.id from tuner.studies s
            where {_HAS_WORK} and case when :study_id is null then s.trainer = any(:trainers) else s.id = :study_id end
            order by s.priority desc, s.n_live, s.id limit 1
        ) as study_id
    """,  # noqa: S608 - a constant of ours
    worker_id="text",
    request_id="text",
    trainers="text[]",
    study_id="bigint",
)

_LOCK = Prepared(
    "claim_lock",
    f"""
    select {", ".join(f"s.{column.name}" for column in studies.c)} from tuner.studies s
    where s.id = :study_id and {_HAS_WORK} for update
    """,  # noqa: S608 - constants of ours
    study_id="bigint",
)

_HOLD_NEXT = Prepared(
    "claim_hold_next",
    f"""
    with trial as (
        insert into tuner.trials (study_id, number, state) values (:study_id, :number, 'waiting') returning id
    ), attempt as (
        insert into tuner.attempts (id, trial_id, number, state, worker_id, request_id, lease_s, lease_until)
        select :attempt_id, id, 1, 'running', :worker_id, :request_id, :lease_s,
               clock_timestamp() + make_interval(secs => :lease_s)
        from trial
    ), study as (
        update tuner.studies set
            n_created = n_created + 1, n_live = n_live + 1, state = 'running',
            started_at = coalesce(started_at, now()),
            deadline = coalesce(deadline, now() + make_interval(secs => :hours * 3600))
        where id = :study_id
    )
    select id, {UNHURRIED} from trial
    """,  # noqa: S608 - a constant of ours
    study_id="bigint",
    number="integer",
    attempt_id="uuid",
    worker_id="text",
    request_id="text",
    lease_s="double precision",
    hours="double precision",
)

_HOLD_WAITING = Prepared(
    "claim_hold_waiting",
    """
    with attempt as (
        insert into tuner.attempts (id, trial_id, number, state, worker_id, request_id, lease_s, lease_until)
        select :attempt_id, :trial_id, coalesce(max(number), 0) + 1, 'running', :worker_id, :request_id, :lease_s,
               clock_timestamp() + make_interval(secs => :lease_s)
        from tuner.attempts where trial_id = :trial_id
    )
    update tuner.studies set
        n_live = n_live + 1, state = 'running', started_at = coalesce(started_at, now()),
        deadline = coalesce(deadline, now() + make_interval(secs => :hours * 3600))
    where id = :study_id
    """,
    study_id="bigint",
    trial_id="bigint",
    attempt_id="uuid",
    worker_id="text",
    request_id="text",
    lease_s="double precision",
    hours="double precision",
)


@dataclass(frozen=True)
class Terms:
    """Of a new attempt: whose it is, for how long without a word, and how many hours its study has in all."""

    worker_id: str
    request_id: str
    lease_s: float
    hours: float | None


def look(
    connection: Connection, *, worker_id: str, request_id: str, trainers: Sequence[str], study_id: int | None
) -> Row[Any]:
    """What a claim finds, without a lock.

    Returns:
        `has_left`: the worker said goodbye; `held`: live attempts that this very request was given before;
        `study_id`: the study to serve next, by priority and then by fewest live trials, or None.
    """
    values = {"worker_id": worker_id, "request_id": request_id, "trainers": list(trainers), "study_id": study_id}
    return _LOOK.run(connection, values).one()


def lock(connection: Connection, study_id: int) -> Row[Any] | None:
    """The study, locked, if it still has work once the lock is ours."""
    return _LOCK.run(connection, {"study_id": study_id}).one_or_none()


def hold_next(connection: Connection, study: Row[Any], terms: Terms) -> tuple[uuid.UUID, int]:
    """Makes the study's next trial with its first attempt, counted; the study is locked. Gives both ids."""
    attempt_id = uuid.uuid4()
    values = {"study_id": study.id, "number": study.n_created, "attempt_id": attempt_id, **asdict(terms)}
    return attempt_id, int(_HOLD_NEXT.run(connection, values).scalar_one())


def hold_waiting(connection: Connection, study: Row[Any], trial_id: int, terms: Terms) -> uuid.UUID:
    """Gives a waiting trial its next attempt, counted; the study is locked."""
    attempt_id = uuid.uuid4()
    values = {"study_id": study.id, "trial_id": trial_id, "attempt_id": attempt_id, **asdict(terms)}
    _HOLD_WAITING.run(connection, values)
    return attempt_id
