"""Trainings on a CUDA device against the same on the CPU."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import mlflow.pyfunc
import pandas as pd
import pytest
import torch

from trainers import catalog, export
from trainers.configs import ImageCnnConfig, ImageMlpConfig, TabularMlpConfig, TrainingConfig
from trainers.contract import Part, TrainResult
from trainers.data import on_device, streaming
from trainers.data.builtin import BUILTIN
from trainers.data.load import load
from trainers.data.split import splits

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


def train(name: str, config: TrainingConfig, device: str) -> tuple[TrainResult, list[float]]:
    dataset = load(name)
    rows = splits(dataset.y, dataset.task, validation=0.2, test=0.2, folds=1, repeats=1, seed=0).folds[0]
    losses = []

    def report(_step: int, metrics: Mapping[str, float]) -> None:
        losses.append(metrics["train/loss"])

    trainer = catalog.load(next(each for each in catalog.TRAINERS.values() if each.config is type(config)))
    train_part, validation_part = (Part(dataset, each) for each in rows)
    result = trainer(
        train_part,
        validation_part,
        config,
        report,
        device=device,
        seed=0,
        objective=("loss", "minimize"),
    )
    return result, losses


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("digits", ImageMlpConfig(epochs=3)),
        ("digits", ImageMlpConfig(epochs=3, optimizer="sgd", learning_rate=0.03, batch_norm=True)),
        ("digits", ImageCnnConfig(epochs=3, optimizer="sgd", learning_rate=0.01)),
        ("diabetes", TabularMlpConfig(epochs=3, gradient_clip=1.0)),
    ],
)
def test_losses_are_those_of_the_cpu(name: str, config: TrainingConfig) -> None:
    """Weights and batches are drawn on the CPU, so only rounding differs."""
    on_cpu, on_gpu = (train(name, config, device)[1] for device in ("cpu", "cuda:0"))

    assert on_gpu == pytest.approx(on_cpu, rel=2e-3)


@pytest.mark.parametrize("augmentation", ["none", "strong"])
def test_bfloat16_learns(augmentation: str) -> None:
    config = ImageMlpConfig(mixed_precision=True, augmentation=augmentation)
    result, losses = train("digits", config, "cuda:0")

    assert losses[-1] < 0.6 * losses[0]
    assert result.metrics["val/accuracy"] > 0.85
    assert {parameter.dtype for parameter in result.network.parameters()} == {torch.float32}


def test_bfloat16_changes_the_training() -> None:
    config = ImageMlpConfig(epochs=2)
    plain, mixed = (train("digits", each, "cuda:0")[1] for each in (config, replace(config, mixed_precision=True)))

    assert plain != mixed


@pytest.mark.parametrize(
    ("name", "config"), [("digits", ImageMlpConfig()), ("digits", ImageCnnConfig()), ("iris", TabularMlpConfig())]
)
def test_a_model_trained_there_is_kept_and_loaded_on_the_cpu(name: str, config: TrainingConfig, tmp_path: Path) -> None:
    result, _ = train(name, replace(config, epochs=2), "cuda:0")
    export.save_model(result, tmp_path / "model", BUILTIN[name])
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))

    assert {parameter.device.type for parameter in result.network.parameters()} == {"cpu"}
    x, names = load(name).x[:5], list(BUILTIN[name].feature_names)
    predicted = model.predict(pd.DataFrame(x, columns=names) if names else x)
    assert predicted.sum(axis=1).to_numpy() == pytest.approx([1.0] * 5, abs=1e-5)


def test_rows_that_stream_give_the_losses_of_rows_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ImageCnnConfig(epochs=2, width=8, augmentation="strong")
    _, resident = train("digits", config, "cuda:0")
    on_device.forget()
    monkeypatch.setattr(streaming, "FREE_SHARE", 0.0)
    _, streamed = train("digits", config, "cuda:0")
    on_device.forget()

    assert streamed == pytest.approx(resident, rel=1e-4)
