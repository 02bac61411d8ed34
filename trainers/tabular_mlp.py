"""`tabular-mlp`: fully connected layers on standardised columns and embedded categories, for classification and regression."""

from __future__ import annotations

import torch

from trainers import augmentation, loop, networks, preprocessing, tasks
from trainers.configs import TabularMlpConfig
from trainers.contract import NO_CHECKPOINT, Checkpoint, Objective, Part, Report, TrainResult
from trainers.data import on_device


def train(
    train_part: Part,
    validation_part: Part,
    config: TabularMlpConfig,
    report: Report,
    *,
    device: str,
    seed: int,
    objective: Objective,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> TrainResult:
    """Trains fully connected layers on columns, as `trainers.contract.Train` says."""
    torch.manual_seed(seed)
    data = on_device.prepare(train_part, validation_part, device)
    sizes = preprocessing.vocabulary_sizes(data.preprocessing)
    numbers = data.x_train.shape[1] - len(sizes)
    network = networks.embedded_mlp(numbers, sizes, data.outputs, config).to(device)
    strengths = augmentation.tabular_strengths(config)
    problem = tasks.pose(data, config, mixed=strengths.mixup_alpha > 0)
    augment = augmentation.of_rows(strengths, numbers, data.x_train.device, seed)
    return loop.fit(
        network,
        problem,
        data,
        config,
        report,
        augment=augment,
        seed=seed,
        objective=objective,
        checkpoint=checkpoint,
    )
