"""The networks: fully connected layers, embeddings of categories, and the last step from their outputs to what people read."""

from __future__ import annotations

import math

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
WIDEST_EMBEDDING = 32


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


class Embedded(nn.Module):
    """Learned vectors in place of category indices.

    Takes `(rows, numbers + categories)`, as `trainers.preprocessing` makes it; gives `(rows, outputs)`. Index 0, a
    category that training did not have, is the zero vector and stays it.
    """

    def __init__(self, numbers: int, sizes: list[int]) -> None:
        super().__init__()
        self.numbers = numbers
        self.tables = nn.ModuleList(nn.Embedding(size, embedding_width(size), padding_idx=0) for size in sizes)
        self.outputs = numbers + sum(embedding_width(size) for size in sizes)

    def forward(self, x: Tensor) -> Tensor:
        indices = x[:, self.numbers :].long()
        vectors = [table(indices[:, i]) for i, table in enumerate(self.tables)]
        return torch.cat([x[:, : self.numbers], *vectors], dim=1)


def embedding_width(size: int) -> int:
    """Numbers in the vector of a category with `size` indices: about the root, as rare values cannot fill more."""
    return min(WIDEST_EMBEDDING, max(2, round(math.sqrt(size))))


def embedded_mlp(numbers: int, sizes: list[int], outputs: int, config: TrainingConfig) -> nn.Sequential:
    """An `mlp` behind the embeddings of its category columns, whose numbers of indices are `sizes`."""
    if not sizes:
        return mlp(numbers, outputs, config)
    embedded = Embedded(numbers, sizes)
    return nn.Sequential(embedded, *mlp(embedded.outputs, outputs, config))


class RawUnits(nn.Module):
    """From standardised predictions `(rows, 1)` to the target's own unit `(rows,)`."""

    def __init__(self, mean: float, scale: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, standardised: Tensor) -> Tensor:
        raw: Tensor = standardised[:, 0] * self.get_buffer("scale") + self.get_buffer("mean")
        return raw
