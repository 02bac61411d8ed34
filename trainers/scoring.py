"""A final model's numbers: scored once on the test part, with intervals, beside the trivial answer on the same rows.

Owns which rows a final model learns from, the bootstrap and the baseline. Nothing of the search imports this.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from trainers import answers, held_out, loop, metrics, preprocessing
from trainers.contract import Part, Task, TrainResult
from trainers.data import on_device
from trainers.data.split import Splits
from trainers.held_out import Tick

RESAMPLES = 1000
TICK_RESAMPLES = 20
PERCENTILES = (2.5, 97.5)

Measure = Callable[[np.ndarray, np.ndarray], dict[str, float]]
"""Of targets `(rows,)` and predictions, `(rows, classes)` or `(rows,)`: metrics by name."""

MEASURES: Mapping[Task, Measure] = {"classification": metrics.classification, "regression": metrics.regression}


@dataclass(frozen=True)
class Interval:
    """A metric on the test part, with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Scores:
    """What came out on the test part, by the metrics' bare names: of the model, and of the trivial answer."""

    test: dict[str, Interval]
    baseline: dict[str, float]


def learnt_rows(parts: Splits) -> np.ndarray:
    """All rows that the search has used, `(rows,)` ascending: every one but those of the test part.

    By time also not the series that end when a later part has begun.
    """
    return np.unique(np.concatenate([rows for fold in parts.folds for rows in fold]))


def score(
    result: TrainResult,
    learnt: Part,
    test: Part,
    *,
    seed: int,
    declared: Collection[str] = (),
    tick: Tick = lambda _far: None,
) -> Scores:
    """Scores a model on rows that neither it nor the search has seen.

    Args:
        result: of training on `learnt`.
        learnt: the rows whose targets the trivial answer is made of.
        test: the rows to score on.
        seed: of the bootstrap.
        declared: of a structured task, the metrics that the trainer names.
        tick: is told `test/rows` predicted and `test/resamples` drawn.

    Raises:
        AnswersError: of a structured task, the trainer's file is of no use.
    """
    if test.dataset.kind in {"interactions", "series"} or test.dataset.task == "language":
        seen = held_out.look(result, learnt, test, tick)
        tested = bootstrap(seen.measure, seen.y, seen.predictions, seed=seed, units=seen.units, tick=tick)
        return Scores(test=tested, baseline=seen.measure(seen.y, seen.trivial))
    y, task = test.dataset.y[test.rows], test.dataset.task
    y_learnt = learnt.dataset.y[learnt.rows]
    trivial = trivial_answer(y_learnt, len(y), task, classes=len(test.dataset.class_names))
    predicted = predict(result, test, tick)
    if task == "structured":
        own = answers.load(result.answers)
        measure: Measure = answers.checked(own.score, declared)
        facts = json.loads(json.dumps(result.preprocessing))  # what the exported model reads, and it gives float64
        predicted = np.array(own.answers(predicted.astype(np.float64), facts), dtype=object)
    else:
        measure = MEASURES[task]
    groups = test.dataset.groups
    units = None if groups is None else groups[test.rows]
    tested = bootstrap(measure, y, predicted, seed=seed, units=units, tick=tick)
    return Scores(test=tested, baseline=measure(y, trivial))


@torch.inference_mode()
def predict(result: TrainResult, part: Part, tick: Tick = lambda _far: None) -> np.ndarray:
    """The model's predictions for a part's raw rows: probabilities `(rows, classes)`, targets `(rows,)`, or what it gives."""
    x, facts = part.dataset.x, result.preprocessing
    one = preprocessing.apply(facts, x[part.rows[:1]])
    rows = loop.rows_at_once(one.shape[1:], on_device.values_per_input(facts))
    predicted = []
    for start in range(0, len(part.rows), rows):
        piece = preprocessing.apply(facts, x[part.rows[start : start + rows]])
        predicted.append(result.network(torch.from_numpy(piece)).numpy())
        tick({"test/rows": float(start + len(piece))})
    return np.concatenate(predicted)


def trivial_answer(y_learnt: np.ndarray, rows: int, task: Task, *, classes: int) -> np.ndarray:
    """What one would say without looking at a row: each class's share, so the majority; the mean of targets; the usual text.

    As scikit-learn's DummyClassifier(strategy="prior") and DummyRegressor.
    """
    if task == "regression":
        return np.full(rows, y_learnt.mean())
    if task == "structured":
        labels, counts = np.unique(y_learnt, return_counts=True)
        return np.full(rows, labels[counts.argmax()], dtype=object)
    shares = np.bincount(y_learnt, minlength=classes) / len(y_learnt)
    return np.tile(shares, (rows, 1))


def bootstrap(
    measure: Measure,
    y: np.ndarray,
    predictions: np.ndarray,
    *,
    seed: int,
    units: np.ndarray | None = None,
    tick: Tick = lambda _far: None,
) -> dict[str, Interval]:
    """Each metric with its percentile interval of 95 % over units of rows drawn with replacement, 1,000 times.

    Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13. Rows that depend on each other are one unit and
    are drawn together; of a series they are blocks that do not overlap: Carlstein 1986, "The use of subseries values for
    estimating the variance of a general statistic from a stationary sequence". The same seed gives the same intervals.

    Args:
        measure: of any of the rows.
        y: `(rows, …)` the truth.
        predictions: `(rows, …)` of the model.
        seed: of what is drawn.
        units: `(rows,)` of integers, the unit of each row; None: each row is one. Where all rows are one unit, rows are drawn,
            which is too narrow, but one unit would give a single point, as if there were no doubt.
        tick: is told `test/resamples` after every 20.
    """
    random = np.random.default_rng(seed)
    drawn: list[dict[str, float]] = []
    for rows in _resamples(random, len(y), units):
        drawn.append(measure(y[rows], predictions[rows]))
        if len(drawn) % TICK_RESAMPLES == 0:
            tick({"test/resamples": float(len(drawn))})
    found = {}
    for name, value in measure(y, predictions).items():
        low, high = np.percentile([each[name] for each in drawn], PERCENTILES)
        found[name] = Interval(value, float(low), float(high))
    return found


def _resamples(random: np.random.Generator, rows: int, units: np.ndarray | None) -> Iterator[np.ndarray]:
    if units is None or (units == units[0]).all():
        units = np.arange(rows)
    order = np.argsort(units, kind="stable")
    _, starts, sizes = np.unique(units[order], return_index=True, return_counts=True)
    for _ in range(RESAMPLES):
        drawn = random.integers(0, len(starts), len(starts))
        taken = sizes[drawn]
        within = np.arange(taken.sum()) - np.repeat(np.cumsum(taken) - taken, taken)
        yield order[np.repeat(starts[drawn], taken) + within]
