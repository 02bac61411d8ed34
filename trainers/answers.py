"""The file of a trainer of structured tasks that makes texts of its network's output, and judges them; its models carry it.

Owns what the file must define:

    answers(outputs, preprocessing) -> list[str]    # of the exported network's output `(rows, …)`, a text for each row
    score(labels, answers) -> dict[str, float]      # metrics, finite and of the same names for any rows, also repeated

An answer is written as a label is, so a label is scored as an answer, too: the one that is learnt most often is the trivial
answer. A model executes the file wherever it is loaded, so it imports numpy and the standard library alone; there and on the test
part it is given float64 and the preprocessing as JSON has it (keys of dicts are str).
"""

from __future__ import annotations

import ast
import math
import runpy
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Score = Callable[[np.ndarray, np.ndarray], dict[str, float]]


class AnswersError(ValueError):
    """Such a file is of no use as it is."""


@dataclass(frozen=True)
class Answers:
    """What such a file defines."""

    answers: Callable[[np.ndarray, dict[str, Any]], list[str]]
    score: Score


def load(file: Path | None) -> Answers:
    """Runs a file.

    Raises:
        AnswersError: there is none, it lacks one of the two, or imports what a model's host need not have.
    """
    if file is None:
        raise AnswersError(
            "a trainer of a structured task gives its result `answers`, a file that makes texts of its output"
        )
    if foreign := _foreign(ast.parse(file.read_bytes())):
        raise AnswersError(
            f"{file} imports {', '.join(foreign)}, which where its models are loaded need not be: it travels alone, so "
            "write into it what it needs, and import numpy and the standard library alone"
        )
    found = runpy.run_path(str(file))
    if lacking := [name for name in ("answers", "score") if not callable(found.get(name))]:
        raise AnswersError(f"{file} does not define {' and '.join(lacking)}, which trainers.answers asks for")
    return Answers(found["answers"], found["score"])


def checked(score: Score, declared: Collection[str]) -> Score:
    """A file's score that tells what is wrong with it.

    Args:
        score: as the file defines it.
        declared: metrics that the trainer names.

    Raises:
        AnswersError: when it is called: it lacks such a metric, gives other names than the time before, or no finite number.
    """
    names: set[str] = set()

    def judged(labels: np.ndarray, answers: np.ndarray) -> dict[str, float]:
        found = score(labels, answers)
        if lacking := sorted({*declared, *names} - found.keys()) or (names and sorted(found.keys() - names)):
            raise AnswersError(
                f"the trainer's score does not give {lacking[0]} for all of the test part's rows drawn by chance: give "
                "every metric that the trainer names, and always the same, also where a class or text is not among the rows"
            )
        names.update(found)
        for name, value in found.items():
            if not math.isfinite(value):
                raise AnswersError(
                    f"the trainer's score gives {value} as {name} for some of the test part's rows drawn by chance: say "
                    "what it is where there is nothing to divide by"
                )
        return found

    return judged


def _foreign(tree: ast.AST) -> list[str]:
    """Modules that are neither numpy nor of the standard library; relative imports with their dots."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return sorted(name for name in names if name.partition(".")[0] not in {"numpy", *sys.stdlib_module_names})
