"""Claiming in few round trips: choosing and locking a study, and taking its next trial.

Owns the statements that every claim of every worker goes through, hence written out, one round trip each.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row

from tuner.store.prepared import Prepared
from tuner.store.tables import studies

# This commit need not wait for the disk. Should PostgreSQL crash just then, the claim never was: its worker is refused as
# stale, and the trial is claimed anew. Whatever a worker sends later is flushed with its claim before it is acknowledged.
UNHURRIED = "set_config('synchronous_commit', 'off', true)"

# trials that no attempt holds
_HAS_WAITING = "(s.n_created > s.n_live + s.n_complete + s.n_pruned + s.n_failed + s.n_cancelled)"

# a final fit that no attempt holds; for workers alone, since a loop of the user's own does not know how to fit it
_HAS_FINAL = """(
    s.state = 'finalizing' and :study_id is null
    and exists (select 1 from tuner.finals f where f.study_id = s.id and f.state = 'waiting')
)"""

# states, spec, hours, parallelism and budget leave room for another trial
_HAS_WORK = f"""
    s.state in ('queued', 'running') and s.spec is not null
    and (s.deadline is null or s.deadline > now())
    and (s.max_parallel is null or s.n_live < s.max_parallel)
    and (
        s.budget_trials is null or s.n_created < s.budget_trials or {_HAS_WAITING}
    )
"""

# what a worker of before final fits, and of before splits by a column, does not know to be there: see `PROTOCOL`
_UNDERSTOOD = """
    case when :protocol >= 2 or :study_id is not null then true
    else s.state <> 'finalizing'
        and coalesce(s.spec::json #>> '{evaluation,group}', s.spec::json #>> '{evaluation,time}') is null end
"""

_HAS_ANY = f"(s.state in ('queued', 'running', 'finalizing') and (({_HAS_WORK}) or {_HAS_FINAL}) and ({_UNDERSTOOD}))"

_BEFORE = """
    exists (select 1 from tuner.workers where id = :worker_id and left_at is not null)
    or exists (
        select 1 from tuner.attempts
        where worker_id = :worker_id and request_id = :request_id and state = 'running'
    )
"""

# Trials that were lost or given back, and final fits: they go on before any study of that priority begins a new trial,
# whatever its share.
_HAS_BEGUN = f"""
    (s.state = 'finalizing' or {_HAS_WAITING} and exists (
        select 1 from tuner.trials t
        where t.study_id = s.id and t.state = 'waiting' and t.started_at is not null
            and not exists (select 1 from tuner.attempts a where a.trial_id = t.id and a.state = 'running')
    ))
"""

_NEXT_STUDY = Prepared(
    "claim_next_study",
    f"""
    select {", ".join(f"s.{column.name}" for column in studies.c)} from tuner.studies s
    where {_HAS_ANY} and case when :study_id is null then s.trainer = any(:trainers) else s.id = :study_id end
        and (:is_another or not ({_BEFORE}))
    order by s.priority desc, {_HAS_BEGUN} desc, s.n_live, s.id limit 1
    for update of s
    """,
    worker_id="text",
    request_id="text",
    trainers="text[]",
    study_id="bigint",
    protocol="integer",
    is_another="boolean",
)

_WHY_NONE = Prepared(
    "claim_why_none",
    f"""
    select
        (select left_at is not null from tuner.workers where id = :worker_id) as has_left,
        (
            select array_agg(id) from tuner.attempts
            where worker_id = :worker_id and request_id = :request_id and state = 'running'
        ) as held,
        exists (
            select 1 from tuner.studies s
            where {_HAS_ANY} and case when :study_id is null then s.trainer = any(:trainers) else s.id = :study_id end
        ) as has_work
    """,
    worker_id="text",
    request_id="text",
    trainers="text[]",
    study_id="bigint",
    protocol="integer",
)

_HOLD_NEXT = Prepared(
    "claim_hold_next",
    f"""
    with trial as (
        insert into tuner.trials (study_id, number, state, params, distributions, system_attrs, started_at)
        select :study_id, :number, case when :is_sampled then 'running' else 'waiting' end,
               :params, :distributions, :system_attrs, case when :is_sampled then now() end
        where :is_another or not ({_BEFORE}) returning id
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
        where id = :study_id and exists (select 1 from trial)
    )
    select id, {UNHURRIED} from trial
    """,
    study_id="bigint",
    number="integer",
    is_sampled="boolean",
    params="text",
    distributions="text",
    system_attrs="text",
    attempt_id="uuid",
    worker_id="text",
    request_id="text",
    lease_s="double precision",
    hours="double precision",
    is_another="boolean",
)

_HOLD_WAITING = Prepared(
    "claim_hold_waiting",
    f"""
    with attempt as (
        insert into tuner.attempts (id, trial_id, number, state, worker_id, request_id, lease_s, lease_until)
        select :attempt_id, :trial_id, coalesce(max(number), 0) + 1, 'running', :worker_id, :request_id, :lease_s,
               clock_timestamp() + make_interval(secs => :lease_s)
        from tuner.attempts where trial_id = :trial_id
        having :is_another or not ({_BEFORE})
        returning id
    )
    update tuner.studies set
        n_live = n_live + 1, state = 'running', started_at = coalesce(started_at, now()),
        deadline = coalesce(deadline, now() + make_interval(secs => :hours * 3600))
    where id = :study_id and exists (select 1 from attempt)
    returning {UNHURRIED}
    """,
    study_id="bigint",
    trial_id="bigint",
    attempt_id="uuid",
    worker_id="text",
    request_id="text",
    lease_s="double precision",
    hours="double precision",
    is_another="boolean",
)

_HOLD_FINAL = Prepared(
    "claim_hold_final",
    f"""
    with attempt as (
        insert into tuner.attempts (id, final_id, number, state, worker_id, request_id, lease_s, lease_until)
        select :attempt_id, f.id,
               (select coalesce(max(number), 0) + 1 from tuner.attempts where final_id = f.id),
               'running', :worker_id, :request_id, :lease_s, clock_timestamp() + make_interval(secs => :lease_s)
        from tuner.finals f
        where f.study_id = :study_id and f.state = 'waiting' and (:is_another or not ({_BEFORE}))
        returning final_id
    )
    update tuner.finals set state = 'running' where id = (select final_id from attempt)
    """,
    study_id="bigint",
    attempt_id="uuid",
    worker_id="text",
    request_id="text",
    lease_s="double precision",
    is_another="boolean",
)


@dataclass(frozen=True)
class Claimant:
    """Who claims, with which request, what it can run, whether it wants one study alone, and what it understands."""

    worker_id: str
    request_id: str
    trainers: list[str]
    study_id: int | None
    protocol: int


@dataclass(frozen=True)
class Terms:
    """Of a new attempt: whose it is, for how long without a word, how many hours its study has in all.

    `is_another`: the request holds attempts that it was given just now; otherwise it must hold none.
    """

    worker_id: str
    request_id: str
    lease_s: float
    hours: float | None
    is_another: bool


@dataclass(frozen=True)
class Sampled:
    """What a sampler gave: values and Optuna's JSON of the distributions by parameter, and attributes of the trial."""

    params: Mapping[str, Any]
    distributions: Mapping[str, Any]
    system_attrs: Mapping[str, Any]


def next_study(connection: Connection, claimant: Claimant, *, is_another: bool) -> Row[Any] | None:
    """The study to serve next, locked: by priority, then one whose trials were lost or given back, then by fewest live trials.

    One that is finalizing has a final fit to give, the others a trial.

    None: see `why_none`. While we waited for the lock, another may have taken its last trial; then there may be another
    study with work.

    Args:
        connection: of the claim's transaction.
        claimant: who asks.
        is_another: the request was given a trial just now and wants one more.
    """
    return _NEXT_STUDY.run(connection, {**asdict(claimant), "is_another": is_another}).one_or_none()


def why_none(connection: Connection, claimant: Claimant) -> Row[Any]:
    """Why there was no study.

    Returns:
        `has_left`: the worker said goodbye; `held`: live attempts that this very request was given before, or None;
        `has_work`: there is work after all.
    """
    return _WHY_NONE.run(connection, asdict(claimant)).one()


def hold_next(
    connection: Connection, study: Row[Any], terms: Terms, sampled: Sampled | None = None
) -> tuple[uuid.UUID, int] | None:
    """Makes the study's next trial with its first attempt, counted; the study is locked.

    Gives the ids of attempt and trial, or None where the same request was given one while this one waited for the lock.

    Args:
        connection: of the claim's transaction.
        study: its row.
        terms: of the attempt.
        sampled: what the trial starts with; None: it waits for its parameters.
    """
    attempt_id = uuid.uuid4()
    given = asdict(sampled or Sampled({}, {}, {}))
    values = {
        "study_id": study.id,
        "number": study.n_created,
        "attempt_id": attempt_id,
        "is_sampled": sampled is not None,
        **{name: json.dumps(value) for name, value in given.items()},
        **asdict(terms),
    }
    made = _HOLD_NEXT.run(connection, values).one_or_none()
    return None if made is None else (attempt_id, int(made.id))


def hold_waiting(connection: Connection, study: Row[Any], trial_id: int, terms: Terms) -> uuid.UUID | None:
    """Gives a waiting trial its next attempt, counted; the study is locked. None as in `hold_next`."""
    attempt_id = uuid.uuid4()
    values = {"study_id": study.id, "trial_id": trial_id, "attempt_id": attempt_id, **asdict(terms)}
    return attempt_id if _HOLD_WAITING.run(connection, values).rowcount == 1 else None


def hold_final(connection: Connection, study: Row[Any], terms: Terms) -> uuid.UUID | None:
    """Gives a study's final fit its next attempt; the study is locked. None as in `hold_next`."""
    attempt_id = uuid.uuid4()
    given = {name: value for name, value in asdict(terms).items() if name != "hours"}
    values = {"study_id": study.id, "attempt_id": attempt_id, **given}
    return attempt_id if _HOLD_FINAL.run(connection, values).rowcount == 1 else None
