"""Drafts in the artifact store: what an attempt uploads, until all of it has come and it is given its name.

Owns their names, which tell whose they are, and the removal of those that a killed server left behind.
"""

from __future__ import annotations

import re
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine

from tuner.store import attempts
from tuner.store.database import transaction

NAME = re.compile(r"\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-[0-9a-f]{8}")


def path(folder: Path, attempt_id: uuid.UUID) -> Path:
    """A new name, hidden, for a file or a folder in this folder."""
    return folder / f".{attempt_id}-{uuid.uuid4().hex[:8]}"


def remove_ended(engine: Engine, folder: Path) -> int:
    """Removes the drafts of attempts that have ended, since what still comes of those is refused; gives how many are gone."""
    owners = {draft: uuid.UUID(named[1]) for draft in folder.glob(".*") if (named := NAME.fullmatch(draft.name))}
    if not owners:
        return 0
    with transaction(engine) as connection:
        live = attempts.running_among(connection, owners.values())
    ended = [draft for draft, attempt_id in owners.items() if attempt_id not in live]
    for draft in ended:
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            with suppress(OSError):  # a disk that refuses it now is asked again in the next round
                draft.unlink(missing_ok=True)
    return sum(not draft.exists() for draft in ended)
