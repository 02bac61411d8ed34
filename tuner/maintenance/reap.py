"""Duty: end what ran out: leases that nobody renewed, studies past their hours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog
from sqlalchemy import Engine

from tuner import specs
from tuner.attempts import expire
from tuner.endings import settle
from tuner.store import attempts, studies
from tuner.store.database import TRANSIENT, transaction

BATCH = 200

Row = TypeVar("Row")
Result = TypeVar("Result")

log = structlog.get_logger()


@dataclass(frozen=True)
class Counts:
    """What one round did."""

    expired: int
    out_of_hours: int

    @property
    def did_much(self) -> bool:
        """Whether there may be more than one batch."""
        return self.expired == BATCH


def run_once(engine: Engine) -> Counts:
    """One round; safe to run twice at once, since each row is looked at again with its study locked."""
    with transaction(engine) as connection:
        expired = attempts.expired(connection, BATCH)
        late = studies.past_deadline(connection)
    for study_id in late:
        _guarded(_settle, engine, study_id)
    return Counts(
        expired=sum(bool(_guarded(expire, engine, attempt_id)) for attempt_id in expired), out_of_hours=len(late)
    )


def _settle(engine: Engine, study_id: int) -> None:
    with transaction(engine) as connection:
        study = studies.lock(connection, study_id)
        settle(connection, study, specs.of(study))


def _guarded(step: Callable[[Engine, Row], Result], engine: Engine, row_id: Row) -> Result | None:
    """One row's step; a row that fails holds up no other, and is tried again in the next round.

    Raises:
        TRANSIENT: the database is away, and with it all the other rows.
    """
    try:
        return step(engine, row_id)
    except TRANSIENT:
        raise
    except Exception:
        log.exception("not reaped", row=str(row_id))
        return None
