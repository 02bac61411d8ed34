"""The training code of `ctc-speech`; data, loop and export are the service's own.

Shapes: B clips, N samples, T frames, F frames after the convolutions, D units, S signs with the blank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from speech_commands import answers
from speech_commands.entry import SpeechConfig
from trainers import loop
from trainers.contract import NO_CHECKPOINT, Checkpoint, Objective, Part, Report, TrainResult
from trainers.data import on_device, streaming
from trainers.networks import ACTIVATIONS
from trainers.spectrograms import LogMel, SpecAugment
from trainers.tasks import Problem

FITTED_AT_ONCE = 256  # clips
STRIDE = 2
NEVER = -30.0  # a log-probability


class Recogniser(nn.Module):
    """Samples `(B, N)` to log-probabilities of signs `(B, F, S)`; behind a clip's end there are blanks alone."""

    def __init__(self, log_mel: LogMel, config: SpeechConfig, signs: int) -> None:
        super().__init__()
        self.log_mel = log_mel
        self.masks = SpecAugment(config.time_mask, config.frequency_mask)
        self.first = nn.Sequential(*convolution(config, config.mels, stride=STRIDE))
        self.blocks = nn.ModuleList(
            nn.Sequential(*convolution(config, config.width, dilation=2**i)) for i in range(config.depth)
        )
        self.head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(config.width, signs))

    def forward(self, samples: Tensor) -> Tensor:
        frames = self.log_mel.frames(samples)
        spectrogram = self.masks(self.log_mel(samples), frames).squeeze(1)
        units = self.first(spectrogram)
        for block in self.blocks:
            units = units + block(units)
        said = functional.log_softmax(self.head(units.movedim(1, 2)), dim=2)
        places = torch.arange(said.shape[1], device=said.device)
        heard = places < torch.div(frames - 1, STRIDE, rounding_mode="floor")[:, None] + 1
        silent = NEVER * (torch.arange(said.shape[2], device=said.device) > 0)
        return torch.where(heard[:, :, None], said, silent)


def convolution(config: SpeechConfig, channels: int, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    """Over time, of five neighbours."""
    layer = nn.Conv1d(channels, config.width, 5, stride, padding=2 * dilation, dilation=dilation)
    norm = nn.BatchNorm1d(config.width) if config.batch_norm else nn.Identity()
    return [layer, norm, ACTIVATIONS[config.activation]()]


def train(
    train_part: Part,
    validation_part: Part,
    config: SpeechConfig,
    report: Report,
    *,
    device: str,
    seed: int,
    objective: Objective,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> TrainResult:
    """As every trainer: learns from one part, is judged on the other, gives back the best epoch."""
    torch.manual_seed(seed)
    data = on_device.prepare(train_part, validation_part, device)
    said = train_part.dataset.y[train_part.rows]
    alphabet = sorted({sign for text in said for sign in text})
    data = replace(data, preprocessing={**data.preprocessing, "alphabet": alphabet})
    log_mel = LogMel(data.preprocessing["media"]["sample_rate"], config.mels)
    network = Recogniser(log_mel, config, len(alphabet) + 1).to(device)
    places = torch.split(torch.arange(len(data.x_train), device=device), FITTED_AT_ONCE)
    log_mel.fit(streaming.batches(data.x_train, places))
    problem = Problem(
        train_targets=targets(said, alphabet).to(device),
        validation_targets=targets(data.y_raw, alphabet).to(device),
        loss=ctc,
        head=nn.Identity(),
        measure=partial(measured, data.y_raw, data.preprocessing),
        draw=lambda _outputs: {},
    )
    result = loop.fit(
        network, problem, data, config, report, augment=None, seed=seed, objective=objective, checkpoint=checkpoint
    )
    return replace(result, answers=Path(answers.__file__))


def targets(said: Sequence[str], alphabet: Sequence[str]) -> Tensor:
    """Places in the alphabet from 1, with zeros behind a text's end; signs that training never had are left out."""
    numbers = {sign: i for i, sign in enumerate(alphabet, start=1)}
    texts = [torch.tensor([numbers[sign] for sign in text if sign in numbers], dtype=torch.long) for text in said]
    return nn.utils.rnn.pad_sequence(texts, batch_first=True)


def ctc(outputs: Tensor, targets: Tensor) -> Tensor:
    """Graves et al. 2006, "Connectionist temporal classification", a sign; a clip too short for its text counts nothing."""
    frames = torch.full((len(outputs),), outputs.shape[1], dtype=torch.long)
    lengths = (targets > 0).sum(dim=1).cpu()
    return functional.ctc_loss(outputs.movedim(0, 1), targets, frames, lengths, zero_infinity=True)


def measured(labels: np.ndarray, preprocessing: dict, outputs: np.ndarray) -> dict[str, float]:
    return answers.score(labels, np.array(answers.answers(outputs, preprocessing), dtype=object))
