"""Rows that are too large for the device: when they stream, and that nothing else changes by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.trainers.resuming import tones
from tests.unit.trainers.test_media_families import SMALL_AUDIO, SMALL_RESNET, split, train
from trainers import preprocessing
from trainers.configs import ImageCnnConfig, ImageMlpConfig, TabularMlpConfig, TrainingConfig
from trainers.contract import Dataset, Part
from trainers.data import on_device, streaming
from trainers.data.load import load
from trainers.data.streaming import Streamed

SHARED = {"epochs": 2, "augmentation": "strong", "dropout": 0.2}
CASES = [
    ("digits", ImageMlpConfig(width=16, **SHARED)),
    ("digits", ImageCnnConfig(width=4, **SHARED)),
    ("digits", replace(SMALL_RESNET, **SHARED)),
    ("tones", replace(SMALL_AUDIO, **SHARED)),
]


@pytest.fixture(autouse=True)
def one_thread_and_an_empty_cache() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    on_device.forget()
    yield
    on_device.forget()
    torch.set_num_threads(threads)


def dataset(name: str) -> Dataset:
    return tones() if name == "tones" else load(name)


def prepared(data: Dataset) -> on_device.OnDevice:
    train_rows, validation_rows = split(data)
    return on_device.prepare(Part(data, train_rows), Part(data, validation_rows), "cpu")


@pytest.mark.parametrize(("name", "config"), CASES, ids=[type(config).__name__ for _, config in CASES])
def test_losses_and_weights_are_those_of_rows_on_the_device_to_the_bit(
    monkeypatch: pytest.MonkeyPatch, name: str, config: TrainingConfig
) -> None:
    data = dataset(name)
    resident, losses = train(data, config, *split(data))
    assert isinstance(prepared(data).x_train, torch.Tensor)
    on_device.forget()
    monkeypatch.setattr(streaming, "FREE_SHARE", 0.0)
    streamed, streamed_losses = train(data, config, *split(data))

    assert isinstance(prepared(data).x_train, Streamed)
    assert streamed_losses == losses
    assert streamed.metrics == resident.metrics
    weights, others = (result.network.state_dict() for result in (resident, streamed))
    assert all(torch.equal(weights[key], others[key]) for key in weights)


@pytest.mark.parametrize(("name", "by_row"), [("digits", 64 * 4), ("tones", None)])
def test_the_choice_is_by_size_beside_free_memory(
    monkeypatch: pytest.MonkeyPatch, name: str, by_row: int | None
) -> None:
    data = dataset(name)
    rows = sum(len(part) for part in split(data))
    needed = rows * (by_row or 4 * data.x.shape[1])

    for free, expected in (
        (needed / streaming.FREE_SHARE + 100, torch.Tensor),
        (needed / streaming.FREE_SHARE - 100, Streamed),
    ):
        on_device.forget()
        monkeypatch.setattr(streaming, "free_bytes", lambda _device, free=free: free)
        made = prepared(data)
        assert isinstance(made.x_train, expected)
        assert isinstance(made.x_validation, expected)
    assert made.bytes == rows * 8, "the targets alone are on the device"


def test_tables_never_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "FREE_SHARE", 0.0)
    wine = load("wine")

    assert isinstance(prepared(wine).x_train, torch.Tensor)
    assert train(wine, TabularMlpConfig(epochs=1), *split(wine))[1]


def test_free_memory_is_what_the_machine_has() -> None:
    assert 2**24 < streaming.free_bytes(torch.device("cpu")) < 2**45


def test_a_batch_is_made_of_its_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the others is read, so a data set on the disk may be larger than memory."""
    digits = load("digits")
    part = Part(digits, np.arange(1_000, 1_700))
    fitted = preprocessing.fit(part)
    asked: list[int] = []
    apply = preprocessing.apply
    monkeypatch.setattr(preprocessing, "apply", lambda facts, x: asked.append(len(x)) or apply(facts, x))
    rows = Streamed(part, fitted, torch.device("cpu"))
    places = (torch.tensor([3, 699, 0]), torch.tensor([5]))
    made: list[Any] = list(streaming.batches(rows, places))

    assert (rows.shape, len(rows)) == ((700, 1, 8, 8), 700)
    assert asked == [1, 3, 1]
    assert np.array_equal(made[0].numpy(), apply(fitted, digits.x[[1_003, 1_699, 1_000]]))
    assert torch.equal(streaming.first(rows), rows[0][None])
