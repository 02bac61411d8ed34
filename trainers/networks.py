"""The networks: fully connected layers, and the last step from their outputs to what people read."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainers.configs import TrainingConfig

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
NARROWEST = 8  # units


def hidden_widths(width: int, depth: int) -> list[int]:
    """Units of each hidden layer: the first has `width`, each next half, at least 8 (256, 128 of 784-256-128-10)."""
    return [width if layer == 0 else max(NARROWEST, width // 2**layer) for layer in range(depth)]


def mlp(inputs: int, outputs: int, config: TrainingConfig) -> nn.Sequential:
    """Builds fully connected layers; takes `(rows, …)` of `inputs` values a row, gives `(rows, outputs)`.

    Args:
        inputs: values per row, pixels times channels for images.
        outputs: classes, or 1 for regression.
        config: its width, depth, activation, batch_norm and dropout are used.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for units in hidden_widths(config.width, config.depth):
        layers.append(nn.Linear(inputs, units))
        if config.batch_norm:
            layers.append(nn.BatchNorm1d(units))
        layers.append(ACTIVATIONS[config.activation]())
        if config.dropout > 0:
            layers.append(nn.Dropout(config.dropout))
        inputs = units
    layers.append(nn.Linear(inputs, outputs))
    return nn.Sequential(*layers)


class RawUnits(nn.Module):
    """From standardised predictions `(rows, 1)` to the target's own unit `(rows,)`."""

    def __init__(self, mean: float, scale: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, standardised: Tensor) -> Tensor:
        raw: Tensor = standardised[:, 0] * self.get_buffer("scale") + self.get_buffer("mean")
        return raw
