"""The configs and search spaces of the trainers that fine-tune models of Hugging Face's; imports neither torch nor transformers.

Owns what can be tuned of them beside what `trainers.configs` has for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trainers.configs import TrainingConfig
from trainers.hyperparameters import choice, name, number, switch, whole

NOTHING = "Without effect here: the model brings its own."


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerConfig(TrainingConfig):
    """What both families share."""

    model: str | None = name(
        "The model to begin from, needed: a folder in the worker's folder TUNER_WEIGHTS with config.json, tokenizer.json and "
        "safetensors."
    )
    max_length: int = whole(128, 8, 8192, "Tokens that are read at once; never more than the model has places for.")
    lora_rank: int = whole(
        8,
        0,
        512,
        "Rank of the matrices that are learned beside the frozen ones (LoRA); 0 learns the whole model, with learning rates "
        "ten times lower.",
    )
    lora_alpha: float = number(
        16.0, 0.1, 1024.0, "What LoRA's matrices add is multiplied by this and divided by the rank.", log=True
    )
    lora_targets: str = choice(
        "attention",
        ("attention", "all"),
        "Where LoRA's matrices are: at the queries and values of attention, or at every linear layer.",
    )
    gradient_checkpointing: bool = switch("Takes a third more time and far less memory; the losses are the same.")
    learning_rate: float = number(5e-4, 1e-8, 100.0, "Peak learning rate; the schedule scales it.", log=True)
    batch_size: int = whole(
        16, 1, 65536, "Most rows per step; an epoch is cut into batches of nearly equal size.", log=True
    )
    warmup_fraction: float = number(0.1, 0.0, 0.9, "Share of all steps in which the learning rate rises.")
    gradient_clip: float = number(1.0, 0.0, 1e6, "Greatest norm of the gradient; 0 is off.", log=True)
    width: int = whole(256, 1, 16_384, NOTHING)
    depth: int = whole(2, 0, 8, NOTHING)
    activation: str = choice("gelu", ("gelu",), NOTHING)
    batch_norm: bool = switch(NOTHING)
    augmentation: str = choice("none", ("none",), "There is none for these models.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTransformerConfig(TransformerConfig):
    """`text-transformer`: an encoder, what it makes of a text pooled, and a linear layer."""

    pooling: str = choice(
        "mean", ("mean", "first"), "What stands for a text: the mean of its tokens' vectors, or the first one."
    )
    dropout: float = number(
        0.1, 0.0, 0.95, "Share dropped in training: in the encoder, in what goes into LoRA, and of what is pooled."
    )
    learning_rate: float = number(1e-3, 1e-8, 100.0, "Peak learning rate; the schedule scales it.", log=True)
    epochs: int = whole(8, 1, 10_000, "Passes over the training part.")


@dataclass(frozen=True, slots=True, kw_only=True)
class CausalLmConfig(TransformerConfig):
    """`causal-lm`: a decoder that foretells each token of a text from those before it."""

    max_length: int = whole(
        256,
        8,
        8192,
        "Tokens that are read at once: longer texts go in blocks, of which none sees another; never more than the model has "
        "places for.",
    )
    batch_size: int = whole(
        8, 1, 65536, "Most blocks per step; an epoch is cut into batches of nearly equal size.", log=True
    )
    epochs: int = whole(3, 1, 10_000, "Passes over the training part.")
    dropout: float = number(0.05, 0.0, 0.95, "Share dropped in training: in the decoder, and in what goes into LoRA.")
    loss: str = choice("auto", ("auto",), "Cross-entropy of the next token.")


SHARED_SPACE: dict[str, Any] = {
    "learning_rate": {"type": "float", "low": 5e-5, "high": 5e-3, "log": True},
    "lora_rank": {"type": "int", "low": 2, "high": 64, "log": True},
    "lora_alpha": {"type": "float", "low": 4.0, "high": 64.0, "log": True},
    "lora_targets": {"type": "categorical", "choices": ["attention", "all"]},
    "dropout": {"type": "float", "low": 0.0, "high": 0.3},
    "weight_decay": {"type": "float", "low": 1e-6, "high": 1e-1, "log": True},
}

TEXT_TRANSFORMER_SPACE: dict[str, Any] = {
    **SHARED_SPACE,
    "batch_size": {"type": "categorical", "choices": [8, 16, 32]},
    "pooling": {"type": "categorical", "choices": ["mean", "first"]},
}

CAUSAL_LM_SPACE: dict[str, Any] = {
    **SHARED_SPACE,
    "batch_size": {"type": "categorical", "choices": [4, 8, 16]},
}
