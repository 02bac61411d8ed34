"""The training code of `tabular-gated`; data, loop, metrics and export are the service's own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from own_trainer.entry import GatedConfig
from trainers import loop, tasks
from trainers.contract import Objective, Part, Report, TrainResult
from trainers.data import on_device


class Gated(nn.Module):
    """`(rows, inputs)` to `(rows, outputs)`."""

    def __init__(self, inputs: int, width: int, outputs: int, gate_bias: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, width)
        self.gate = nn.Linear(inputs, width)
        self.out = nn.Linear(width, outputs)
        nn.init.constant_(self.gate.bias, gate_bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.hidden(x)) * torch.sigmoid(self.gate(x)))


def train(
    train_part: Part,
    validation_part: Part,
    config: GatedConfig,
    report: Report,
    *,
    device: str,
    seed: int,
    objective: Objective,
) -> TrainResult:
    """As every trainer: learns from one part, is judged on the other, gives back the best epoch."""
    torch.manual_seed(seed)
    data = on_device.prepare(train_part, validation_part, device)
    network = Gated(data.x_train.shape[1], config.width, data.outputs, config.gate_bias).to(device)
    problem = tasks.pose(data, config, mixed=False)
    return loop.fit(network, problem, data, config, report, augment=None, seed=seed, objective=objective)
