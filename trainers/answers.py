"""The file of a trainer of structured tasks that makes texts of its network's output, and judges them; its models carry it.

Owns what the file must define:

    answers(outputs, preprocessing) -> list[str]    # of the exported network's output `(rows, …)`, a text for each row
    score(labels, answers) -> dict[str, float]      # metrics by name, finite for any rows, also where one is drawn twice

An answer is written as a label is, so a label is scored as an answer, too: the one that is learnt most often is the trivial
answer. A model executes the file wherever it is loaded, so it imports numpy and the standard library alone.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Answers:
    """What such a file defines."""

    answers: Callable[[np.ndarray, dict[str, Any]], list[str]]
    score: Callable[[np.ndarray, np.ndarray], dict[str, float]]


def load(file: Path | None) -> Answers:
    """Runs a file.

    Raises:
        ValueError: there is none, or it lacks one of the two.
    """
    if file is None:
        raise ValueError(
            "a trainer of a structured task gives its result `answers`, a file that makes texts of its output"
        )
    found = runpy.run_path(str(file))
    if lacking := [name for name in ("answers", "score") if not callable(found.get(name))]:
        raise ValueError(f"{file} does not define {' and '.join(lacking)}, which trainers.answers asks for")
    return Answers(found["answers"], found["score"])
