"""The configs of the trainers of sound and of large images: every hyperparameter with default and meaning; imports no torch.

Owns what can be tuned of them beside what `trainers.configs` has for all.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainers.configs import BY_PRESET, ImageConfig, TrainingConfig
from trainers.hyperparameters import name, number, switch, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResnetConfig(ImageConfig):
    """`image-resnet`: a residual net in stages; with width 64 and depth 2, on images over 64 pixels, it is ResNet-18."""

    width: int = whole(32, 1, 512, "Channels of the first stage; each next has twice as many.", log=True)
    depth: int = whole(
        2,
        1,
        8,
        "Residual blocks of two convolutions in each stage; of images up to 64 pixels, a stage down to 4 pixels.",
    )
    batch_norm: bool = switch("Batch normalisation after each convolution.", default=True)
    batch_size: int = whole(
        32, 1, 65536, "Most rows per step; an epoch is cut into batches of nearly equal size.", log=True
    )
    dropout: float = number(0.0, 0.0, 0.95, "Share of channels' means dropped before the last layer in training.")
    epochs: int = whole(15, 1, 10_000, "Passes over the training part.")
    weights: str | None = name(
        "A safetensors file in the worker's folder TUNER_WEIGHTS to begin from, all but the last layer: of this trainer's "
        "own tensors, or of a ResNet-18's as torchvision and timm name them; null begins from chance."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioClassifierConfig(TrainingConfig):
    """`audio-classifier`: a small residual network of convolutions on the log-mel spectrogram of a clip."""

    mels: int = whole(40, 16, 128, "Bands of the spectrogram, evenly over the mel scale up to half the sample rate.")
    width: int = whole(
        8, 1, 512, "Channels of the first block; a block that halves the spectrogram has twice as many.", log=True
    )
    depth: int = whole(
        3,
        1,
        16,
        "Residual blocks of two convolutions, behind one that halves bands and time; from the second on each halves them "
        "again, down to 4 bands.",
    )
    batch_norm: bool = switch("Batch normalisation after each convolution.", default=True)
    batch_size: int = whole(
        32, 1, 65536, "Most rows per step; an epoch is cut into batches of nearly equal size.", log=True
    )
    dropout: float = number(0.1, 0.0, 0.95, "Share of channels' means dropped before the last layer in training.")
    epochs: int = whole(30, 1, 10_000, "Passes over the training part.")
    time_mask: float | None = number(
        None, 0.0, 0.8, f"SpecAugment: each of two masks hides up to this share of a clip's time. {BY_PRESET}"
    )
    frequency_mask: float | None = number(
        None, 0.0, 0.8, f"SpecAugment: each of two masks hides up to this share of the bands. {BY_PRESET}"
    )
    mixup_alpha: float | None = number(None, 0.0, 4.0, f"Mixing of clips by Beta(alpha, alpha). {BY_PRESET}")
