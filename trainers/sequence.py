"""`sequence`: forecasts the next values of series from windows of their past, by GRU, TCN or transformer."""

from __future__ import annotations

import torch
from torch import nn

from trainers import curves, loop, losses, metrics, windows
from trainers.configs import SequenceConfig
from trainers.contract import NO_CHECKPOINT, Checkpoint, Objective, Part, Report, TrainResult
from trainers.recurrences import Forecaster
from trainers.tasks import Problem
from trainers.windows import Windows


def train(
    train_part: Part,
    validation_part: Part,
    config: SequenceConfig,
    report: Report,
    *,
    device: str,
    seed: int,
    objective: Objective,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> TrainResult:
    """Trains on one part, judges each epoch on the other and gives back the best epoch.

    Metrics are over all values of all horizons, in the target's unit.

    Args:
        train_part: the rows to learn from; deviations are taken from them alone.
        validation_part: the rows to forecast, each from those before it.
        config: the hyperparameters, window and horizon among them.
        report: called after each epoch; what it raises ends the training.
        device: as torch names it, `cpu` or `cuda:0`.
        seed: of weights, batches and dropout; torch's global generator is seeded with it.
        objective: the metric and direction by which the best epoch is chosen.
        checkpoint: to go on from, and to keep the state of the training in.
    """
    torch.manual_seed(seed)
    data = windows.prepare(train_part, validation_part, config.window, config.horizon, device)
    network = Forecaster(len(data.preprocessing["series"]["scales"]), config).to(device)
    return loop.fit(
        network,
        _pose(data, config),
        data,
        config,
        report,
        augment=None,
        seed=seed,
        objective=objective,
        checkpoint=checkpoint,
    )


def _pose(data: Windows, config: SequenceConfig) -> Problem:
    return Problem(
        train_targets=data.y_train,
        validation_targets=data.y_validation,
        loss=losses.loss_function(config, "regression"),
        head=nn.Identity(),
        measure=lambda forecasts: metrics.regression(data.y_raw.ravel(), data.raw(forecasts).ravel()),
        draw=lambda forecasts: curves.of_regression(data.y_raw.ravel(), data.raw(forecasts).ravel()),
    )
