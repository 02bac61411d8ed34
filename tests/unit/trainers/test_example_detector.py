"""The training code of the example `grid-detector`: targets at an image's edge, a loss that pieces of a batch add up to."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from trainers.contract import Dataset, Part

EXAMPLE = Path(__file__).parents[3] / "examples/object_detector"


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    return importlib.import_module("object_detector.detector")


def label(*boxes: list[float]) -> str:
    return json.dumps([{"class": "cat", "box": box} for box in boxes])


def test_the_smallest_boxes_at_the_edges_are_learnt_in_the_last_cells(detector: ModuleType) -> None:
    beside = float(np.nextafter(1, 0))
    labels = [label([beside, beside, 1, 1]), label([0.25, 0.5, 0.75, 1])]
    made = detector.targets(labels, ["cat"], 32, 32)

    assert [each.nonzero().tolist() for each in made[:, :, 0]] == [[[15]], [[14]]]
    assert made[0, 15, 1:3].tolist() == [1, 1]
    assert made[1, 14, 1:5].tolist() == pytest.approx([0, 0, np.log(2), np.log(2)])
    assert torch.isfinite(detector.targets([label([0, 0, 5e-324, 5e-324])], ["cat"], 3, 3)).all()


def test_the_losses_of_a_batchs_pieces_add_up_to_its_own(detector: ModuleType) -> None:
    """One piece has three objects, the other none."""
    boxes = [[0.0, 0.0, 0.3, 0.3], [0.6, 0.6, 0.9, 0.9], [0.0, 0.6, 0.3, 0.9]]
    targets = detector.targets([label(*boxes), label()], ["cat"], 32, 32)
    said = torch.randn(2, 16, 6, generator=torch.Generator().manual_seed(0))
    whole = detector.loss(said, targets, box_weight=2.0)
    pieces = [detector.loss(said[i : i + 1], targets[i : i + 1], box_weight=2.0) for i in range(2)]

    assert float(whole) == pytest.approx(float(sum(pieces)) / 2)


def test_a_training_part_without_any_object_is_told(detector: ModuleType) -> None:
    entry = importlib.import_module("object_detector.entry")
    images = np.zeros((4, 16, 16), np.uint8)
    images[:, 0] = 255
    empty = Dataset(
        name="bare",
        kind="image",
        task="structured",
        x=images,
        y=np.array([label()] * 4, dtype=object),
        feature_names=(),
        class_names=(),
        digest="sha256:bare",
    )
    with pytest.raises(ValueError, match="no label of the training part has an object: bring images with boxes"):
        detector.train(
            Part(empty, np.array([0, 1])),
            Part(empty, np.array([2, 3])),
            entry.DetectorConfig(epochs=1, width=4),
            lambda _step, _metrics: None,
            device="cpu",
            seed=0,
            objective=("mean_average_precision", "maximize"),
        )
