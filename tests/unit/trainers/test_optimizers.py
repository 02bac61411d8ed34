from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from trainers import networks, optimizers
from trainers.configs import TabularMlpConfig


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return networks.mlp(6, 3, TabularMlpConfig(width=16, depth=2, batch_norm=True))


def gradients(of: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in of.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize(
    ("values", "reference"),
    [
        ({"optimizer": "adamw"}, lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.0)),
        ({"optimizer": "adam", "beta1": 0.5, "beta2": 0.9}, lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.5, 0.9))),
        ({"optimizer": "sgd"}, lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9)),
        ({"optimizer": "sgd", "momentum": 0.0}, lambda p: torch.optim.SGD(p, lr=0.01)),
        ({"optimizer": "sgd", "nesterov": True}, lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True)),
        ({"optimizer": "sgd", "momentum": 0.0, "nesterov": True}, lambda p: torch.optim.SGD(p, lr=0.01)),
    ],
)
def test_steps_are_those_of_torchs_optimizers(values: dict[str, object], reference: Callable[..., Any]) -> None:
    ours, theirs = network(), network()
    step = optimizers.optimizer(ours, TabularMlpConfig(**values))
    other = reference(theirs.parameters())
    for seed in range(5):
        gradients(ours, seed)
        gradients(theirs, seed)
        other.param_groups[0]["lr"] = 0.01 / (seed + 1)
        step(0.01 / (seed + 1))
        other.step()

    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, its)


def test_decay_takes_its_share_per_epoch_however_many_steps_that_is() -> None:
    for steps in (1, 7, 100):
        weight = torch.ones(2, 2)
        for _ in range(steps):
            optimizers.decay([weight], 0.25, factor=1.0, steps_per_epoch=steps)

        torch.testing.assert_close(weight, torch.full((2, 2), 0.75))


def test_decay_follows_the_schedule() -> None:
    weight = torch.ones(2, 2)
    optimizers.decay([weight], 0.25, factor=0.0, steps_per_epoch=10)
    assert (weight == 1).all()

    optimizers.decay([weight], 0.25, factor=0.5, steps_per_epoch=1)
    torch.testing.assert_close(weight, torch.full((2, 2), 0.75**0.5))


def test_biases_and_norms_are_spared() -> None:
    whole = network()
    names = {id(parameter): name for name, parameter in whole.named_parameters()}
    linear = [layer for layer in whole if isinstance(layer, nn.Linear)]

    assert [names[id(weight)] for weight in optimizers.weights(whole)] == [names[id(each.weight)] for each in linear]
