"""How much there is of everything, for who watches the service: one round trip, no lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, text

_ROWS = text(
    """
    select 'studies' as what, state as label, count(*)::float as number from tuner.studies
        where spec is not null group by state
    union all select 'trials', state, count(*) from tuner.trials group by state
    union all select 'attempts', state, count(*) from tuner.attempts group by state
    union all select 'backlog', 'trials', count(*) from tuner.trials t join tuner.studies s on s.id = t.study_id
        where t.published_at is null and t.finished_at is not null and s.spec is not null
    union all select 'backlog', 'reports', count(*) from tuner.reports r join tuner.trials t on t.id = r.trial_id
        join tuner.studies s on s.id = t.study_id where not r.published and s.spec is not null
    union all select 'slots', id, slots from tuner.workers
        where left_at is null and seen_at > now() - make_interval(secs => :alive_s)
    union all select 'gpu_memory_mb', a.worker_id, sum(last.used_mb) from tuner.attempts a
        cross join lateral (
            select (metrics::json ->> 'system/gpu_memory_mb')::float as used_mb from tuner.reports
            where trial_id = a.trial_id and metrics like '%system/gpu_memory_mb%'
            order by reported_at desc limit 1
        ) last where a.state = 'running' group by a.worker_id
    """
)


@dataclass(frozen=True)
class Counts:
    """Numbers by label.

    Attributes:
        studies: by state; those of Optuna scripts without a budget are left out.
        trials: by state.
        attempts: by state, of studies that are there still.
        backlog: what MLflow does not show yet: finished `trials`, and `reports`.
        slots: of each worker that was heard of lately.
        gpu_memory_mb: of each worker, as its running trials reported it last.
    """

    studies: Mapping[str, float]
    trials: Mapping[str, float]
    attempts: Mapping[str, float]
    backlog: Mapping[str, float]
    slots: Mapping[str, float]
    gpu_memory_mb: Mapping[str, float]


def read(connection: Connection, *, alive_s: float) -> Counts:
    """Counts everything; a worker not heard of for `alive_s` seconds has no slots."""
    found: dict[str, dict[str, float]] = {name: {} for name in Counts.__dataclass_fields__}
    for what, label, number in connection.execute(_ROWS, {"alive_s": alive_s}):
        found[what][label] = number
    return Counts(**found)
