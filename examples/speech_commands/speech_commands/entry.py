"""What the service is told of `ctc-speech`; imports no torch, since the control plane reads it, too."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.catalog import Trainer
from trainers.configs import TrainingConfig
from trainers.hyperparameters import choice, number, switch, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechConfig(TrainingConfig):
    """`ctc-speech`: residual convolutions over time on a log-mel spectrogram."""

    mels: int = whole(32, 16, 128, "Bands of the spectrogram.")
    width: int = whole(64, 8, 512, "Channels of the convolutions.", log=True)
    depth: int = whole(4, 1, 8, "Residual convolutions over time, each of twice the reach of the one before.")
    batch_norm: bool = switch("Batch normalisation after each convolution.", default=True)
    batch_size: int = whole(
        8, 1, 65536, "Most rows per step; an epoch is cut into batches of nearly equal size.", log=True
    )
    learning_rate: float = number(5e-3, 1e-8, 100.0, "Peak learning rate; the schedule scales it.", log=True)
    dropout: float = number(0.1, 0.0, 0.95, "Share of units dropped before the last layer in training.")
    epochs: int = whole(20, 1, 10_000, "Passes over the training part.")
    gradient_clip: float = number(5.0, 0.0, 1e6, "Greatest norm of the gradient; 0 is off.", log=True)
    warmup_fraction: float = number(0.1, 0.0, 0.9, "Share of all steps in which the learning rate rises.")
    time_mask: float = number(0.05, 0.0, 0.8, "SpecAugment: each of two masks hides up to this share of a clip's time.")
    frequency_mask: float = number(0.1, 0.0, 0.8, "SpecAugment: each of two masks hides up to this share of the bands.")
    augmentation: str = choice("none", ("none",), "The masks above are all.")


TRAINER = Trainer(
    name="ctc-speech",
    version="1",
    summary="Transcripts of short clips, letter by letter: CTC on convolutions over time.",
    kinds=("audio",),
    tasks=("structured",),
    config=SpeechConfig,
    entry_point="speech_commands.recogniser:train",
    default_space={
        "learning_rate": {"type": "float", "low": 1e-3, "high": 1e-2, "log": True},
        "width": {"type": "int", "low": 32, "high": 128, "log": True},
        "dropout": {"type": "float", "low": 0.0, "high": 0.4},
        "time_mask": {"type": "float", "low": 0.0, "high": 0.15},
        "batch_size": {"type": "categorical", "choices": [8, 16, 32]},
    },
    metrics={"character_error_rate": "minimize", "exact_match": "maximize"},
)
