"""Duty: forget what is of no use any more: old Idempotency-Keys, workers long gone."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from tuner.store import tidying
from tuner.store.database import transaction

KEEP_KEYS_DAYS = 7
KEEP_WORKERS_DAYS = 7


@dataclass(frozen=True)
class Counts:
    """Rows removed in one round."""

    keys: int
    workers: int

    @property
    def did_much(self) -> bool:
        """One round removes all there is."""
        return False


def run_once(engine: Engine) -> Counts:
    with transaction(engine) as connection:
        return Counts(
            keys=tidying.remove_keys(connection, KEEP_KEYS_DAYS),
            workers=tidying.remove_workers(connection, KEEP_WORKERS_DAYS),
        )
