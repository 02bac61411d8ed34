"""`tabular-mlp` beside scikit-learn's gradient boosting at its defaults: scikit-learn's tables, the same test rows.

Five split seeds. Ours is the best of three configurations on validation, fitted again with its best number of epochs on
training and validation, as a study's final model is; gradient boosting is fitted on the same rows. Each is judged once on test.
Run as `python -m benchmarks.families.tabular`.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from trainers import scoring, tabular_mlp
from trainers.configs import TabularMlpConfig
from trainers.contract import LAST_EPOCH, Dataset, Objective, Part, TrainResult
from trainers.data import load
from trainers.data.split import Splits, splits

SEEDS = range(5)
SETS = ("breast_cancer", "wine", "iris", "diabetes")
SHOWN = {"classification": ("accuracy", "roc_auc", "log_loss"), "regression": ("rmse", "mae")}
CONFIGS = (
    TabularMlpConfig(),
    TabularMlpConfig(width=256, depth=2, dropout=0.2, learning_rate=0.003),
    TabularMlpConfig(width=32, depth=1, weight_decay=0.01, augmentation="light"),
)

Scores = dict[str, float]


def main() -> None:
    torch.set_num_threads(1)
    print("| set | metric | HistGradientBoosting | tabular-mlp | better in |\n|---|---|---|---|---|")
    for name in SETS:
        dataset = load.load(name)
        began = time.perf_counter()
        pairs = [(theirs(dataset, parts), ours(dataset, parts)) for parts in (_parts(dataset, seed) for seed in SEEDS)]
        for metric in SHOWN[dataset.task]:
            print(f"| {name} | {metric} | {_row(metric, pairs)} |", flush=True)
        print(f"<!-- {name}: {time.perf_counter() - began:.0f} s -->")


def ours(dataset: Dataset, parts: Splits) -> Scores:
    """The metrics on test of the best configuration's final model."""
    train_rows, validation_rows = parts.folds[0]
    objective: Objective = ("roc_auc", "maximize") if dataset.task == "classification" else ("rmse", "minimize")
    sign = 1 if objective[1] == "maximize" else -1
    tried = [(_train(dataset, train_rows, validation_rows, config, objective), config) for config in CONFIGS]
    best, config = max(tried, key=lambda each: sign * each[0].metrics[f"val/{objective[0]}"])
    learnt = scoring.learnt_rows(parts)
    final = _train(dataset, learnt, validation_rows, replace(config, epochs=best.best_step), LAST_EPOCH)
    predictions = scoring.predict(final, Part(dataset, parts.test_rows))
    return scoring.MEASURES[dataset.task](dataset.y[parts.test_rows], predictions)


def theirs(dataset: Dataset, parts: Splits) -> Scores:
    """The metrics on test of gradient boosting at its defaults."""
    learnt, test = scoring.learnt_rows(parts), parts.test_rows
    if dataset.task == "regression":
        predictions = HistGradientBoostingRegressor(random_state=0).fit(dataset.x[learnt], dataset.y[learnt])
        return scoring.MEASURES[dataset.task](dataset.y[test], predictions.predict(dataset.x[test]))
    fitted = HistGradientBoostingClassifier(random_state=0).fit(dataset.x[learnt], dataset.y[learnt])
    return scoring.MEASURES[dataset.task](dataset.y[test], fitted.predict_proba(dataset.x[test]))


def _train(
    dataset: Dataset, rows: np.ndarray, held: np.ndarray, config: TabularMlpConfig, objective: Objective
) -> TrainResult:
    return tabular_mlp.train(
        Part(dataset, rows),
        Part(dataset, held),
        config,
        lambda _step, _metrics: None,
        device="cpu",
        seed=0,
        objective=objective,
    )


def _parts(dataset: Dataset, seed: int) -> Splits:
    return splits(dataset.y, dataset.task, validation=0.2, test=0.2, folds=1, repeats=1, seed=seed)


def _row(metric: str, pairs: list[tuple[Scores, Scores]]) -> str:
    """Both sides' mean and spread, and in how many splits ours is better."""
    sign = -1 if metric in {"log_loss", "rmse", "mae"} else 1
    wins = sum(sign * (mine[metric] - other[metric]) > 0 for other, mine in pairs)
    cells = [_cell([pair[side][metric] for pair in pairs]) for side in (0, 1)]
    return f"{cells[0]} | {cells[1]} | {wins} of {len(pairs)}"


def _cell(values: list[float]) -> str:
    return f"{statistics.mean(values):.4g} ± {statistics.stdev(values):.2g}"


if __name__ == "__main__":
    main()
