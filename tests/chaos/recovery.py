"""What a fault hits, and when everything has gone on after it.

Owns the meaning of "went on": the trial that was hit runs again elsewhere or has more reports; the API is ready and a new report
is stored.
"""

from __future__ import annotations

import random
import time
import uuid

from tests.chaos.world import Worker, World

MORE_TRIALS = 20  # when all that were submitted have ended


def busy(world: World, chance: random.Random, place: int | None = None) -> tuple[Worker, uuid.UUID]:
    """A worker that trains, this one if a place is given, and the attempt; there is always something to train."""
    query = """
        select a.id, w.name from tuner.attempts a join tuner.workers w on w.id = a.worker_id
        join tuner.trials t on t.id = a.trial_id
        where a.state = 'running' and t.state = 'running' and a.lease_until > now() + interval '1 s'
        and exists (select 1 from tuner.reports r where r.attempt_id = a.id)
    """
    found: list[tuple[Worker, uuid.UUID]] = []

    def look() -> bool:
        if not world.has_open_studies():
            world.submit(MORE_TRIALS)
        by_name = {worker.name: worker for worker in world.workers}
        found[:] = [(by_name[row.name], row.id) for row in world.rows(query) if row.name in by_name]
        found[:] = [each for each in found if each[0].place == (each[0].place if place is None else place)]
        found[:] = [each for each in found if len(each[0].family()) > 1]
        return bool(found)

    world.until(look, "a worker trains")
    return chance.choice(found)


def until_elsewhere(world: World, attempt_id: uuid.UUID, began_s: float) -> float | None:
    """Seconds until the attempt's trial has a later attempt that has started; None: it was over before the fault came."""
    query = """
        select a.state from tuner.attempts a join tuner.trials t on t.id = a.trial_id
        where a.id = :attempt_id and (
            t.finished_at is not null
            or t.state = 'running' and exists (
                select 1 from tuner.attempts b where b.trial_id = t.id and b.number > a.number and b.state = 'running'
            )
        )
    """
    found: list[str] = []

    def goes_on() -> bool:
        found[:] = [row.state for row in world.rows(query, attempt_id=attempt_id)]
        return bool(found)

    world.until(goes_on, "the trial goes on")
    return None if found == ["succeeded"] else time.monotonic() - began_s


def until_reports_come(world: World) -> float:
    """Seconds until the API is ready and has stored a report that it had not when this was called."""
    began_s = time.monotonic()
    world.until(world.client.is_ready, "the API is ready")
    before: list[int] = []

    def has_more() -> bool:
        before[:] = before or [world.n_reports()]
        return world.n_reports() > before[0] or not world.has_open_studies()

    world.until(has_more, "reports come in")
    return time.monotonic() - began_s


def until_more(world: World, attempt_id: uuid.UUID) -> float:
    """Seconds until the attempt's trial has a report that it had not when this was called, or has ended."""
    query = """
        select count(r.step) as n, t.finished_at is not null as is_over
        from tuner.trials t left join tuner.reports r on r.trial_id = t.id
        where t.id = (select trial_id from tuner.attempts where id = :attempt_id) group by t.id
    """
    began_s = time.monotonic()
    before = world.rows(query, attempt_id=attempt_id)[0].n

    def goes_on() -> bool:
        now = world.rows(query, attempt_id=attempt_id)[0]
        return bool(now.is_over or now.n > before)

    world.until(goes_on, "the trial goes on")
    return time.monotonic() - began_s
