"""Which rows an epoch's batches are of: every row once, or each class as often as every other; drawn on the CPU.

So each device sees the same batches, and a training that goes on from a checkpoint draws those that were still to come.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from trainers.configs import TrainingConfig

SORTED_BATCHES = 16  # that take their rows from one draw, sorted by length

Draw = Callable[[], Tensor]
"""The row indices of an epoch, `(rows,)` int64 on the CPU, in the order in which they are used."""


def drawer(y: Tensor, classes: int, config: TrainingConfig, generator: Generator) -> Draw:
    """How a config draws an epoch's rows.

    Args:
        y: `(rows,)` class indices; targets of regression are not looked at.
        classes: how many there are.
        config: with `class_weighting`.
        generator: on the CPU.
    """
    if config.class_weighting != "sampling":
        return lambda: torch.randperm(len(y), generator=generator)
    counts = torch.bincount(y.cpu(), minlength=classes)
    members, starts = torch.argsort(y.cpu(), stable=True), counts.cumsum(0) - counts
    there = torch.nonzero(counts).squeeze(1)

    def balanced() -> Tensor:
        """As many rows as there are: a class by chance, each as likely, then one of its rows, again and again."""
        drawn = there[torch.randint(len(there), (len(y),), generator=generator)]
        places = torch.rand(len(y), generator=generator, dtype=torch.float64) * counts[drawn]
        return members[starts[drawn] + places.long()]

    return balanced


def cut(order: Tensor, steps: int, lengths: Tensor | None, generator: Generator) -> list[Tensor]:
    """An epoch's batches, of nearly equal size; of rows of many lengths a batch has similar ones, as far as chance goes.

    Args:
        order: of a `Draw`.
        steps: batches.
        lengths: of all rows of the training part, `(rows,)`; None: they have no lengths.
        generator: on the CPU; of it the batches' order is drawn, where rows have lengths.
    """
    if lengths is None:
        return list(order.tensor_split(steps))
    blocks = order.tensor_split(max(1, steps // SORTED_BATCHES))
    batches = torch.cat([block[lengths[block].argsort(stable=True)] for block in blocks]).tensor_split(steps)
    return [batches[step] for step in torch.randperm(steps, generator=generator).tolist()]
