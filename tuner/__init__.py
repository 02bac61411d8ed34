"""What scripts of the user's own call by short names; each is imported when it is first asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner.reporting import report
    from tuner.sampling.remote import storage

__all__ = ["report", "storage"]

_WHERE = {"report": "tuner.reporting", "storage": "tuner.sampling.remote"}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'tuner' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)
