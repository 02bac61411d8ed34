"""Duty: forget what is of no use any more: old Idempotency-Keys, answers, workers, and halves of uploaded data sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from tuner import datasets
from tuner.store import tidying
from tuner.store.database import transaction

KEEP_KEYS_DAYS = 7
KEEP_ANSWERS_DAYS = 2  # a script whose call was answered and that has not heard it yet, sends it again
KEEP_WORKERS_DAYS = 7
KEEP_DRAFTS_HOURS = 24  # an upload that goes on writes to its folder


@dataclass(frozen=True)
class Counts:
    """Rows and folders removed in one round."""

    keys: int
    answers: int
    workers: int
    drafts: int

    @property
    def did_much(self) -> bool:
        """One round removes all there is."""
        return False


def run_once(engine: Engine, store: Path) -> Counts:
    """One round.

    Args:
        engine: to our tables.
        store: the artifact folder.
    """
    with transaction(engine) as connection:
        keys = tidying.remove_keys(connection, KEEP_KEYS_DAYS)
        answers = tidying.remove_answers(connection, KEEP_ANSWERS_DAYS)
        gone = tidying.remove_workers(connection, KEEP_WORKERS_DAYS)
    drafts = datasets.remove_drafts(engine, store, older_than_s=KEEP_DRAFTS_HOURS * 3600.0)
    return Counts(keys=keys, answers=answers, workers=gone, drafts=drafts)
