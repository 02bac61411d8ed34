"""Folders for data with a PostgreSQL in it.

Not in pytest's own folder: every run of pytest closes that to the other user that PostgreSQL has where we are root.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def data_folder() -> Iterator[Path]:
    """An empty folder that any user can pass through, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="tuner-tests-") as name:
        Path(name).chmod(0o711)
        yield Path(name)
