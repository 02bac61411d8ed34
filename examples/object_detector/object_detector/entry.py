"""What the service is told of `grid-detector`; imports no torch, since the control plane reads it, too."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.catalog import Trainer
from trainers.configs import TrainingConfig
from trainers.hyperparameters import choice, number, switch, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorConfig(TrainingConfig):
    """`grid-detector`: convolutions down to a grid, of which the cell that an object's centre lies in finds it."""

    width: int = whole(
        24, 4, 512, "Channels of the first convolutions; each halving of the image doubles them.", log=True
    )
    depth: int = whole(1, 1, 4, "Convolutions at each size, behind the one that halves it.")
    batch_norm: bool = switch("Batch normalisation after each convolution.", default=True)
    batch_size: int = whole(
        16, 1, 65536, "Most rows per step; an epoch is cut into batches of nearly equal size.", log=True
    )
    epochs: int = whole(30, 1, 10_000, "Passes over the training part.")
    learning_rate: float = number(1e-2, 1e-8, 100.0, "Peak learning rate; the schedule scales it.", log=True)
    schedule: str = choice(
        "one_cycle", ("constant", "step", "exponential", "cosine", "one_cycle"), "Course of the learning rate."
    )
    box_weight: float = number(2.0, 0.0, 100.0, "What places and sizes count in the loss, beside objects and classes.")
    dropout: float = number(0.1, 0.0, 0.95, "Share of channels dropped before the last layer in training.")
    augmentation: str = choice(
        "none", ("none",), "There is none: a change of the image would have to change its boxes."
    )


TRAINER = Trainer(
    name="grid-detector",
    version="1",
    summary="Boxes around the objects of an image, by one grid without anchors.",
    kinds=("image",),
    tasks=("structured",),
    config=DetectorConfig,
    entry_point="object_detector.detector:train",
    default_space={
        "learning_rate": {"type": "float", "low": 2e-3, "high": 3e-2, "log": True},
        "width": {"type": "int", "low": 16, "high": 64, "log": True},
        "depth": {"type": "int", "low": 1, "high": 2},
        "box_weight": {"type": "float", "low": 0.5, "high": 5.0, "log": True},
        "batch_size": {"type": "categorical", "choices": [8, 16, 32]},
    },
    metrics={"mean_average_precision": "maximize"},
)
