"""`image-mlp`: fully connected layers on the pixels of small images, for example 784-256-128-10."""

from __future__ import annotations

import torch

from trainers import image_training, networks
from trainers.configs import ImageMlpConfig
from trainers.contract import NO_CHECKPOINT, Checkpoint, Objective, Part, Report, TrainResult
from trainers.data import on_device


def train(
    train_part: Part,
    validation_part: Part,
    config: ImageMlpConfig,
    report: Report,
    *,
    device: str,
    seed: int,
    objective: Objective,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> TrainResult:
    """Trains fully connected layers on pixels, as `trainers.contract.Train` says."""
    torch.manual_seed(seed)
    data = on_device.prepare(train_part, validation_part, device)
    _, channels, height, width = data.x_train.shape
    network = networks.mlp(channels * height * width, data.outputs, config)
    return image_training.fit(
        network, data, config, report, device=device, seed=seed, objective=objective, checkpoint=checkpoint
    )
