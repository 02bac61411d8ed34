"""Networks of convolutions for images: residual blocks, after He et al. 2016, "Deep residual learning"."""

from __future__ import annotations

from torch import Tensor, nn

from trainers.configs import TrainingConfig
from trainers.networks import ACTIVATIONS

SMALLEST = 4  # pixels; an image of this side is not halved


class Block(nn.Module):
    """Two convolutions beside the image itself, which is halved by a convolution of its own where `stride` is 2.

    Takes `(rows, inputs, height, width)`, gives `(rows, outputs, height / stride, width / stride)`, rounded up.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, config: TrainingConfig) -> None:
        super().__init__()
        activation = ACTIVATIONS[config.activation]
        self.inner = nn.Sequential(
            *_convolution(inputs, outputs, 3, stride, config),
            activation(),
            *_convolution(outputs, outputs, 3, 1, config),
        )
        same = inputs == outputs and stride == 1
        self.beside = nn.Identity() if same else nn.Sequential(*_convolution(inputs, outputs, 1, stride, config))
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.activation(self.inner(x) + self.beside(x))
        return activated


def blocks(
    channels: int, side: int, config: TrainingConfig, *, first_stride: int = 1
) -> tuple[list[nn.Module], int, int]:
    """The layers before the pooling, the channels that they give, and into how many times fewer pixels each way."""
    layers: list[nn.Module] = [
        *_convolution(channels, config.width, 3, first_stride, config),
        ACTIVATIONS[config.activation](),
    ]
    inputs, side, halved = config.width, side // first_stride, first_stride
    for block in range(config.depth):
        stride = 2 if block > 0 and side >= 2 * SMALLEST else 1
        layers.append(Block(inputs, inputs * stride, stride, config))
        inputs, side, halved = inputs * stride, side // stride, halved * stride
    return layers, inputs, halved


def residual(channels: int, side: int, outputs: int, config: TrainingConfig) -> nn.Sequential:
    """Builds the network; takes `(rows, channels, height, width)`, gives `(rows, outputs)`.

    Args:
        channels: of the images.
        side: the shorter one, in pixels.
        outputs: classes.
        config: its width, depth, activation, batch_norm and dropout are used.
    """
    layers, inputs, _ = blocks(channels, side, config)
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if config.dropout > 0:
        layers.append(nn.Dropout(config.dropout))
    layers.append(nn.Linear(inputs, outputs))
    return nn.Sequential(*layers)


def _convolution(inputs: int, outputs: int, side: int, stride: int, config: TrainingConfig) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, side, stride, padding=side // 2, bias=not config.batch_norm)
    return [convolution, nn.BatchNorm2d(outputs)] if config.batch_norm else [convolution]
