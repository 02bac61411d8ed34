"""`sequence`: forecasts series from windows of their past, or tells whole series apart, by GRU, TCN or transformer."""

from __future__ import annotations

import torch
from torch import nn

from trainers import curves, loop, losses, metrics, series_classes, windows
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
    """Trains on series, as `trainers.contract.Train` says; metrics are over all values of all horizons, in the target's unit.

    Of labelled series, as `trainers.series_classes` has it.
    """
    if train_part.dataset.kind == "labelled-series":
        return series_classes.train(
            train_part,
            validation_part,
            config,
            report,
            device=device,
            seed=seed,
            objective=objective,
            checkpoint=checkpoint,
        )
    torch.manual_seed(seed)
    data = windows.prepare(train_part, validation_part, config.window, config.horizon, device)
    facts = data.preprocessing
    network = Forecaster(len(facts["series"]["scales"]), 1 + len(facts["values"]), config).to(device)
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
