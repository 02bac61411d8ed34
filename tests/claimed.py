"""An attempt as a claim answers it, for tests of what a worker does with one: iris, one fold, the trainer's defaults."""

from __future__ import annotations

import uuid
from typing import Any

from trainers.data.builtin import BUILTIN
from tuner.wire_attempts import ClaimedAttempt


def attempt(**changes: Any) -> ClaimedAttempt:
    values = {
        "attempt_id": uuid.uuid4(),
        "study_id": 1,
        "study": "s",
        "trial": 0,
        "params": {},
        "fixed": {},
        "trainer": "tabular-mlp@1",
        "dataset": "iris",
        "dataset_digest": BUILTIN["iris"].digest,
        "task": "classification",
        "objectives": [{"metric": "loss", "direction": "minimize"}],
        "validation": 0.2,
        "test": 0.2,
        "folds": 1,
        "repeats": 1,
        "split_seed": 0,
        "seed": 1,
        "lease_s": 30,
        "trial_minutes": None,
        "no_progress_minutes": None,
    }
    return ClaimedAttempt.model_validate(values | changes)
