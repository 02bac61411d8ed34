"""What classification and regression mean for a network: its targets, loss, last step, metrics and curves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from trainers import curves, losses, metrics, thresholds
from trainers.configs import TrainingConfig
from trainers.data.on_device import OnDevice
from trainers.networks import RawUnits


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A task posed on one split. T is the number of classes, or 1 for regression.

    Attributes:
        train_targets: `(rows, T)` with smoothing and class weights in them; class indices `(rows,)` where there are
            neither and no row is mixed with another, as torch's loss is quicker with these.
        validation_targets: without smoothing and weights, so losses of different trials compare.
        loss: of outputs `(rows, T)` against such targets.
        head: from outputs to predictions: probabilities `(rows, classes)` or targets in raw units `(rows,)`.
        measure: predictions on validation to metrics by name.
        draw: predictions on validation to the JSON of `trainers.curves`.
        decide: predictions on validation and the objective's metric to what `trainers.thresholds` chooses, if it does.
        exported: makes of the trained network what is exported; None: the network and its head.
    """

    train_targets: Tensor
    validation_targets: Tensor
    loss: losses.Loss
    head: nn.Module
    measure: Callable[[np.ndarray], dict[str, float]]
    draw: Callable[[np.ndarray], dict[str, Any]]
    decide: Callable[[np.ndarray, str], dict[str, Any] | None] = lambda _predictions, _metric: None
    exported: Callable[[nn.Module], nn.Module] | None = None


def pose(data: OnDevice, config: TrainingConfig, *, mixed: bool) -> Problem:
    """Poses the task of a split's data set; `mixed` tells whether augmentation mixes targets."""
    return _classification(data, config, mixed=mixed) if data.task == "classification" else _regression(data, config)


def _classification(data: OnDevice, config: TrainingConfig, *, mixed: bool) -> Problem:
    classes = data.outputs
    weights = losses.balanced_weights(data.y_train, classes) if config.class_weighting == "balanced" else None
    train_targets, validation_targets = data.y_train, data.y_validation
    if mixed or weights is not None or config.label_smoothing > 0 or config.loss == "focal":
        train_targets = losses.soft_targets(train_targets, classes, config.label_smoothing, weights)
        validation_targets = losses.soft_targets(validation_targets, classes)
    return Problem(
        train_targets=train_targets,
        validation_targets=validation_targets,
        loss=losses.loss_function(config, "classification"),
        head=nn.Softmax(dim=1),
        measure=lambda probabilities: metrics.classification(data.y_raw, probabilities),
        draw=lambda probabilities: curves.of_classification(
            data.y_raw, probabilities, data.preprocessing["class_names"]
        ),
        decide=lambda probabilities, metric: thresholds.choose(data.y_raw, probabilities, config, metric),
    )


def _regression(data: OnDevice, config: TrainingConfig) -> Problem:
    return Problem(
        train_targets=data.y_train,
        validation_targets=data.y_validation,
        loss=losses.loss_function(config, "regression"),
        head=RawUnits(data.preprocessing["target_mean"], data.preprocessing["target_scale"]).to(data.y_train.device),
        measure=lambda predictions: metrics.regression(data.y_raw, predictions),
        draw=lambda predictions: curves.of_regression(data.y_raw, predictions),
    )
