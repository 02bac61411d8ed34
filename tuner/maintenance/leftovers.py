"""Duty: remove what trials and attempts leave in the artifact store when they end: checkpoints, and halves of uploads.

Who ends a trial does not do it: it would cost every trial a statement, and most have no checkpoint.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from tuner import checkpoints, drafts, uploads


def run_once(engine: Engine, store: Path) -> int:
    """One round; gives how many trials and drafts it cleared away."""
    halves = sum(drafts.remove_ended(engine, store / folder) for folder in (checkpoints.FOLDER, uploads.FOLDER))
    return checkpoints.remove_ended(engine, store) + halves
