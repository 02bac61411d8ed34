"""What the service is told of `tabular-gated`; imports no torch, since the control plane reads it, too."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.catalog import Trainer
from trainers.configs import TrainingConfig
from trainers.hyperparameters import number


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedConfig(TrainingConfig):
    """`tabular-gated`: the shared hyperparameters, and one of its own."""

    gate_bias: float = number(1.0, -5.0, 5.0, "Where the gates start: above 0 they are open.")


TRAINER = Trainer(
    name="tabular-gated",
    version="1",
    summary="One hidden layer, each unit behind a gate of its own.",
    kinds=("tabular",),
    tasks=("classification", "regression"),
    config=GatedConfig,
    entry_point="own_trainer.gated:train",
    default_space={
        "learning_rate": {"type": "float", "low": 1e-3, "high": 1e-1, "log": True},
        "width": {"type": "int", "low": 8, "high": 128, "log": True},
        "gate_bias": {"type": "float", "low": -2.0, "high": 2.0},
    },
)
