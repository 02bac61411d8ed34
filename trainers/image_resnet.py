"""`image-resnet`: a residual net of swept depth and width on images of any size, from chance or from weights on disk."""

from __future__ import annotations

import torch

from trainers import image_training, pretrained, resnets
from trainers.contract import NO_CHECKPOINT, Checkpoint, Objective, Part, Report, TrainResult
from trainers.data import on_device
from trainers.media_configs import ImageResnetConfig


def train(
    train_part: Part,
    validation_part: Part,
    config: ImageResnetConfig,
    report: Report,
    *,
    device: str,
    seed: int,
    objective: Objective,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> TrainResult:
    """Trains a residual net in stages, as `trainers.contract.Train` says.

    Raises:
        WeightsError: the config's weights are not here, or do not fit the network.
    """
    torch.manual_seed(seed)
    data = on_device.prepare(train_part, validation_part, device)
    _, channels, height, width = data.x_train.shape
    network = resnets.Resnet(channels, min(height, width), data.outputs, config)
    if config.weights is not None:
        pretrained.begin_from(network, config.weights, resnets.HEAD)
    return image_training.fit(
        network, data, config, report, device=device, seed=seed, objective=objective, checkpoint=checkpoint
    )
