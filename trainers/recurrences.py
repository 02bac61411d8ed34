"""The networks of the trainer `sequence`: a window of the past to the values after it.

Shapes: B windows, W steps of the past, C columns of which the target is the first, H values to forecast, D units. To what a
network reads out of the window a linear map of the window is added, which for many short series is all that there is to learn
(Lai et al. 2018, "Modeling long- and short-term temporal patterns with deep neural networks").
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.configs import SequenceConfig
from trainers.networks import ACTIVATIONS, embedding_width

KERNEL = 3
HEADS = 4


class Forecaster(nn.Module):
    """Takes `(B, C W + 1)`, the past of each column and the series' index; gives `(B, H)`."""

    def __init__(self, series: int, columns: int, config: SequenceConfig) -> None:
        super().__init__()
        self.columns, self.window = columns, config.window
        self.reader = READERS[config.architecture](columns, config)
        told = embedding_width(series + 1) if series > 1 else 0
        self.series = nn.Embedding(series + 1, told, padding_idx=0) if told else None
        self.drop = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.width + told, config.horizon)
        self.linear = nn.Linear(columns * config.window, config.horizon)
        nn.init.zeros_(self.linear.weight)

    def forward(self, x: Tensor) -> Tensor:
        past, index = x[:, :-1], x[:, -1].long()
        read: Tensor = self.drop(self.reader(past.reshape(-1, self.columns, self.window).transpose(1, 2)))
        if self.series is not None:
            read = torch.cat([read, self.series(index)], dim=1)
        forecast: Tensor = self.head(read) + self.linear(past)
        return forecast


class _Gru(nn.Module):
    """Cho et al. 2014: `(B, W, C)` to the last state `(B, D)`."""

    def __init__(self, columns: int, config: SequenceConfig) -> None:
        super().__init__()
        dropout = config.dropout if config.depth > 1 else 0.0
        self.gru = nn.GRU(columns, config.width, config.depth, batch_first=True, dropout=dropout)

    def forward(self, past: Tensor) -> Tensor:
        states: Tensor = self.gru(past)[0]
        return states[:, -1]


class _Tcn(nn.Module):
    """Residual causal convolutions, each with twice the reach (Bai, Kolter and Koltun 2018); to the last step's `(B, D)`."""

    def __init__(self, columns: int, config: SequenceConfig) -> None:
        super().__init__()
        self.widen = nn.Linear(columns, config.width)
        self.layers = nn.ModuleList(
            nn.Conv1d(config.width, config.width, KERNEL, dilation=2**layer) for layer in range(config.depth)
        )
        self.activation = ACTIVATIONS[config.activation]()

    def forward(self, past: Tensor) -> Tensor:
        x = self.widen(past).transpose(1, 2)
        for layer, convolve in enumerate(self.layers):
            x = x + self.activation(convolve(functional.pad(x, ((KERNEL - 1) * 2**layer, 0))))
        last: Tensor = x[:, :, -1]
        return last


class _Transformer(nn.Module):
    """Self-attention over the window (Vaswani et al. 2017) with learned positions; to the last step's `(B, D)`."""

    def __init__(self, columns: int, config: SequenceConfig) -> None:
        super().__init__()
        self.widen = nn.Linear(columns, config.width)
        self.positions = nn.Parameter(torch.randn(config.window, config.width) / config.width**0.5)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.width,
                HEADS if config.width % HEADS == 0 else 1,
                2 * config.width,
                config.dropout,
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.depth)
        )

    def forward(self, past: Tensor) -> Tensor:
        x = self.widen(past) + self.positions
        for layer in self.layers:
            x = layer(x)
        last: Tensor = x[:, -1]
        return last


READERS: dict[str, type[nn.Module]] = {"gru": _Gru, "tcn": _Tcn, "transformer": _Transformer}
