"""What `sequence` does where each whole series has a class: GRU, TCN or transformer over its steps, of unequal number."""

from __future__ import annotations

import torch

from trainers import loop, tasks
from trainers.configs import SequenceConfig
from trainers.contract import Checkpoint, Objective, Part, Report, TrainResult
from trainers.data import on_device
from trainers.series_networks import SeriesClassifier
from trainers.series_preprocessing import Options


def train(
    train_part: Part,
    validation_part: Part,
    config: SequenceConfig,
    report: Report,
    *,
    device: str,
    seed: int,
    objective: Objective,
    checkpoint: Checkpoint,
) -> TrainResult:
    """Trains on labelled series, as `trainers.contract.Train` says; values are standardised by the training series alone."""
    torch.manual_seed(seed)
    data = on_device.prepare(train_part, validation_part, device, Options(config.max_steps))
    _, length, inputs = data.x_train.shape
    network = SeriesClassifier(length, inputs, data.outputs, config).to(device)
    return loop.fit(
        network,
        tasks.pose(data, config, mixed=False),
        data,
        config,
        report,
        augment=None,
        seed=seed,
        objective=objective,
        checkpoint=checkpoint,
    )
