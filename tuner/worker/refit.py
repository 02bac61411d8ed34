"""The final fit in the training process: the best configuration on all that the search has used, scored on the test part.

Owns the one place where the test part is read.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from trainers import scoring
from trainers.configs import TrainingConfig
from trainers.contract import LAST_EPOCH, Dataset, Part, Report, Train, TrainResult
from trainers.data.split import Splits
from trainers.scoring import Scores


def refit(
    train: Train,
    dataset: Dataset,
    parts: Splits,
    config: TrainingConfig,
    report: Report,
    *,
    device: str,
    seed: int,
    threshold: float | None = None,
    declared: Collection[str] = (),
) -> tuple[TrainResult, Scores]:
    """Trains on training and validation part together, through all epochs of the config, and scores the model.

    The trainer is given validation rows as always, since it may look at their form; it has learnt from them, and its last
    epoch counts whatever it measures there. So the model decides between two classes by the `threshold` that was chosen when
    there were rows to choose it on, and by none that the trainer chooses now.

    Of a trainer of structured tasks `declared` are the metrics that it names.

    Scoring reports how far it is, in the step of the last epoch: so it is no silence, and can be stopped.

    Raises:
        ValueError: the study has no test part.
    """
    if not len(parts.test_rows):
        raise ValueError("the study has no test part to score a final model on")
    learnt = Part(dataset, scoring.learnt_rows(parts))
    _, validation_rows = parts.folds[-1]
    result = train(
        learnt, Part(dataset, validation_rows), config, report, device=device, seed=seed, objective=LAST_EPOCH
    )
    result = replace(
        result,
        preprocessing=_but_threshold(result.preprocessing) | ({} if threshold is None else {"threshold": threshold}),
        facts={name: value for name, value in result.facts.items() if name != "val/threshold"},
    )
    test = Part(dataset, np.sort(parts.test_rows))
    scores = scoring.score(
        result, learnt, test, seed=seed, declared=declared, tick=lambda far: report(result.best_step, far)
    )
    return result, scores


def _but_threshold(preprocessing: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in preprocessing.items() if name != "threshold"}


def as_metrics(scores: Scores) -> dict[str, float]:
    """Flat, as a result's metrics travel: `test/<metric>` with `_low` and `_high`, and `baseline/<metric>`."""
    flat: dict[str, float] = {}
    for name, interval in scores.test.items():
        flat |= {
            f"test/{name}": interval.value,
            f"test/{name}_low": interval.low,
            f"test/{name}_high": interval.high,
        }
    return flat | {f"baseline/{name}": value for name, value in scores.baseline.items()}
