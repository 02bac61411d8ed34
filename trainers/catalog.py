"""The catalog of trainers: what there is, what it fits, how its values become a config; imports no torch.

Owns `TRAINERS`, ours, and `METRICS`; `trainers()` has those of other people's too, where they are installed. The control
plane validates studies with it; only `load` imports the training code.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

from trainers import hyperparameters as hyper
from trainers import plugins
from trainers.configs import (
    ImageCnnConfig,
    ImageMlpConfig,
    RecommenderConfig,
    SequenceConfig,
    TabularMlpConfig,
    TextClassifierConfig,
    TrainingConfig,
)
from trainers.contract import Direction, Kind, Task, Train
from trainers.media_configs import AudioClassifierConfig, ImageResnetConfig
from trainers.transformer_configs import CAUSAL_LM_SPACE, TEXT_TRANSFORMER_SPACE, CausalLmConfig, TextTransformerConfig

TOP = (5, 10, 20)
"""Lengths of the lists by which recommendations are judged."""

METRICS: dict[Task, dict[str, Direction]] = {
    "classification": {
        "accuracy": "maximize",
        "balanced_accuracy": "maximize",
        "precision": "maximize",
        "recall": "maximize",
        "f1": "maximize",
        "roc_auc": "maximize",
        "average_precision": "maximize",
        "log_loss": "minimize",
        "brier": "minimize",
        "loss": "minimize",
    },
    "regression": {"rmse": "minimize", "mae": "minimize", "r2": "maximize", "loss": "minimize"},
    # MLflow takes no @ in a name
    "recommendation": {
        **{f"{metric}_at_{k}": "maximize" for k in TOP for metric in ("recall", "ndcg")},
        "loss": "minimize",
    },
    "language": {"perplexity": "minimize", "loss": "minimize"},
}
"""Names by which a task's results are judged (reported as `val/<name>`), each with the direction that is better.

Structured tasks are judged by their trainer's own: `metrics` knows both.
"""

METRIC_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,79}")  # with what is put around it at most 100 characters
TAKEN_METRICS = {"parameters", "model_bytes", "latency_ms", "train_s", "loss", "threshold", "epoch"}
TAKEN_ENDINGS = ("_low", "_high", "_std")  # what is told of a metric beside its value

LOSSES: dict[Task, tuple[str, ...]] = {
    "classification": ("auto", "cross_entropy", "focal"),
    "regression": ("auto", "mse", "huber"),
    "recommendation": ("auto", "bpr", "softmax"),
    "language": ("auto",),
    "structured": ("auto",),
}

EXTRAS: dict[str, tuple[str, ...]] = {"transformers": ("transformers", "peft")}
"""Extras of this project, each with the modules that it brings."""


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """A way to train a model.

    Attributes:
        name: as studies name it.
        version: changes when the same config would give other numbers than in a version that was released.
        summary: one sentence for people.
        kinds: kinds of data that it fits.
        tasks: what it can predict.
        config: the frozen dataclass of its hyperparameters.
        entry_point: `module:function` of its train function.
        default_space: a study's `search_space` for when the user gives none.
        spaces: the same for kinds of data that need another.
        metrics: of a trainer of structured tasks, the names by which its results are judged, the first by default.
        needed: hyperparameters that a study must give, as they have no default that does.
        extra: of this project, which brings what it trains with; None: nothing beside the project itself.
    """

    name: str
    version: str
    summary: str
    kinds: tuple[Kind, ...]
    tasks: tuple[Task, ...]
    config: type[TrainingConfig]
    entry_point: str
    default_space: dict[str, Any]
    needed: tuple[str, ...] = ()
    extra: str | None = None
    spaces: Mapping[Kind, dict[str, Any]] = field(default_factory=dict)
    metrics: Mapping[str, Direction] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if ("structured" in self.tasks) != bool(self.metrics):
            raise ValueError(f"{self.name}: a trainer of structured tasks says its metrics, and no other does")
        for name in self.metrics:
            if not METRIC_NAME.fullmatch(name):
                rule = "use at most 80 letters, digits, dots, dashes and _, a letter or _ first"
                raise ValueError(f"{self.name}: {name!r} is no name of a metric: {rule}")
            if name in TAKEN_METRICS or name.endswith(TAKEN_ENDINGS):
                raise ValueError(
                    f"{self.name}: the metric {name!r} needs another name: the service uses this one itself"
                )


class UnknownTrainerError(LookupError):
    """There is no trainer of that name."""

    def __init__(self, name: str) -> None:
        if name in broken():
            super().__init__(f"the trainer {name!r} is installed and cannot be used ({broken()[name]})")
        else:
            super().__init__(f"no trainer is called {name!r}; there are {', '.join(sorted(trainers()))}")
        self.name = name


class MissingExtraError(ImportError):
    """A trainer is known, and what it trains with is not installed here."""

    def __init__(self, trainer: Trainer) -> None:
        assert trainer.extra is not None
        modules = " and ".join(EXTRAS[trainer.extra])
        super().__init__(f"{trainer.name} needs {modules} where it runs: pip install 'tuner[{trainer.extra}]'")


LEAST_STEPS = 4  # of an epoch; with fewer, a batch is nearly the whole training part

SHARED_SPACE: dict[str, Any] = {
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    "depth": {"type": "int", "low": 1, "high": 3},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5},
    "weight_decay": {"type": "float", "low": 1e-6, "high": 1e-1, "log": True},
    "augmentation": {"type": "categorical", "choices": ["none", "light", "strong"]},
    # not adam beside adamw: here they are the same
    "optimizer": {"type": "categorical", "choices": ["sgd", "adamw"]},
    "momentum": {"type": "float", "low": 0.0, "high": 0.99, "when": {"optimizer": ["sgd"]}},
}

# of tables and texts; why without sgd and its rates: docs/adr/0020
ADAMW_SPACE: dict[str, Any] = {
    "learning_rate": {"type": "float", "low": 3e-4, "high": 3e-2, "log": True},
    "depth": {"type": "int", "low": 1, "high": 3},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5},
    "weight_decay": {"type": "float", "low": 1e-4, "high": 0.3, "log": True},
    "augmentation": {"type": "categorical", "choices": ["none", "light", "strong"]},
}

RECOMMENDER_SPACE: dict[str, Any] = {
    "architecture": {"type": "categorical", "choices": ["mf", "two_tower"]},
    "learning_rate": {"type": "float", "low": 1e-3, "high": 1e-1, "log": True},
    "batch_size": {"type": "categorical", "choices": [256, 512, 1024, 2048]},
    "width": {"type": "int", "low": 8, "high": 128, "log": True},
    "depth": {"type": "int", "low": 0, "high": 2, "when": {"architecture": ["two_tower"]}},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5},
    "weight_decay": {"type": "float", "low": 1e-3, "high": 0.7, "log": True},
    "negatives": {"type": "categorical", "choices": [4, 16, 64]},
    "id_dropout": {"type": "float", "low": 0.0, "high": 0.5, "when": {"architecture": ["two_tower"]}},
}

SEQUENCE_SPACE: dict[str, Any] = {
    "architecture": {"type": "categorical", "choices": ["gru", "tcn", "transformer"]},
    "window": {"type": "int", "low": 8, "high": 64},
    "learning_rate": {"type": "float", "low": 3e-4, "high": 3e-2, "log": True},
    "batch_size": {"type": "categorical", "choices": [32, 64, 128]},
    "width": {"type": "categorical", "choices": [16, 32]},
    "depth": {"type": "int", "low": 1, "high": 2},
    "dropout": {"type": "float", "low": 0.0, "high": 0.3},
    "weight_decay": {"type": "float", "low": 1e-6, "high": 1e-1, "log": True},
}

TRAINERS: dict[str, Trainer] = {
    trainer.name: trainer
    for trainer in (
        Trainer(
            name="image-mlp",
            version="1",
            summary="Fully connected network on the pixels of small images.",
            kinds=("image",),
            tasks=("classification",),
            config=ImageMlpConfig,
            entry_point="trainers.image_mlp:train",
            default_space={
                **SHARED_SPACE,
                "batch_size": {"type": "categorical", "choices": [32, 64, 128, 256]},
                "width": {"type": "int", "low": 32, "high": 512, "log": True},
            },
        ),
        Trainer(
            name="image-cnn",
            version="1",
            summary="Small residual network of convolutions, for images.",
            kinds=("image",),
            tasks=("classification",),
            config=ImageCnnConfig,
            entry_point="trainers.image_cnn:train",
            default_space={
                **SHARED_SPACE,
                "batch_size": {"type": "categorical", "choices": [32, 64, 128, 256]},
                "depth": {"type": "int", "low": 1, "high": 4},
                "width": {"type": "int", "low": 8, "high": 64, "log": True},
            },
        ),
        Trainer(
            name="image-resnet",
            version="1",
            summary="Residual net in stages, for images of any size; begins from weights on disk where told.",
            kinds=("image",),
            tasks=("classification",),
            config=ImageResnetConfig,
            entry_point="trainers.image_resnet:train",
            default_space={
                **SHARED_SPACE,
                "batch_size": {"type": "categorical", "choices": [16, 32, 64, 128]},
                "depth": {"type": "int", "low": 1, "high": 3},
                "width": {"type": "int", "low": 16, "high": 64, "log": True},
            },
        ),
        Trainer(
            name="audio-classifier",
            version="1",
            summary="Small residual network of convolutions on log-mel spectrograms, for clips of sound.",
            kinds=("audio",),
            tasks=("classification",),
            config=AudioClassifierConfig,
            entry_point="trainers.audio_classifier:train",
            default_space={
                **SHARED_SPACE,
                "batch_size": {"type": "categorical", "choices": [16, 32, 64, 128]},
                "depth": {"type": "int", "low": 2, "high": 4},
                "width": {"type": "int", "low": 4, "high": 16, "log": True},
            },
        ),
        Trainer(
            name="tabular-mlp",
            version="1",
            summary="Fully connected network on standardised columns, with embeddings of categories.",
            kinds=("tabular",),
            tasks=("classification", "regression"),
            config=TabularMlpConfig,
            entry_point="trainers.tabular_mlp:train",
            default_space={
                **ADAMW_SPACE,
                "batch_size": {"type": "categorical", "choices": [16, 32, 64, 128]},
                "width": {"type": "int", "low": 16, "high": 512, "log": True},
            },
        ),
        Trainer(
            name="recommender",
            version="1",
            summary="Matrix factorisation or two towers of features, for events (ranking) and ratings.",
            kinds=("interactions",),
            tasks=("recommendation", "regression"),
            config=RecommenderConfig,
            entry_point="trainers.recommender:train",
            default_space=RECOMMENDER_SPACE,
        ),
        Trainer(
            name="sequence",
            version="1",
            summary="GRU, TCN or transformer on windows of the past, for forecasts of series, or on series, for their classes.",
            kinds=("series", "labelled-series"),
            tasks=("regression", "classification"),
            config=SequenceConfig,
            entry_point="trainers.sequence:train",
            default_space=SEQUENCE_SPACE,
            spaces={"labelled-series": {name: each for name, each in SEQUENCE_SPACE.items() if name != "window"}},
        ),
        Trainer(
            name="text-classifier",
            version="1",
            summary="Small network on the words, characters or bytes of texts in any language.",
            kinds=("text",),
            tasks=("classification", "regression"),
            config=TextClassifierConfig,
            entry_point="trainers.text_classifier:train",
            default_space={
                **ADAMW_SPACE,
                # embedding_bag alone: cnn was no better on thousands of texts, and of long ones takes minutes on a CPU
                "depth": {"type": "int", "low": 0, "high": 2},
                "tokens": {"type": "categorical", "choices": ["word", "char"]},
                "ngrams": {"type": "int", "low": 1, "high": 3},
                "batch_size": {"type": "categorical", "choices": [16, 32, 64, 128]},
                "width": {"type": "int", "low": 16, "high": 256, "log": True},
            },
        ),
        Trainer(
            name="text-transformer",
            version="1",
            summary="Fine-tunes an encoder of Hugging Face's for texts; workers need pip install 'tuner[transformers]'.",
            kinds=("text",),
            tasks=("classification",),
            config=TextTransformerConfig,
            entry_point="trainers.text_transformer:train",
            default_space=TEXT_TRANSFORMER_SPACE,
            needed=("model",),
            extra="transformers",
        ),
        Trainer(
            name="causal-lm",
            version="1",
            summary="Fine-tunes a decoder of Hugging Face's on raw texts; workers need pip install 'tuner[transformers]'.",
            kinds=("text",),
            tasks=("language",),
            config=CausalLmConfig,
            entry_point="trainers.causal_lm:train",
            default_space=CAUSAL_LM_SPACE,
            needed=("model",),
            extra="transformers",
        ),
    )
}


@cache
def _installed() -> plugins.Installed[Trainer]:
    return plugins.discover(Trainer, taken=TRAINERS)


def trainers() -> dict[str, Trainer]:
    """Ours, and those that are installed beside them, by name; found when first asked for."""
    return TRAINERS | _installed().trainers


def is_usable(trainer: Trainer) -> bool:
    """Whether the extra that a trainer needs is installed here."""
    return all(importlib.util.find_spec(module) is not None for module in EXTRAS.get(trainer.extra or "", ()))


def broken() -> dict[str, str]:
    """Installed trainers that cannot be used, each with the reason."""
    return _installed().broken


def get(name: str) -> Trainer:
    """Finds a trainer by name.

    Raises:
        UnknownTrainerError: naming those that there are.
    """
    found = trainers()
    if name not in found:
        raise UnknownTrainerError(name)
    return found[name]


def fitting(kind: Kind, task: Task) -> list[Trainer]:
    """Those that fit a kind of data and a task; a study that names none gets the first."""
    return [trainer for trainer in trainers().values() if kind in trainer.kinds and task in trainer.tasks]


def metrics(trainer: Trainer, task: Task) -> Mapping[str, Direction]:
    """What a trainer's results are judged by in a task, each with the direction that is better."""
    return METRICS.get(task, {**trainer.metrics, "loss": "minimize"})


def space_for(trainer: Trainer, kind: Kind, rows: int) -> dict[str, Any]:
    """A trainer's default search space for a kind of data, without batches of more than a quarter of the rows to learn from.

    Of a categorical `batch_size` the smallest choice stays in any case.
    """
    space = dict(trainer.spaces.get(kind, trainer.default_space))
    batch_size = space.get("batch_size", {})
    if "choices" in batch_size:
        choices = [choice for choice in batch_size["choices"] if choice * LEAST_STEPS <= rows]
        space["batch_size"] = {**batch_size, "choices": choices or [min(batch_size["choices"])]}
    return space


def hyperparameters(trainer: Trainer) -> list[hyper.Hyperparameter]:
    """Every hyperparameter of a trainer, in the order of its config."""
    return hyper.describe(trainer.config)


def build_config(trainer: Trainer, values: Mapping[str, object], task: Task) -> TrainingConfig:
    """Makes a trainer's config of plain values; what is left out has its default.

    Raises:
        ConfigError: for an unknown name, a wrong type, a value out of range, or values that cannot go together.
    """
    config = hyper.build(trainer.config, values)
    if config.loss not in LOSSES[task]:
        raise hyper.ConfigError("loss", f"{config.loss} is not for {task}; use one of {', '.join(LOSSES[task])}")
    if task != "classification" and config.label_smoothing > 0:
        raise hyper.ConfigError("label_smoothing", f"{task} has no labels to smooth; leave it out")
    if task != "classification" and config.class_weighting != "none":
        raise hyper.ConfigError("class_weighting", f"{task} has no classes to weigh; leave it out")
    if task != "classification" and config.threshold not in {"auto", "none"}:
        raise hyper.ConfigError("threshold", f"{task} has no classes to tell apart; leave it out")
    # batches of nearly equal size have at least two rows from 4 on, and one row has no variance to normalise by
    if config.batch_norm and config.batch_size < 4:
        raise hyper.ConfigError("batch_size", "batch_norm needs batches of at least 4 rows")
    return config


def load(trainer: Trainer) -> Train:
    """Imports a trainer's code, torch included, and gives its train function.

    Raises:
        MissingExtraError: what it trains with is not installed here.
    """
    if not is_usable(trainer):
        raise MissingExtraError(trainer)
    module, function = trainer.entry_point.split(":")
    return cast("Train", getattr(importlib.import_module(module), function))


def takes_checkpoint(train: Train) -> bool:
    """Whether a train function can go on from a saved state: it has the parameter `checkpoint`."""
    return "checkpoint" in inspect.signature(train).parameters
