"""What the families of images share once they have their network: augmentation, the memory format of a GPU, the loop."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from trainers import augmentation, loop, tasks
from trainers.configs import ImageConfig
from trainers.contract import Checkpoint, Objective, Report, TrainResult
from trainers.data.on_device import OnDevice


def fit(
    network: nn.Module,
    data: OnDevice,
    config: ImageConfig,
    report: Report,
    *,
    device: str,
    seed: int,
    objective: Objective,
    checkpoint: Checkpoint,
) -> TrainResult:
    """Trains a network of images `(rows, channels, height, width)` on the device, as `trainers.loop.fit` does."""
    network.to(device)
    if data.x_train.is_cuda:
        convert_conv2d_weight_memory_format(network, torch.channels_last)  # as tensor cores read images
    strengths = augmentation.image_strengths(config, min(data.x_train.shape[2:]))
    result = loop.fit(
        network,
        tasks.pose(data, config, mixed=strengths.mixup_alpha > 0),
        data,
        config,
        report,
        augment=augmentation.of_images(strengths, augmentation.darkest(data.preprocessing, device), seed),
        seed=seed,
        objective=objective,
        checkpoint=checkpoint,
    )
    convert_conv2d_weight_memory_format(result.network, torch.contiguous_format)
    return result
