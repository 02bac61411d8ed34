"""Duty: forget what is of no use any more: old Idempotency-Keys, workers long gone, halves of uploads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from tuner import uploads
from tuner.store import tidying
from tuner.store.database import transaction

KEEP_KEYS_DAYS = 7
KEEP_WORKERS_DAYS = 7
KEEP_DRAFTS_S = 3600.0  # no upload takes this long between two of its files


@dataclass(frozen=True)
class Counts:
    """What was removed in one round."""

    keys: int
    workers: int
    drafts: int

    @property
    def did_much(self) -> bool:
        """One round removes all there is."""
        return False


def run_once(engine: Engine, store: Path) -> Counts:
    """One round; `store` is the folder of uploaded files."""
    drafts = uploads.remove_drafts(store, KEEP_DRAFTS_S)
    with transaction(engine) as connection:
        return Counts(
            keys=tidying.remove_keys(connection, KEEP_KEYS_DAYS),
            workers=tidying.remove_workers(connection, KEEP_WORKERS_DAYS),
            drafts=drafts,
        )
