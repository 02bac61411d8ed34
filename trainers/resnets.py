"""Residual nets in stages: He et al. 2016, "Deep residual learning for image recognition".

Tensors are named as torchvision and timm name those of their ResNets, so that files of theirs fit where the shapes do.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from trainers.media_configs import ImageResnetConfig
from trainers.networks import ACTIVATIONS

SMALL = 64  # pixels; of images up to this side the first layers halve nothing
SMALLEST = 4  # pixels of a small image in its last stage
STAGES = 4
HEAD = "fc."

Norm = Callable[[int], nn.Module]


class Block(nn.Module):
    """Two convolutions beside the image itself, `(rows, inputs, h, w)` to `(rows, outputs, h / stride, w / stride)`."""

    def __init__(self, inputs: int, outputs: int, stride: int, config: ImageResnetConfig) -> None:
        super().__init__()
        norm, bias = _norm(config), not config.batch_norm
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=bias)
        self.bn1 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=bias)
        self.bn2 = norm(outputs)
        same = inputs == outputs and stride == 1
        self.downsample = (
            nn.Identity() if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=bias), norm(outputs))
        )
        self.activation = ACTIVATIONS[config.activation]()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(self.activation(self.bn1(self.conv1(x)))))
        activated: Tensor = self.activation(inner + self.downsample(x))
        return activated


class Resnet(nn.Module):
    """`(rows, channels, height, width)` to logits `(rows, outputs)`."""

    def __init__(self, channels: int, side: int, outputs: int, config: ImageResnetConfig) -> None:
        """Builds it.

        Args:
            channels: of the images.
            side: the shorter one, in pixels.
            outputs: classes.
            config: its width, depth, activation, batch_norm and dropout are used.
        """
        super().__init__()
        large, bias = side > SMALL, not config.batch_norm
        kernel, stride = (7, 2) if large else (3, 1)
        self.conv1 = nn.Conv2d(channels, config.width, kernel, stride, padding=kernel // 2, bias=bias)
        self.bn1 = _norm(config)(config.width)
        self.activation = ACTIVATIONS[config.activation]()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1) if large else nn.Identity()
        inputs = config.width
        self.stages = STAGES if large else sum(side // 2**stage >= SMALLEST for stage in range(1, STAGES)) + 1
        for stage in range(self.stages):
            outer, stride = config.width * 2**stage, 1 if stage == 0 else 2
            first = Block(inputs, outer, stride, config)
            others = [Block(outer, outer, 1, config) for _ in range(config.depth - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(first, *others))
            inputs = outer
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(config.dropout))
        self.fc = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.activation(self.bn1(self.conv1(x))))
        for stage in range(self.stages):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        logits: Tensor = self.fc(self.pool(x))
        return logits


def _norm(config: ImageResnetConfig) -> Norm:
    return nn.BatchNorm2d if config.batch_norm else lambda _: nn.Identity()
