"""The losses, over soft targets: smoothing, class weights and mix-up are all properties of the target."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from trainers.configs import TrainingConfig
from trainers.contract import Task

Loss = Callable[[Tensor, Tensor], Tensor]
"""Outputs and targets, both `(rows, classes)` or `(rows, 1)`, to the mean over rows; cross-entropy also takes class
indices `(rows,)`."""


def loss_function(config: TrainingConfig, task: Task) -> Loss:
    """The loss that a config names; `auto` by the task."""
    name = config.loss
    if name == "auto":
        name = "cross_entropy" if task == "classification" else "mse"
    if name == "focal":
        return lambda logits, targets: focal(logits, targets, config.focal_gamma)
    if name == "huber":
        return lambda outputs, targets: functional.huber_loss(outputs, targets, delta=config.huber_delta)
    return functional.cross_entropy if name == "cross_entropy" else functional.mse_loss


def focal(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """Cross-entropy that plays down rows which are already right: Lin et al. 2017, "Focal loss", equation 4.

    Args:
        logits: `(rows, classes)`.
        targets: `(rows, classes)` shares of each class.
        gamma: 0 is cross-entropy.
    """
    log_p = functional.log_softmax(logits, dim=1)
    # 1 - p through expm1 keeps its digits where p is close to 1; the floor keeps the power's slope finite at p = 1
    miss = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
    return -(targets * miss**gamma * log_p).sum(dim=1).mean()


def soft_targets(y: Tensor, classes: int, smoothing: float = 0.0, class_weights: Tensor | None = None) -> Tensor:
    """Targets as shares of each class.

    Args:
        y: `(rows,)` class indices.
        classes: how many there are.
        smoothing: share spread evenly over all classes (Szegedy et al. 2016, "Rethinking the Inception architecture").
        class_weights: `(classes,)` factors of the loss.

    Returns:
        `(rows, classes)`, each row summing to 1 (weighted, to its weights' mean).
    """
    targets = functional.one_hot(y, classes).float() * (1 - smoothing) + smoothing / classes
    return targets if class_weights is None else targets * class_weights


def balanced_weights(y: Tensor, classes: int) -> Tensor:
    """Class weights `(classes,)` inverse to frequency, 1 on average over rows; a class without rows has 0."""
    counts = torch.bincount(y, minlength=classes)
    return torch.where(counts > 0, len(y) / ((counts > 0).sum() * counts.clamp_min(1)), 0.0)


def l1(weights: list[Tensor]) -> Tensor:
    """Sum of absolute weights."""
    return torch.stack([weight.abs().sum() for weight in weights]).sum()
