"""Trainings that go on from a checkpoint on a CUDA device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.trainers.resuming import CASES, train

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


def losses(outcome: dict[str, Any]) -> list[float]:
    return [number for epoch in outcome["losses"] for number in epoch]


@pytest.mark.parametrize("name", CASES)
def test_a_training_goes_on_where_it_was_on_the_same_kind_of_device(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    straight, _ = train(case, tmp_path / "none", device="cuda")

    before, _ = train(case, tmp_path / "1.checkpoint", stop_after=case.stop_after, device="cuda")
    torch.rand(9, device="cuda")
    after, _ = train(case, tmp_path / "1.checkpoint", device="cuda")

    assert losses(before) + losses(after) == pytest.approx(losses(straight), rel=1e-3)


@pytest.mark.parametrize(("first", "second"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_training_goes_on_on_the_other_kind_of_device(first: str, second: str, tmp_path: Path) -> None:
    case = CASES["image-mlp, momentum, every augmentation"]
    train(case, tmp_path / "1.checkpoint", stop_after=case.stop_after, device=first)

    after, result = train(case, tmp_path / "1.checkpoint", device=second)

    assert result is not None
    assert [epoch[0] for epoch in after["losses"]] == list(range(case.stop_after + 1, case.config.epochs + 1))  # type: ignore[attr-defined]  # a list
