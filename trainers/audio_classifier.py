"""`audio-classifier`: residual blocks of convolutions on the log-mel spectrograms of clips of sound."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from trainers import augmentation, convolutions, loop, tasks
from trainers.augmentation import Augment, Draws
from trainers.contract import NO_CHECKPOINT, Checkpoint, Objective, Part, Report, TrainResult
from trainers.data import on_device, streaming
from trainers.media_configs import AudioClassifierConfig
from trainers.spectrograms import LogMel, SpecAugment

FITTED_AT_ONCE = 256  # clips whose spectrograms are in memory together


@dataclass(frozen=True, kw_only=True)
class Strengths:
    """How strongly clips are changed: 0 everywhere is not at all."""

    time_mask: float = 0.0
    frequency_mask: float = 0.0
    mixup_alpha: float = 0.0


PRESETS = {
    "none": Strengths(),
    "light": Strengths(time_mask=0.1, frequency_mask=0.1),
    "strong": Strengths(time_mask=0.25, frequency_mask=0.25, mixup_alpha=0.2),
}


class Network(nn.Module):
    """Samples `(B, N)` from -1 to 1 to logits `(B, outputs)`: the mean over the frames of each clip, not over its padding."""

    def __init__(self, log_mel: LogMel, outputs: int, config: AudioClassifierConfig, strengths: Strengths) -> None:
        super().__init__()
        self.log_mel = log_mel
        self.masks = SpecAugment(strengths.time_mask, strengths.frequency_mask)
        layers, channels, self.halved = convolutions.blocks(1, config.mels, config, first_stride=2)
        self.layers = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(channels, outputs))

    def forward(self, samples: Tensor) -> Tensor:
        frames = self.log_mel.frames(samples)
        heard = _up_to(frames, samples.shape[1] // self.log_mel.hop + 1)[:, None, None, :]
        spectrogram = self.masks(self.log_mel(samples) * heard, frames)
        features = self.layers(spectrogram).mean(dim=2)  # (B, channels, T / halved)
        heard = _up_to(torch.div(frames - 1, self.halved, rounding_mode="floor") + 1, features.shape[2])[:, None, :]
        logits: Tensor = self.head((features * heard).sum(dim=2) / heard.sum(dim=2))
        return logits


def train(
    train_part: Part,
    validation_part: Part,
    config: AudioClassifierConfig,
    report: Report,
    *,
    device: str,
    seed: int,
    objective: Objective,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> TrainResult:
    """Trains on clips, as `trainers.contract.Train` says; spectrograms are standardised by the training part alone."""
    torch.manual_seed(seed)
    data = on_device.prepare(train_part, validation_part, device)
    strengths = _strengths(config)
    log_mel = LogMel(data.preprocessing["media"]["sample_rate"], config.mels)
    network = Network(log_mel, data.outputs, config, strengths).to(device)
    places = torch.split(torch.arange(len(data.x_train), device=device), FITTED_AT_ONCE)
    log_mel.fit(streaming.batches(data.x_train, places))
    problem = tasks.pose(data, config, mixed=strengths.mixup_alpha > 0)
    return loop.fit(
        network,
        problem,
        data,
        config,
        report,
        augment=_mixing(strengths, data.x_train.device, seed),
        seed=seed,
        objective=objective,
        checkpoint=checkpoint,
    )


def _strengths(config: AudioClassifierConfig) -> Strengths:
    """A config's strengths: its own where it names them, else its preset's."""
    named = {"time_mask": config.time_mask, "frequency_mask": config.frequency_mask, "mixup_alpha": config.mixup_alpha}
    return replace(PRESETS[config.augmentation], **{name: value for name, value in named.items() if value is not None})


def _mixing(strengths: Strengths, device: torch.device, seed: int) -> Augment | None:
    if strengths.mixup_alpha == 0:
        return None
    draws = Draws.seeded(device, seed)

    def mix(x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        share = draws.mixing.betavariate(strengths.mixup_alpha, strengths.mixup_alpha)
        return augmentation.mixup(x, targets, share, draws.generator)

    return Augment(mix, draws)


def _up_to(lengths: Tensor, size: int) -> Tensor:
    """1 for the first `lengths` `(B,)` of `size` places, else 0, `(B, size)`."""
    return (torch.arange(size, device=lengths.device) < lengths[:, None]).float()
