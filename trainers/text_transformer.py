"""`text-transformer`: fine-tunes an encoder of Hugging Face's out of a folder for classes of texts, by LoRA or whole."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from trainers import loop, model_folders, tasks
from trainers.contract import NO_CHECKPOINT, Checkpoint, Objective, Part, Report, TrainResult
from trainers.data import on_device
from trainers.subwords import PADDING
from trainers.text_networks import Trimmed
from trainers.text_preprocessing import Subwords
from trainers.transformer_configs import TextTransformerConfig


class Encoder(nn.Module):
    """A text's tokens to one vector, int32 `(rows, length)` to `(rows, width)`."""

    def __init__(self, encoder: nn.Module, padding: int, pooling: str) -> None:
        super().__init__()
        self.encoder = encoder
        self._padding = padding
        self._pooling = pooling

    def forward(self, x: Tensor) -> Tensor:
        there = x != PADDING
        ids = model_folders.numbers(x, self._padding)
        seen: Tensor = self.encoder(input_ids=ids, attention_mask=there.long()).last_hidden_state
        if self._pooling == "first":
            return seen[:, 0]
        weights = there.unsqueeze(2).to(seen.dtype)
        return (seen * weights).sum(dim=1) / weights.sum(dim=1)


def train(
    train_part: Part,
    validation_part: Part,
    config: TextTransformerConfig,
    report: Report,
    *,
    device: str,
    seed: int,
    objective: Objective,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> TrainResult:
    """Trains on texts, as `trainers.contract.Train` says.

    Raises:
        WeightsError: the config's model is not here, or is none that this trainer takes.
    """
    found = model_folders.find(config.model)
    about = model_folders.described(found, "encoder")
    written, numbers = model_folders.tokenizer(found)
    subwords = Subwords(written, model_folders.longest(about, config.max_length))
    data = on_device.prepare(train_part, validation_part, device, subwords)
    encoder = model_folders.load(found, about, "encoder", config.dropout)
    model_folders.refuse_unknown_numbers(found, numbers, encoder)
    torch.manual_seed(seed)  # of what is new, whatever loading has drawn
    encoder = Encoder(
        model_folders.prepared(encoder, config, about, "encoder"), about.pad_token_id or 0, config.pooling
    )
    network = nn.Sequential(
        Trimmed(), encoder, nn.Dropout(config.dropout), nn.Linear(about.hidden_size, data.outputs)
    ).to(device)
    problem = tasks.pose(data, config, mixed=False)
    return loop.fit(
        network,
        replace(problem, exported=lambda trained: nn.Sequential(_merged(trained), problem.head)),
        data,
        config,
        report,
        augment=None,
        seed=seed,
        objective=objective,
        checkpoint=checkpoint,
    )


def _merged(trained: nn.Module) -> nn.Module:
    encoder = cast("Encoder", cast("nn.Sequential", trained)[1])
    encoder.encoder = model_folders.merged(encoder.encoder)
    return trained
