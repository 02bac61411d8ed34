"""What the benchmarks of images and sound share: a choice on validation, a fit on all but the test rows, one look at these."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score, log_loss

from trainers import catalog, preprocessing
from trainers.configs import TrainingConfig
from trainers.contract import Dataset, Part, TrainResult

SEEDS = range(5)
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]  # train, validation, test


@dataclass(frozen=True)
class Scored:
    """On the test rows; seconds with the choice, loss only of what gives probabilities."""

    accuracy: float
    loss: float | None
    seconds: float


def ours(dataset: Dataset, rows: Rows, configs: Iterable[TrainingConfig]) -> Scored:
    """The best of some configurations by validation, fitted anew for all of its epochs."""
    began = time.perf_counter()
    train, validation, test = rows
    tried = [(_train(dataset, train, validation, config).metrics["val/accuracy"], config) for config in configs]
    config = max(tried, key=lambda each: each[0])[1]
    whole = np.union1d(train, validation)
    # judged on its own rows, the last epochs are the best ones, and the test rows are seen by nothing
    final = _train(dataset, whole, whole, config)
    x = torch.from_numpy(preprocessing.apply(final.preprocessing, dataset.x[test]))
    with torch.inference_mode():
        probabilities = final.network(x).double().numpy()
    probabilities /= probabilities.sum(axis=1, keepdims=True)  # of 32 bits, to the precision that scikit-learn asks for
    return _scored(dataset.y[test], probabilities.argmax(axis=1), probabilities, len(dataset.class_names), began)


def library(
    features: np.ndarray, y: np.ndarray, rows: Rows, candidates: Iterable[Callable[[], ClassifierMixin]]
) -> Scored:
    """The best of some of scikit-learn's classifiers by validation, fitted anew; features `(rows, f)`."""
    began = time.perf_counter()
    train, validation, test = rows
    best = max(
        candidates,
        key=lambda make: float(make().fit(features[train], y[train]).score(features[validation], y[validation])),
    )
    whole = np.union1d(train, validation)
    fitted: Any = best().fit(features[whole], y[whole])
    probabilities = fitted.predict_proba(features[test]) if hasattr(fitted, "predict_proba") else None
    return _scored(y[test], fitted.predict(features[test]), probabilities, len(np.unique(y)), began)


def table(found: dict[str, list[Scored]]) -> str:
    """Mean and spread over the splits, a line each."""
    lines = ["| | accuracy on test | log loss on test | seconds |", "|---|---|---|---|"]
    for name, scores in found.items():
        losses = [each.loss for each in scores if each.loss is not None]
        cells = [_cell([each.accuracy for each in scores]), _cell(losses) if losses else ""]
        lines.append(f"| {name} | {' | '.join(cells)} | {statistics.mean(each.seconds for each in scores):.1f} |")
    return "\n".join(lines)


def _cell(values: list[float]) -> str:
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"


def _scored(
    y: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray | None, classes: int, began: float
) -> Scored:
    loss = None if probabilities is None else float(log_loss(y, probabilities, labels=range(classes)))
    return Scored(float(accuracy_score(y, predicted)), loss, time.perf_counter() - began)


def _train(dataset: Dataset, train: np.ndarray, held: np.ndarray, config: TrainingConfig) -> TrainResult:
    trainer = next(each for each in catalog.TRAINERS.values() if each.config is type(config))
    return catalog.load(trainer)(
        Part(dataset, train),
        Part(dataset, held),
        config,
        lambda _step, _metrics: None,
        device="cpu",
        seed=0,
        objective=("accuracy", "maximize"),
    )
