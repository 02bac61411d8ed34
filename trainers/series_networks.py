"""The networks that tell whole series apart: from steps side by side to one vector a series, and on to its classes.

Owns the architectures of labelled series. Shapes: B series, L steps, I inputs of a step, W width. The last input is 1 where there
is a step and 0 behind a series' end; no result depends on how much of that there is: it is masked in every layer, and what is
pooled leaves it out. To each step its place from 0 to 1 in its own series is added, as what is pooled knows no order.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainers.configs import SequenceConfig
from trainers.networks import ACTIVATIONS
from trainers.text_networks import Block, pooled, states

KERNEL = 3


class SeriesClassifier(nn.Module):
    """Takes `(B, L, I)`; gives `(B, classes)`."""

    def __init__(self, length: int, inputs: int, classes: int, config: SequenceConfig) -> None:
        super().__init__()
        self.widen = nn.Linear(inputs, config.width)
        self.reader = READERS[config.architecture](length, config)
        self.head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(self.reader.outputs, classes))

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and not torch.compiler.is_exporting():  # another device would have to be waited for
            x = x[:, : int(x[:, :, -1].sum(dim=1).max())]
        there = x[:, :, -1:] > 0
        places = x[:, :, -1:].cumsum(dim=1) / x[:, :, -1:].sum(dim=1, keepdim=True)
        signal = self.widen(torch.cat([x[:, :, :-1], places], dim=2)) * there
        logits: Tensor = self.head(self.reader(signal, there))
        return logits


class _Gru(nn.Module):
    """Gated recurrent units from both ends, `(B, L, W)` to `(B, 4 W)`: Cho et al. 2014, "RNN encoder-decoder"."""

    def __init__(self, _length: int, config: SequenceConfig) -> None:
        super().__init__()
        self.outputs = 4 * config.width
        between = config.dropout if config.depth > 1 else 0.0
        self.ahead = nn.GRU(config.width, config.width, config.depth, batch_first=True, dropout=between)
        self.back = nn.GRU(config.width, config.width, config.depth, batch_first=True, dropout=between)

    def forward(self, signal: Tensor, there: Tensor) -> Tensor:
        ahead, back = states(self.ahead, signal), states(self.back, _turned_round(signal, there))
        return torch.cat([pooled(ahead, there), pooled(back, there)], dim=1)


class _Tcn(nn.Module):
    """Residual convolutions over the steps around, each with twice the reach (Bai, Kolter and Koltun 2018); to `(B, 2 W)`."""

    def __init__(self, _length: int, config: SequenceConfig) -> None:
        super().__init__()
        self.outputs = 2 * config.width
        self.layers = nn.ModuleList(
            nn.Conv1d(config.width, config.width, KERNEL, dilation=2**layer, padding=2**layer)
            for layer in range(config.depth)
        )
        self.activation = ACTIVATIONS[config.activation]()

    def forward(self, signal: Tensor, there: Tensor) -> Tensor:
        for convolve in self.layers:
            found = self.activation(convolve(signal.transpose(1, 2))).transpose(1, 2)
            signal = (signal + found) * there
        return pooled(signal, there)


class _Transformer(nn.Module):
    """Self-attention over the steps (Vaswani et al. 2017) with learned positions; to `(B, 2 W)`."""

    def __init__(self, length: int, config: SequenceConfig) -> None:
        super().__init__()
        self.outputs = 2 * config.width
        self.positions = nn.Parameter(torch.randn(length, config.width) / config.width**0.5)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, signal: Tensor, there: Tensor) -> Tensor:
        signal = signal + self.positions[: signal.shape[1]]
        for block in self.blocks:
            signal = block(signal, there[:, :, 0])
        return pooled(self.norm(signal), there)


READERS: dict[str, type[_Gru | _Tcn | _Transformer]] = {"gru": _Gru, "tcn": _Tcn, "transformer": _Transformer}


def _turned_round(signal: Tensor, there: Tensor) -> Tensor:
    """Each series `(B, L, W)` from its last step to its first, with what is behind its end where it was."""
    places = torch.arange(signal.shape[1], device=signal.device)
    back = there.sum(dim=1) - 1 - places
    return signal.gather(1, torch.where(back >= 0, back, places)[:, :, None].expand_as(signal))
