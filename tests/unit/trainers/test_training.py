"""What a training reports, keeps and refuses, on the CPU."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from trainers import catalog, loop, metrics, preprocessing
from trainers.configs import ImageCnnConfig, ImageMlpConfig, TabularMlpConfig, TrainingConfig
from trainers.contract import NonFiniteError, Objective, Part, TrainResult, TrialPruned
from trainers.data import on_device
from trainers.data.load import load
from trainers.data.split import splits

SPEED = {"samples_per_s", "epoch_s"}


class Seen:
    """A report that keeps what it is told."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def __call__(self, step: int, reported: Mapping[str, float]) -> None:
        self.epochs.append(dict(reported))
        assert step == len(self.epochs)

    def losses(self) -> list[tuple[float, float]]:
        return [(epoch["train/loss"], epoch["val/loss"]) for epoch in self.epochs]


def parts(name: str, seed: int = 0) -> tuple[Part, Part]:
    dataset = load(name)
    made = splits(dataset.y, dataset.task, validation=0.2, test=0.2, folds=1, repeats=1, seed=seed)
    train_rows, validation_rows = made.folds[0]
    return Part(dataset, train_rows), Part(dataset, validation_rows)


def train(
    name: str,
    config: TrainingConfig,
    *,
    seed: int = 0,
    objective: Objective = ("loss", "minimize"),
    seen: Seen | None = None,
) -> tuple[TrainResult, Seen]:
    trainer = catalog.load(next(each for each in catalog.TRAINERS.values() if each.config is type(config)))
    kept = seen or Seen()
    result = trainer(*parts(name), config, kept, device="cpu", seed=seed, objective=objective)
    return result, kept


def predictions(result: TrainResult, part: Part) -> np.ndarray:
    x = preprocessing.apply(result.preprocessing, part.dataset.x[part.rows])
    with torch.inference_mode():
        return result.network(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize(("name", "config"), [("digits", ImageMlpConfig), ("diabetes", TabularMlpConfig)])
def test_every_epoch_reports_every_metric(name: str, config: type[TrainingConfig]) -> None:
    result, seen = train(name, config(epochs=3))

    task = load(name).task
    judged = {"train/loss", *(f"val/{metric}" for metric in catalog.METRICS[task])}
    assert [set(epoch) for epoch in seen.epochs] == [judged | SPEED | {"learning_rate"}] * 3
    assert set(result.metrics) == judged
    assert all(epoch[name] > 0 for epoch in seen.epochs for name in SPEED)


def test_the_learning_rate_reported_is_that_of_the_epochs_last_step() -> None:
    _, seen = train("wine", TabularMlpConfig(epochs=4, learning_rate=0.5, schedule="step", batch_size=64))

    assert [epoch["learning_rate"] for epoch in seen.epochs] == pytest.approx([0.5, 0.5, 0.05, 0.005])


@pytest.mark.parametrize(
    ("name", "config", "objective"),
    [
        ("digits", ImageMlpConfig(epochs=8, learning_rate=0.03, batch_norm=True), ("roc_auc", "maximize")),
        ("breast_cancer", TabularMlpConfig(epochs=20, learning_rate=0.03), ("log_loss", "minimize")),
        ("diabetes", TabularMlpConfig(epochs=20, learning_rate=0.03), ("rmse", "minimize")),
    ],
)
def test_the_best_epochs_weights_are_kept(name: str, config: TrainingConfig, objective: Objective) -> None:
    result, seen = train(name, config, objective=objective)
    metric, direction = objective
    values = [epoch[f"val/{metric}"] for epoch in seen.epochs]
    best = int(np.argmax(values) if direction == "maximize" else np.argmin(values))

    assert best + 1 < config.epochs  # else the last weights would do
    assert result.best_step == best + 1
    assert result.metrics == {key: seen.epochs[best][key] for key in result.metrics}
    assert not result.network.training
    part = parts(name)[1]
    measure = metrics.classification if part.dataset.task == "classification" else metrics.regression
    again = measure(part.dataset.y[part.rows], predictions(result, part))
    assert {f"val/{key}": value for key, value in again.items()} == pytest.approx(
        {key: value for key, value in result.metrics.items() if key not in {"train/loss", "val/loss"}}, rel=1e-5
    )


def test_of_epochs_that_are_equal_by_the_objective_the_one_with_the_least_loss_is_kept() -> None:
    result, seen = train("wine", TabularMlpConfig(epochs=15, learning_rate=0.01), objective=("roc_auc", "maximize"))
    perfect = {step: epoch["val/loss"] for step, epoch in enumerate(seen.epochs, start=1) if epoch["val/roc_auc"] == 1}

    assert len(perfect) > 1
    assert result.best_step == min(perfect, key=lambda step: perfect[step]) > min(perfect)


def test_the_curves_are_those_of_the_best_epoch() -> None:
    result, _ = train("digits", ImageMlpConfig(epochs=5), objective=("roc_auc", "maximize"))

    assert result.curves["roc"]["auc"] == result.metrics["val/roc_auc"]
    assert result.curves["class_names"] == list("0123456789")
    assert json.dumps([result.curves, result.preprocessing, result.metrics, result.facts], allow_nan=False)


def test_early_stopping_waits_its_patience_and_keeps_the_best_epoch() -> None:
    config = TabularMlpConfig(epochs=60, learning_rate=0.02, schedule="constant", early_stopping_patience=4)
    result, seen = train("diabetes", config)
    losses = [epoch["val/loss"] for epoch in seen.epochs]

    assert len(losses) < 60
    assert result.best_step == int(np.argmin(losses)) + 1 == len(losses) - 4
    assert result.facts["epochs"] == len(losses)


def test_without_early_stopping_all_epochs_are_run() -> None:
    _, seen = train("diabetes", TabularMlpConfig(epochs=30, learning_rate=0.02))

    assert len(seen.epochs) == 30


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("digits", ImageMlpConfig(epochs=3, dropout=0.2, augmentation="strong")),
        ("digits", ImageCnnConfig(epochs=2, width=4, dropout=0.2, augmentation="strong")),
        ("wine", TabularMlpConfig(epochs=3, dropout=0.2, augmentation="strong")),
    ],
)
def test_a_seed_gives_the_same_losses_to_the_bit_whatever_was_trained_before(name: str, config: TrainingConfig) -> None:
    _, first = train(name, config, seed=5)
    train("iris", TabularMlpConfig(epochs=2, optimizer="sgd"), seed=1)
    torch.rand(17)
    _, second = train(name, config, seed=5)
    _, other = train(name, config, seed=6)

    assert first.losses() == second.losses()
    assert first.losses() != other.losses()


def test_a_preset_changes_the_training_and_its_own_strengths_are_the_same_as_naming_them() -> None:
    plain, light, named = (
        train("wine", TabularMlpConfig(epochs=3, **values))[1].losses()
        for values in (
            {},
            {"augmentation": "light"},
            {"noise_std": 0.05, "feature_dropout": 0.02},
        )
    )

    assert plain != light
    assert light == named


def test_weight_decay_and_l1_shrink_weights() -> None:
    def size(**values: Any) -> float:
        result, _ = train("wine", TabularMlpConfig(epochs=20, **values), objective=("accuracy", "maximize"))
        return float(sum(weight.detach().abs().sum() for weight in result.network.parameters() if weight.ndim == 2))

    plain = size(weight_decay=0.0)
    assert size(weight_decay=0.2) < 0.8 * plain
    assert size(weight_decay=0.0, l1=0.01) < 0.8 * plain


def test_adam_and_adamw_are_one_as_the_config_says() -> None:
    first, second = (
        train("wine", TabularMlpConfig(epochs=3, weight_decay=0.1, optimizer=name))[1].losses()
        for name in ("adam", "adamw")
    )

    assert first == second


def test_the_loss_on_validation_is_not_smoothed_or_weighted() -> None:
    result, _ = train("iris", TabularMlpConfig(epochs=3, label_smoothing=0.3, class_weighting="balanced"))

    assert result.metrics["val/loss"] == pytest.approx(result.metrics["val/log_loss"], rel=1e-5)


@pytest.mark.parametrize(("name", "metric"), [("diabetes", "train/loss"), ("wine", "train/loss")])
def test_a_training_that_explodes_is_refused_by_step_and_metric(name: str, metric: str) -> None:
    config = TabularMlpConfig(optimizer="sgd", learning_rate=1e6, activation="relu", schedule="constant")
    seen = Seen()
    with pytest.raises(NonFiniteError) as refused:
        train(name, config, seen=seen)

    assert refused.value.metric == metric
    assert refused.value.step == len(seen.epochs) + 1
    assert all(np.isfinite(value) for epoch in seen.epochs for value in epoch.values())


def test_an_explosion_in_the_last_step_is_seen_on_validation() -> None:
    config = TabularMlpConfig(optimizer="sgd", learning_rate=1e30, batch_size=1000, schedule="constant", epochs=1)
    with pytest.raises(NonFiniteError) as refused:
        train("diabetes", config)

    assert (refused.value.step, refused.value.metric) == (1, "val/loss")


def test_what_a_report_raises_ends_the_training() -> None:
    class Pruning(Seen):
        def __call__(self, step: int, reported: Mapping[str, float]) -> None:
            super().__call__(step, reported)
            if step == 3:
                raise TrialPruned

    seen = Pruning()
    with pytest.raises(TrialPruned) as pruned:
        train("wine", TabularMlpConfig(epochs=10), seen=seen)

    assert len(seen.epochs) == 3
    assert pruned.value.curves is not None
    assert pruned.value.curves["roc"]["auc"] == max(epoch["val/roc_auc"] for epoch in seen.epochs)


def test_an_objective_that_is_no_metric_of_the_task_is_refused() -> None:
    with pytest.raises(ValueError, match="'roc_auc' is no metric of regression; there are rmse, mae, r2, loss"):
        train("diabetes", TabularMlpConfig(), objective=("roc_auc", "maximize"))


def test_facts_count_the_parameters_of_784_256_128_10_style_networks() -> None:
    result, _ = train("digits", ImageMlpConfig(epochs=1, width=256, depth=2))

    assert result.facts["parameters"] == 64 * 256 + 256 + 256 * 128 + 128 + 128 * 10 + 10
    assert result.facts["train_s"] > 0
    assert 0 < result.facts["latency_ms"] < 1000


def test_facts_count_the_parameters_of_a_residual_network() -> None:
    result, _ = train("digits", ImageCnnConfig(epochs=1, width=8, depth=2))

    stem, same = 9 * 8 + 2 * 8, 2 * (9 * 8 * 8 + 2 * 8)
    halving = 9 * 8 * 16 + 2 * 16 + 9 * 16 * 16 + 2 * 16 + 8 * 16 + 2 * 16
    assert result.facts["parameters"] == stem + same + halving + 16 * 10 + 10


def test_a_large_validation_part_is_judged_in_chunks_of_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = train("digits", ImageCnnConfig(epochs=1, width=4))
    monkeypatch.setattr(loop, "VALIDATION_VALUES", 64 * 7)
    chunked, _ = train("digits", ImageCnnConfig(epochs=1, width=4))

    assert chunked.metrics == pytest.approx(whole.metrics, rel=1e-5)


def test_a_split_is_prepared_once_and_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    train_part, validation_part = parts("wine")
    first = on_device.prepare(train_part, validation_part, "cpu")
    assert on_device.prepare(*parts("wine"), "cpu") is first
    other = on_device.prepare(*parts("wine", seed=1), "cpu")
    assert other is not first

    monkeypatch.setattr(on_device, "CACHE_BYTES", first.bytes + other.bytes // 2)
    on_device.prepare(*parts("wine", seed=2), "cpu")
    assert on_device.prepare(train_part, validation_part, "cpu") is not first


def test_an_empty_part_is_refused() -> None:
    train_part, validation_part = parts("wine")
    with pytest.raises(ValueError, match="at least one row"):
        on_device.prepare(train_part, replace(validation_part, rows=np.empty(0, np.int64)), "cpu")


def test_the_time_of_a_row_is_measured_for_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Slow(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            calls.append(x)
            time.sleep(0.02)
            return x

    monkeypatch.setattr(loop, "LATENCY_S", 0.05)
    assert loop._latency_ms(Slow(), torch.zeros(1)) >= 20
    assert 1 <= len(calls) <= 3
    monkeypatch.setattr(loop, "LATENCY_S", 0.0)
    assert loop._latency_ms(Slow(), torch.zeros(1)) >= 20
