"""The words that the benchmarks of families share: a problem, what a library answers to it, a family, a result."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sklearn.model_selection import ParameterGrid

from tests.unit.trainers.stored import store
from trainers.catalog import METRICS
from trainers.contract import Dataset
from trainers.data import files, keys, parts
from trainers.data.split import Splits

Scores = dict[str, float]
Candidate = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One split of one set of real rows, the same for both sides.

    Attributes:
        name: of the set, as tables show it.
        seed: which split.
        metrics: what tables show; the first is the one by which both sides choose, on validation.
        dataset: as the trainers read it.
        split: its rows that train, validate and test.
        study: what a study says of it beside its data set, objective and budget.
        folder: of its files and `source.json`; None: it is built in.
        group: the column of which no value is on two sides of the split.
    """

    name: str
    seed: int
    metrics: tuple[str, ...]
    dataset: Dataset
    split: Splits
    study: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    group: str | None = None

    @property
    def sign(self) -> int:
        """1 where more of the first metric is better, else -1."""
        return 1 if METRICS[self.dataset.task][self.metrics[0]] == "maximize" else -1


@dataclass(frozen=True, kw_only=True)
class Usual:
    """What a kept library answers.

    Attributes:
        name: as tables show it.
        candidates: its configurations for a problem, in the order in which they are tried; one alone is not tuned.
        answer: the scores of one, fitted to some rows, on others: `answer(problem, candidate, learnt, held)`.
    """

    name: str
    candidates: Callable[[Problem], Iterable[Candidate]]
    answer: Callable[..., Scores]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A trainer and what stands beside it.

    Attributes:
        name: of its module here, and of its place in `docs/families.md`.
        trainer: whose default search space is searched.
        seconds: of search, for each split of each set.
        problems: those of a split's seed; files may be written into the folder.
        usual: who answers the same problems.
    """

    name: str
    trainer: str
    seconds: float
    problems: Callable[[int, Path], Iterator[Problem]]
    usual: tuple[Usual, ...]


@dataclass(frozen=True)
class Result:
    """Of one side on one problem: on the test rows, with how many configurations in how much wall time."""

    scores: Scores
    tried: int
    seconds: float


def uploaded(
    name: str,
    seed: int,
    metrics: tuple[str, ...],
    folder: Path,
    content: dict[str, str | bytes],
    *,
    study: dict[str, Any] | None = None,
    group: str | None = None,
    **source: Any,
) -> Problem:
    """A problem of files as somebody would upload them, read as the service reads them and split as it splits."""
    stored = store(folder / f"{name} {seed}", content, **source)
    loaded = files.load(stored, name)
    time = source["time"] if loaded.kind == "series" else None
    dataset = keys.attach(loaded, stored, group=group, time=time)
    return replace(split(name, seed, metrics, dataset, study=study), folder=stored, group=group)


def split(
    name: str,
    seed: int,
    metrics: tuple[str, ...],
    dataset: Dataset,
    *,
    study: dict[str, Any] | None = None,
    folds: int = 1,
) -> Problem:
    """A problem of rows that are split as the service splits them by this seed."""
    made = parts.of(dataset, validation=0.2, test=0.2, folds=folds, repeats=1, seed=seed)
    return Problem(name=name, seed=seed, metrics=metrics, dataset=dataset, split=made, study=study or {})


def grid(default: Candidate, seed: int, **choices: Sequence[Any]) -> list[Candidate]:
    """The default, then every combination of the choices in an order that is drawn: a random search that can end."""
    everything = list(ParameterGrid(choices))
    random.Random(seed).shuffle(everything)
    return [default, *(candidate for candidate in everything if candidate != default)]
