"""Rows of `checkpoints`: which states of unfinished trials lie in the artifact store."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from tuner.domain.states import FINISHED
from tuner.store.tables import attempts, checkpoints, trials

CheckpointRow = Row[Any]
KEPT = 2  # of a trial


def add(
    connection: Connection,
    *,
    trial_id: int,
    attempt_id: uuid.UUID,
    fold: int,
    step: int,
    sha256: str,
    size_bytes: int,
) -> list[str]:
    """Notes a trial's newest checkpoint, once; returns the digests of those that are not kept any more.

    The caller's transaction holds the attempt's row.
    """
    row = {"trial_id": trial_id, "attempt_id": attempt_id, "fold": fold, "step": step}
    connection.execute(upsert(checkpoints).values(**row, sha256=sha256, size_bytes=size_bytes).on_conflict_do_nothing())
    newest = select(checkpoints.c.id).where(checkpoints.c.trial_id == trial_id)
    old = delete(checkpoints).where(
        checkpoints.c.trial_id == trial_id,
        checkpoints.c.id.not_in(newest.order_by(checkpoints.c.id.desc()).limit(KEPT)),
    )
    return list(connection.execute(old.returning(checkpoints.c.sha256)).scalars())


def of_trial(connection: Connection, trial_id: int) -> list[CheckpointRow]:
    """Newest first."""
    query = select(checkpoints).where(checkpoints.c.trial_id == trial_id)
    return list(connection.execute(query.order_by(checkpoints.c.id.desc())))


def resumed(connection: Connection, attempt_id: uuid.UUID, step: int) -> None:
    """Notes the epoch that an attempt went on from."""
    connection.execute(update(attempts).where(attempts.c.id == attempt_id).values(resumed_from_step=step))


def forget_ended(connection: Connection) -> int:
    """Removes the rows of trials that have ended."""
    ended = trials.c.state.in_(FINISHED)
    gone = delete(checkpoints).where(checkpoints.c.trial_id == trials.c.id, ended)
    return connection.execute(gone).rowcount


def unfinished(connection: Connection, trial_ids: Collection[int]) -> set[int]:
    """Those of these trials that are there and wait or run."""
    query = select(trials.c.id).where(trials.c.id.in_(trial_ids), trials.c.state.not_in(FINISHED))
    return set(connection.execute(query).scalars())
