"""Duty: remove the checkpoints of trials that have ended, and halves of their uploads.

Who ends a trial does not do it: it would cost every trial a statement, and most have no checkpoint.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from tuner import checkpoints

KEEP_DRAFTS_S = 3600.0  # an upload that goes on writes to its file


def run_once(engine: Engine, store: Path) -> int:
    """One round; gives how many trials and drafts it cleared away."""
    return checkpoints.remove_ended(engine, store) + checkpoints.remove_drafts(store, KEEP_DRAFTS_S)
