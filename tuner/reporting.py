"""`tuner.report`: how a script under `tuner run` says how it goes; needs nothing but the standard library.

Owns the line that a report is, and the names of what `tuner run` puts into the script's environment. It reads that
environment itself, as it runs in a process of the user's, where `tuner.settings` would be a burden.
"""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Mapping
from typing import SupportsFloat, SupportsIndex

REPORTS_FILE = "TUNER_REPORTS_FILE"
PARAMS_FILE = "TUNER_PARAMS_FILE"
PARAM = "TUNER_PARAM_"


def report(step: SupportsIndex, metrics: Mapping[str, SupportsFloat] | None = None, /, **named: SupportsFloat) -> None:
    """Reports metrics after a step; each metric's last value is the trial's result. Without `tuner run` it does nothing.

    A trial that the pruner ends, or whose study was cancelled, ends by SIGTERM to its process group.

    Args:
        step: how many are done, from 1: epochs, for example.
        metrics: by name, as the study's objectives call them; or as keywords.
    """
    numbers = {name: float(value) for name, value in {**(metrics or {}), **named}.items()}
    line = json.dumps({"step": operator.index(step), "metrics": numbers}) + "\n"
    path = os.environ.get(REPORTS_FILE)
    if path is None:
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)  # several processes of one script do not mix their lines
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
