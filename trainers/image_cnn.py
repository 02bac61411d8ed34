"""`image-cnn`: a small residual network of convolutions on images."""

from __future__ import annotations

import torch
from torch.nn.utils import convert_conv2d_weight_memory_format

from trainers import augmentation, convolutions, loop, tasks
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
    network = convolutions.residual(channels, min(height, width), data.outputs, config).to(device)
    if data.x_train.is_cuda:
        convert_conv2d_weight_memory_format(network, torch.channels_last)  # as tensor cores read images
    strengths = augmentation.image_strengths(config, min(height, width))
    problem = tasks.pose(data, config, mixed=strengths.mixup_alpha > 0)
    augment = augmentation.of_images(strengths, augmentation.darkest(data.preprocessing, device), seed)
    result = loop.fit(
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
    convert_conv2d_weight_memory_format(result.network, torch.contiguous_format)
    return result
