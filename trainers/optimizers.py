"""The optimizers, with weight decay that means the same for all of them.

torch adds decay to the gradient for SGD and Adam, where momentum and the adaptive step distort it, and scales it by
the learning rate for AdamW. Here it is decoupled from everything else (Loshchilov and Hutter 2019, "Decoupled weight
decay regularization"): `weight_decay` is the share of each weight that is removed per epoch at the peak of the
schedule, so it can be tuned apart from learning rate, batch size and optimizer. It follows that `adam` and `adamw`
are one.

The steps are torch's own fused kernels, called through `torch.optim`'s functions: for networks as small as ours its
`Optimizer` objects spend more time around a step than in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from trainers.configs import TrainingConfig

FUSED_DEVICES = ("cpu", "cuda")
EPSILON = 1e-8  # Adam's floor of the root of the square, torch's default

Step = Callable[[float], None]
"""Moves the parameters by their gradients, in place; takes the learning rate of this step."""

Memory = dict[str, list[Tensor | None]]
"""What an optimizer remembers from step to step: by name, a tensor for each parameter, or None before the first step."""


class Optimizer:
    """A step, and the memory that it works on."""

    def __init__(self, step: Step, memory: Memory) -> None:
        self._step = step
        self.memory = memory

    def __call__(self, learning_rate: float) -> None:
        self._step(learning_rate)

    def restore(self, memory: Memory, device: torch.device) -> None:
        """Takes over the memory of an optimizer of the same kind and network."""
        for name, mine in self.memory.items():
            mine[:] = [None if value is None else value.to(device) for value in memory[name]]


def optimizer(network: nn.Module, config: TrainingConfig) -> Optimizer:
    """Builds the step of a network's parameters that learn, without weight decay; its memory starts empty."""
    parameters: list[Tensor] = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return _sgd(parameters, config) if config.optimizer == "sgd" else _adam(parameters, config)


def weights(network: nn.Module) -> list[Tensor]:
    """The parameters that decay and L1 act on: matrices and kernels that learn, not biases and norms."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad and parameter.ndim >= 2]


def forget_gradients(parameters: list[nn.Parameter]) -> None:
    """Clears gradients, so that the next backward pass writes and does not add."""
    for parameter in parameters:
        parameter.grad = None


@torch.no_grad()
def decay(decayed: list[Tensor], weight_decay: float, factor: float, steps_per_epoch: int) -> None:
    """Shrinks weights in place by one step's part of the decay.

    Args:
        decayed: of `weights`.
        weight_decay: share removed per epoch at a factor of 1, 0 to 1 exclusive.
        factor: of the schedule at this step, 0 to 1.
        steps_per_epoch: so that an epoch's steps multiply to `1 - weight_decay`.
    """
    kept = (1 - weight_decay) ** (factor / steps_per_epoch)
    for weight in decayed:
        weight.mul_(kept)


def _sgd(parameters: list[Tensor], config: TrainingConfig) -> Optimizer:
    """Stochastic gradient descent with momentum as torch has it (Sutskever et al. 2013, without their scaling)."""
    velocities: list[Tensor | None] = [None] * len(parameters)  # filled by the first step

    @torch.no_grad()
    def step(learning_rate: float) -> None:
        sgd(
            parameters,
            _gradients(parameters),
            velocities,
            lr=learning_rate,
            momentum=config.momentum,
            nesterov=config.nesterov and config.momentum > 0,
            weight_decay=0.0,
            dampening=0.0,
            maximize=False,
            fused=_fused(parameters),
            foreach=False,
        )

    return Optimizer(step, {"velocities": velocities})


def _adam(parameters: list[Tensor], config: TrainingConfig) -> Optimizer:
    """Adam: Kingma and Ba 2015."""
    memory: Memory = {
        "means": [torch.zeros_like(parameter) for parameter in parameters],
        "squares": [torch.zeros_like(parameter) for parameter in parameters],
        "counts": [torch.zeros((), device=parameter.device) for parameter in parameters],
    }
    means, squares, counts = (cast("list[Tensor]", memory[name]) for name in ("means", "squares", "counts"))

    @torch.no_grad()
    def step(learning_rate: float) -> None:
        adam(
            parameters,
            _gradients(parameters),
            means,
            squares,
            [],
            counts,
            lr=learning_rate,
            beta1=config.beta1,
            beta2=config.beta2,
            eps=EPSILON,
            weight_decay=0.0,
            amsgrad=False,
            maximize=False,
            fused=_fused(parameters),
            foreach=False,
        )

    return Optimizer(step, memory)


def _gradients(parameters: list[Tensor]) -> list[Tensor]:
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    assert len(gradients) == len(parameters), "every parameter takes part in the loss"
    return gradients


def _fused(parameters: list[Tensor]) -> bool:
    return parameters[0].device.type in FUSED_DEVICES
