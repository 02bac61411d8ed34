"""That the trainers learn: the built-in data sets by default, and a small one with each option."""

from typing import Any

import numpy as np
import pytest

from trainers import catalog, image_cnn, image_mlp
from trainers.configs import ImageCnnConfig, ImageMlpConfig, TabularMlpConfig, TrainingConfig
from trainers.contract import Dataset, Objective, Part, TrainResult
from trainers.data.load import load
from trainers.data.split import splits


def silent(_step: int, _metrics: object) -> None:
    """A report to nobody."""


TRAINERS = {trainer.config: trainer for trainer in catalog.TRAINERS.values()}


def train(name: str, config: TrainingConfig, objective: Objective) -> TrainResult:
    dataset = load(name)
    made = splits(dataset.y, dataset.task, validation=0.2, test=0.2, folds=1, repeats=1, seed=0)
    train_part, validation_part = (Part(dataset, rows) for rows in made.folds[0])
    trainer = catalog.load(TRAINERS[type(config)])
    return trainer(train_part, validation_part, config, silent, device="cpu", seed=0, objective=objective)


@pytest.mark.parametrize(
    ("name", "config", "objective", "least"),
    [
        ("digits", ImageMlpConfig(), ("accuracy", "maximize"), 0.95),
        ("digits", ImageCnnConfig(), ("accuracy", "maximize"), 0.97),
        ("breast_cancer", TabularMlpConfig(), ("accuracy", "maximize"), 0.9),
        ("wine", TabularMlpConfig(), ("accuracy", "maximize"), 0.9),
        ("iris", TabularMlpConfig(), ("accuracy", "maximize"), 0.9),
        ("diabetes", TabularMlpConfig(), ("r2", "maximize"), 0.35),
    ],
)
def test_the_defaults_learn(name: str, config: TrainingConfig, objective: Objective, least: float) -> None:
    result = train(name, config, objective)

    assert result.metrics[f"val/{objective[0]}"] > least


@pytest.mark.parametrize(
    "values",
    [
        {"optimizer": "sgd", "learning_rate": 0.03},
        {"optimizer": "sgd", "learning_rate": 0.03, "nesterov": True, "schedule": "one_cycle"},
        {"optimizer": "adam", "schedule": "step", "warmup_fraction": 0.1},
        {"loss": "focal", "focal_gamma": 1.0},
        {"label_smoothing": 0.1, "class_weighting": "balanced"},
        {"batch_norm": True, "dropout": 0.3, "batch_size": 4, "epochs": 5},
        {"l1": 1e-4, "gradient_clip": 1.0, "schedule": "exponential"},
        {"augmentation": "strong", "activation": "gelu"},
        {"depth": 0, "learning_rate": 0.1},
        {"depth": 8, "activation": "silu", "batch_norm": True},
        {"mixed_precision": True, "schedule": "constant", "activation": "tanh"},
    ],
    ids=lambda values: " ".join(f"{name}={value}" for name, value in values.items()),
)
def test_every_option_learns_wine(values: dict[str, Any]) -> None:
    result = train("wine", TabularMlpConfig(**values), ("accuracy", "maximize"))

    assert result.metrics["val/accuracy"] > 0.9


@pytest.mark.parametrize(
    "values", [{"loss": "huber"}, {"augmentation": "strong"}, {"optimizer": "sgd", "learning_rate": 0.01}]
)
def test_every_option_learns_diabetes(values: dict[str, Any]) -> None:
    result = train("diabetes", TabularMlpConfig(**values), ("r2", "maximize"))

    assert result.metrics["val/r2"] > 0.35


@pytest.mark.parametrize(
    "values", [{"augmentation": "light"}, {"augmentation": "strong"}, {"flip_p": 0.0, "cutout": 1}]
)
def test_augmented_digits_are_learned(values: dict[str, Any]) -> None:
    result = train("digits", ImageMlpConfig(**values), ("accuracy", "maximize"))

    assert result.metrics["val/accuracy"] > 0.85


@pytest.mark.parametrize(
    "values",
    [
        {"augmentation": "strong", "width": 8, "depth": 2},
        {"batch_norm": False, "activation": "silu", "epochs": 20},
        {"depth": 1, "mixed_precision": True, "label_smoothing": 0.1},
        {"depth": 8, "width": 4, "dropout": 0.2},
    ],
    ids=str,
)
def test_every_option_of_convolutions_learns_digits(values: dict[str, Any]) -> None:
    result = train("digits", ImageCnnConfig(**values), ("accuracy", "maximize"))

    assert result.metrics["val/accuracy"] > 0.8


@pytest.mark.parametrize(
    ("module", "config"),
    [
        (image_mlp, ImageMlpConfig(augmentation="strong", flip_p=0.5)),
        (image_cnn, ImageCnnConfig(augmentation="strong", flip_p=0.5, width=8)),
    ],
)
def test_images_of_several_channels_and_bytes_are_learned(module: Any, config: TrainingConfig) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    x = rng.integers(0, 100, (200, 6, 5, 3))
    x[y == 1, :, :, 2] += 60
    dataset = Dataset(
        "made", "image", "classification", x.astype(np.uint8), y, (), ("dark", "bright"), "sha256:channels"
    )
    train_part, validation_part = Part(dataset, np.arange(150)), Part(dataset, np.arange(150, 200))
    result = module.train(
        train_part, validation_part, config, silent, device="cpu", seed=0, objective=("accuracy", "maximize")
    )

    assert result.metrics["val/accuracy"] > 0.95
    assert (result.example.shape, result.example.dtype) == ((3, 6, 5, 3), np.uint8)
