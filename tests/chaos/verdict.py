"""What the faults have cost: trials lost or doubled, reports lost, stale writes taken, epochs done twice; and the auditor's word.

Owns the counting, from the rows and the trials' logs, once every study has ended and MLflow shows everything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.auditor import audit, audit_acknowledged, audit_files, audit_mlflow, drafts
from tests.chaos.world import EPOCHS, World

EPOCH = re.compile(r"  epoch (\d+): ")


@dataclass(frozen=True)
class Verdict:
    """Counts over every study of the run.

    Attributes:
        trials: asked for.
        lost: of these, without a result, though nobody cancelled their study.
        doubled: trials with two results, or beyond a budget.
        reports_lost: epochs of complete trials of which no report is stored.
        stale_writes: reports of attempts that were over, and results that a stopped worker got in.
        repeated: for each attempt that went on where another had ended: how that one had ended, and epochs done again.
    """

    trials: int
    lost: int
    doubled: int
    reports_lost: int
    stale_writes: int
    repeated: list[tuple[str, int]]

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.reports_lost or self.stale_writes)


def reach(world: World) -> Verdict:
    """Waits until all is over and shown, counts, and has the auditor look.

    Raises:
        AssertionError: what must hold at every commit does not, or MLflow differs.
    """
    ended = "select count(*) = 0 from tuner.studies where ended_at is null"
    world.until(lambda: bool(world.number(ended)), "every study ends", 600)
    world.until(lambda: all(world.client.study(id_).tracking == "idle" for id_ in world.submitted), "all is shown", 600)
    settings = world.service.settings
    world.until(lambda: not drafts(settings.artifacts), "halves of uploads are cleared away", 60)
    audit(world.engine)
    audit_acknowledged(world.engine, world.submitted)
    audit_files(world.engine, settings.artifacts)
    audit_mlflow(world.engine, world.mlflow.url, "none", base="")
    return Verdict(
        trials=sum(world.submitted.values()),
        lost=_lost(world),
        doubled=_doubled(world),
        reports_lost=_reports_lost(world),
        stale_writes=_stale_writes(world),
        repeated=_repeated(world, settings.artifacts / "attempts"),
    )


def _lost(world: World) -> int:
    done = world.rows("select id, state, n_complete + n_pruned as n from tuner.studies")
    ends = {row.id: row for row in done}
    return sum(
        budget - (ends[study_id].n if study_id in ends else 0)
        for study_id, budget in world.submitted.items()
        if study_id not in ends or ends[study_id].state != "cancelled"
    )


def _doubled(world: World) -> int:
    twice = world.number("""
        select count(*) from (
            select trial_id from tuner.attempts where state = 'succeeded' group by trial_id having count(*) > 1
        ) as twice
    """)
    beyond = world.number("select coalesce(sum(greatest(n_created - budget_trials, 0)), 0) from tuner.studies")
    return twice + beyond


def _reports_lost(world: World) -> int:
    return world.number(
        """
        select coalesce(sum(:epochs - (
            select count(*) from tuner.reports r where r.trial_id = t.id and r.step between 1 and :epochs
        )), 0)
        from tuner.trials t join tuner.studies s on s.id = t.study_id
        where t.state = 'complete' and s.trainer <> 'external'
        """,
        epochs=EPOCHS,
    )


def _stale_writes(world: World) -> int:
    taken = world.number("select count(*) from tuner.reports where step > :epochs", epochs=EPOCHS)
    for attempt_id, before in world.asleep.items():
        query = (
            "select state, (select count(*) from tuner.reports r where r.attempt_id = a.id) as n from tuner.attempts a"
        )
        row = world.rows(f"{query} where id = :attempt_id", attempt_id=attempt_id)[0]
        taken += (row.n - before) + (row.state != "lost")
    return taken


def _repeated(world: World, store: Path) -> list[tuple[str, int]]:
    """From the first epoch that an attempt's log tells of, and the last one that was reported before it."""
    rows = world.rows("""
        select a.id, a.trial_id, a.end_reason, (
            select max(step) from tuner.reports r where r.attempt_id = a.id
        ) as last_step, (
            select string_agg(text, '' order by position) from tuner.log_chunks c where c.attempt_id = a.id
        ) as log
        from tuner.attempts a join tuner.trials t on t.id = a.trial_id join tuner.studies s on s.id = t.study_id
        where s.trainer <> 'external' order by a.trial_id, a.number
    """)
    found, trial_id, reached, reason = [], None, 0, ""
    for row in rows:
        if row.trial_id != trial_id:
            trial_id, reached = row.trial_id, 0
        first = _first_epoch(row.log, store / str(row.id) / "log.txt")
        if reached and first is not None:
            found.append((reason, max(0, reached - first + 1)))
        reached, reason = max(reached, row.last_step or 0), row.end_reason
    return found


def _first_epoch(chunks: str | None, file: Path) -> int | None:
    log = file.read_text() if file.exists() else chunks or ""
    first = EPOCH.search(log)
    return None if first is None else int(first.group(1))
