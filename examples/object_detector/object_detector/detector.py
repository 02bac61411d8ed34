"""The training code of `grid-detector`; data, loop and export are the service's own.

Shapes: B images, G cells of the grid, C classes. Of each cell 5 + C numbers: whether the centre of an object lies in it, where in
the cell it lies (across, down), the logarithms of width and height in cells, and its class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from object_detector import answers
from object_detector.entry import DetectorConfig
from trainers import loop
from trainers.contract import NO_CHECKPOINT, Checkpoint, Objective, Part, Report, TrainResult
from trainers.data import on_device
from trainers.networks import ACTIVATIONS
from trainers.tasks import Problem

HALVINGS = 3
STRIDE = 2**HALVINGS  # pixels of a cell
LEAST_SIDE = 1e-3  # cells
RARE = 0.05  # cells with an object, as the first guess


class Detector(nn.Module):
    """Images `(B, channels, height, width)` to what is said of each cell `(B, G, 5 + C)`."""

    def __init__(self, channels: int, classes: int, config: DetectorConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(HALVINGS):
            width = config.width * 2**i
            layers += convolution(config, channels, width, stride=2)
            for _ in range(config.depth):
                layers += convolution(config, width, width)
            channels = width
        layers += [*convolution(config, channels, channels), nn.Dropout2d(config.dropout)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Conv2d(channels, 5 + classes, 1)
        nn.init.constant_(self.head.bias[:1], math.log(RARE / (1 - RARE)))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.layers(images)).flatten(2).movedim(1, 2)


def convolution(config: DetectorConfig, channels: int, width: int, stride: int = 1) -> list[nn.Module]:
    norm = nn.BatchNorm2d(width) if config.batch_norm else nn.Identity()
    return [nn.Conv2d(channels, width, 3, stride, padding=1), norm, ACTIVATIONS[config.activation]()]


class Boxes(nn.Module):
    """What is said of cells to probabilities and boxes in shares of the image, as `answers` takes them."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        down, across = torch.meshgrid(
            *(torch.arange(math.ceil(side / STRIDE)) for side in (height, width)), indexing="ij"
        )
        self.register_buffer("corners", torch.stack([across.flatten(), down.flatten()], dim=1).float())
        self.register_buffer("cells", torch.tensor([width, height]) / STRIDE)  # of the whole image

    def forward(self, said: Tensor) -> Tensor:
        centres = (self.get_buffer("corners") + said[:, :, 1:3].sigmoid()) / self.get_buffer("cells")
        halves = said[:, :, 3:5].clamp(max=6).exp() / self.get_buffer("cells") / 2
        boxes = torch.cat([centres - halves, centres + halves], dim=2).clamp(0, 1)
        return torch.cat([said[:, :, :1].sigmoid(), boxes, said[:, :, 5:].softmax(dim=2)], dim=2)


def train(
    train_part: Part,
    validation_part: Part,
    config: DetectorConfig,
    report: Report,
    *,
    device: str,
    seed: int,
    objective: Objective,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> TrainResult:
    """As every trainer: learns from one part, is judged on the other, gives back the best epoch."""
    torch.manual_seed(seed)
    data = on_device.prepare(train_part, validation_part, device)
    labels = train_part.dataset.y[train_part.rows]
    objects = sorted({name for label in labels for name in answers.read(label)[0]})
    if not objects:
        raise ValueError(
            "no label of the training part has an object: bring images with boxes, or make that part larger"
        )
    data = replace(data, preprocessing={**data.preprocessing, "objects": objects})
    channels, height, width = data.x_train.shape[1:]
    network = Detector(channels, len(objects), config).to(device)
    problem = Problem(
        train_targets=targets(labels, objects, height, width).to(device),
        validation_targets=targets(data.y_raw, objects, height, width).to(device),
        loss=partial(loss, box_weight=config.box_weight),
        head=Boxes(height, width).to(device),
        measure=partial(measured, data.y_raw, data.preprocessing),
        draw=lambda _outputs: {},
    )
    result = loop.fit(
        network, problem, data, config, report, augment=None, seed=seed, objective=objective, checkpoint=checkpoint
    )
    return replace(result, answers=Path(answers.__file__))


def targets(labels: Sequence[str], objects: Sequence[str], height: int, width: int) -> Tensor:
    """Of each cell whether an object's centre lies in it, where, how large it is, and its class: `(B, G, 6)`.

    Of several in one cell the last one counts; one of a class that training never had is left out.
    """
    rows, columns = math.ceil(height / STRIDE), math.ceil(width / STRIDE)
    made = np.zeros((len(labels), rows * columns, 6), np.float32)
    for i, label in enumerate(labels):
        names, boxes, _scores = answers.read(label)
        in_cells = boxes * np.tile([width, height], 2) / STRIDE
        for name, (left, top, right, bottom) in zip(names, in_cells, strict=True):
            if name in objects:
                x, y = (left + right) / 2, (top + bottom) / 2
                size = (math.log(max(side, LEAST_SIDE)) for side in (right - left, bottom - top))
                row, column = min(int(y), rows - 1), min(int(x), columns - 1)  # rounding may give the edge itself
                made[i, row * columns + column] = (1, x - column, y - row, *size, objects.index(name))
    return torch.from_numpy(made)


def loss(said: Tensor, targets: Tensor, *, box_weight: float) -> Tensor:
    """A mean over images, as the loop wants it: of finding objects (and nothing else), of their boxes, of their classes."""
    there = targets[:, :, 0] == 1
    finding = functional.binary_cross_entropy_with_logits(said[:, :, 0], targets[:, :, 0], reduction="sum")
    cells, wanted = said[there], targets[there]
    places = functional.l1_loss(cells[:, 1:3].sigmoid(), wanted[:, 1:3], reduction="sum")
    sizes = functional.l1_loss(cells[:, 3:5], wanted[:, 3:5], reduction="sum")
    classes = functional.cross_entropy(cells[:, 5:], wanted[:, 5].long(), reduction="sum")
    return (finding + box_weight * (places + sizes) + classes) / len(said)


def measured(labels: np.ndarray, preprocessing: dict, outputs: np.ndarray) -> dict[str, float]:
    return answers.score(labels, np.array(answers.answers(outputs.astype(float), preprocessing), dtype=object))
