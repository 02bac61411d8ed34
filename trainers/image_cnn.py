"""`image-cnn`: a small residual network of convolutions on images."""

from __future__ import annotations

import torch

from trainers import convolutions, image_training
from trainers.configs import ImageCnnConfig
from trainers.contract import NO_CHECKPOINT, Checkpoint, Objective, Part, Report, TrainResult
from trainers.data import on_device


def train(
    train_part: Part,
    validation_part: Part,
    config: ImageCnnConfig,
    report: Report,
    *,
    device: str,
    seed: int,
    objective: Objective,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> TrainResult:
    """Trains a small residual network, as `trainers.contract.Train` says."""
    torch.manual_seed(seed)
    data = on_device.prepare(train_part, validation_part, device)
    _, channels, height, width = data.x_train.shape
    network = convolutions.residual(channels, min(height, width), data.outputs, config)
    return image_training.fit(
        network, data, config, report, device=device, seed=seed, objective=objective, checkpoint=checkpoint
    )
