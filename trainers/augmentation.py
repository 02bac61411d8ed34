"""Augmentation of whole batches on the device they live on: pure functions of a batch and a generator.

Owns the presets. Shapes: B rows, C channels, H and W pixels, F features, L tokens, T classes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional

from trainers.configs import ImageConfig, TabularMlpConfig, TextClassifierConfig
from trainers.token_ids import UNKNOWN

Change = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Draws:
    """The chance of an augmentation: on the batches' device, and on the CPU."""

    generator: Generator
    mixing: random.Random

    @classmethod
    def seeded(cls, device: torch.device, seed: int) -> Draws:
        return cls(Generator(device).manual_seed(seed), random.Random(seed))  # noqa: S311 - the draws keep no secret


@dataclass(frozen=True)
class Augment:
    """Batch and targets to the augmented batch and targets; to be mixed, targets must be floats `(B, T)`.

    Attributes:
        change: does it.
        draws: its chance.
    """

    change: Change
    draws: Draws

    def __call__(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return self.change(x, targets)


@dataclass(frozen=True, kw_only=True)
class ImageStrengths:
    """How strongly images are changed: 0 everywhere is not at all."""

    flip_p: float = 0.0  # chance
    rotate_deg: float = 0.0  # degrees each way
    crop_pad: int = 0  # pixels each way
    cutout: int = 0  # pixels
    mixup_alpha: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TabularStrengths:
    """How strongly rows are changed: 0 everywhere is not at all."""

    noise_std: float = 0.0  # deviations of the column
    feature_dropout: float = 0.0  # share of cells
    mixup_alpha: float = 0.0


def image_preset(name: str, side: int) -> ImageStrengths:
    """The strengths of a preset for images whose shorter side has `side` pixels."""
    if name == "light":
        return ImageStrengths(rotate_deg=5.0, crop_pad=min(4, side // 14))
    if name == "strong":
        crop_pad, cutout = min(4, max(1, side // 7)), max(1, side // 4)
        return ImageStrengths(rotate_deg=15.0, crop_pad=crop_pad, cutout=cutout, mixup_alpha=0.2)
    return ImageStrengths()


TABULAR_PRESETS = {
    "none": TabularStrengths(),
    "light": TabularStrengths(noise_std=0.05, feature_dropout=0.02),
    "strong": TabularStrengths(noise_std=0.2, feature_dropout=0.1, mixup_alpha=0.2),
}

WORD_DROPOUT_PRESETS = {"none": 0.0, "light": 0.1, "strong": 0.3}  # shares of tokens


def image_strengths(config: ImageConfig, side: int) -> ImageStrengths:
    """A config's strengths: its own where it names them, else its preset's."""
    preset = image_preset(config.augmentation, side)
    return ImageStrengths(
        flip_p=preset.flip_p if config.flip_p is None else config.flip_p,
        rotate_deg=preset.rotate_deg if config.rotate_deg is None else config.rotate_deg,
        crop_pad=preset.crop_pad if config.crop_pad is None else config.crop_pad,
        cutout=preset.cutout if config.cutout is None else config.cutout,
        mixup_alpha=preset.mixup_alpha if config.mixup_alpha is None else config.mixup_alpha,
    )


def tabular_strengths(config: TabularMlpConfig) -> TabularStrengths:
    """A config's strengths: its own where it names them, else its preset's."""
    preset = TABULAR_PRESETS[config.augmentation]
    return TabularStrengths(
        noise_std=preset.noise_std if config.noise_std is None else config.noise_std,
        feature_dropout=preset.feature_dropout if config.feature_dropout is None else config.feature_dropout,
        mixup_alpha=preset.mixup_alpha if config.mixup_alpha is None else config.mixup_alpha,
    )


def word_dropout_of(config: TextClassifierConfig) -> float:
    """A config's share of tokens: its own where it names one, else its preset's."""
    return WORD_DROPOUT_PRESETS[config.augmentation] if config.word_dropout is None else config.word_dropout


def darkest(preprocessing: dict[str, Any], device: str) -> Tensor:
    """The darkest value of each channel in training, in the network's scale, `(C, 1, 1)`: the background."""
    values = [
        (low - mean) / scale
        for low, mean, scale in zip(*(preprocessing[key] for key in ("low", "mean", "scale")), strict=True)
    ]
    return torch.tensor(values, device=device)[:, None, None]


def of_images(strengths: ImageStrengths, background: Tensor, seed: int) -> Augment | None:
    """Builds the augmentation of images; None where all strengths are 0.

    Args:
        strengths: of each transform.
        background: `(C, 1, 1)` what is shown where no pixel is, on the batches' device.
        seed: of the draws.
    """
    if strengths == ImageStrengths():
        return None
    draws = Draws.seeded(background.device, seed)
    generator = draws.generator

    def augment(x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        x = x - background  # the transforms fill with 0
        if strengths.flip_p > 0:
            x = flip(x, strengths.flip_p, generator)
        if strengths.rotate_deg > 0:
            x = rotate(x, strengths.rotate_deg, generator)
        if strengths.crop_pad > 0:
            x = shift(x, strengths.crop_pad, generator)
        if strengths.cutout > 0:
            x = cutout(x, strengths.cutout, generator)
        x = x + background
        if strengths.mixup_alpha > 0:
            share = draws.mixing.betavariate(strengths.mixup_alpha, strengths.mixup_alpha)
            return mixup(x, targets, share, generator)
        return x, targets

    return Augment(augment, draws)


def of_rows(strengths: TabularStrengths, numbers: int, device: torch.device, seed: int) -> Augment | None:
    """Builds the augmentation of standardised rows `(B, F)`; None where all strengths are 0.

    Args:
        strengths: of each transform.
        numbers: how many of F are numbers; the others are indices of categories, the last.
        device: of the batches.
        seed: of the draws.
    """
    if strengths == TabularStrengths():
        return None
    draws = Draws.seeded(device, seed)
    generator = draws.generator

    def augment(x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if strengths.noise_std > 0:
            x = torch.cat([noise(x[:, :numbers], strengths.noise_std, generator), x[:, numbers:]], dim=1)
        if strengths.feature_dropout > 0:
            x = feature_dropout(x, strengths.feature_dropout, generator)
        if strengths.mixup_alpha > 0:
            share = draws.mixing.betavariate(strengths.mixup_alpha, strengths.mixup_alpha)
            return mixup(x, targets, share, generator, numbers)
        return x, targets

    return Augment(augment, draws)


def of_tokens(share: float, device: torch.device, seed: int) -> Augment | None:
    """Builds the augmentation of the numbers of tokens `(B, L)`; None where no share of them is changed."""
    if share == 0:
        return None
    draws = Draws.seeded(device, seed)
    return Augment(lambda x, targets: (word_dropout(x, share, draws.generator), targets), draws)


def word_dropout(x: Tensor, share: float, generator: Generator) -> Tensor:
    """Makes a share of tokens unknown ones, which keeps the length of a text `(B, L)`."""
    dropped = (torch.rand(x.shape, device=x.device, generator=generator) < share) & (x > UNKNOWN)
    return x.masked_fill(dropped, UNKNOWN)


def flip(x: Tensor, chance: float, generator: Generator) -> Tensor:
    """Mirrors each image `(B, C, H, W)` left to right by chance."""
    flipped = torch.rand(len(x), 1, 1, 1, device=x.device, generator=generator) < chance
    return torch.where(flipped, x.flip(3), x)


def rotate(x: Tensor, degrees: float, generator: Generator) -> Tensor:
    """Turns each image `(B, C, H, W)` about its centre by up to `degrees` each way, bilinear, 0 outside."""
    height, width = x.shape[2:]
    drawn = torch.rand(len(x), device=x.device, generator=generator)
    angles = (2 * drawn - 1) * math.radians(degrees)
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    # affine_grid's axes run from -1 to 1 whatever the side, so other than square images need the sides' ratio
    rows = (cos, -sin * height / width, zero, sin * width / height, cos, zero)
    grid = functional.affine_grid(torch.stack(rows, dim=1).view(-1, 2, 3), list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, align_corners=False)


def shift(x: Tensor, pad: int, generator: Generator) -> Tensor:
    """Moves each image `(B, C, H, W)` by whole pixels, up to `pad` each way: a random crop of the padded image."""
    rows, _, height, width = x.shape
    corners = torch.randint(0, 2 * pad + 1, (2, rows, 1), device=x.device, generator=generator)
    padded = functional.pad(x, (pad, pad, pad, pad)).permute(0, 2, 3, 1)  # (B, H + 2 pad, W + 2 pad, C)
    row = (corners[0] + torch.arange(height, device=x.device))[:, :, None]  # (B, H, 1)
    column = (corners[1] + torch.arange(width, device=x.device))[:, None, :]  # (B, 1, W)
    image = torch.arange(rows, device=x.device)[:, None, None]
    return padded[image, row, column].permute(0, 3, 1, 2)


def cutout(x: Tensor, side: int, generator: Generator) -> Tensor:
    """Blanks a square of `side` pixels at a random place of each image `(B, C, H, W)`; it may stand out over an edge.

    DeVries and Taylor 2017, "Improved regularization of convolutional neural networks with cutout".
    """
    rows, _, height, width = x.shape
    places = torch.rand(2, rows, 1, device=x.device, generator=generator)
    top = (places[0] * height).long() - side // 2
    left = (places[1] * width).long() - side // 2
    row, column = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
    in_rows = (row >= top) & (row < top + side)  # (B, H)
    in_columns = (column >= left) & (column < left + side)  # (B, W)
    return x.masked_fill((in_rows[:, :, None] & in_columns[:, None, :])[:, None], 0.0)


def noise(x: Tensor, std: float, generator: Generator) -> Tensor:
    """Adds Gaussian noise of deviation `std`."""
    return x + std * torch.randn(x.shape, device=x.device, generator=generator)


def feature_dropout(x: Tensor, share: float, generator: Generator) -> Tensor:
    """Sets a share of cells to 0, which is the column's mean, or the index of an unknown category."""
    return x * (torch.rand(x.shape, device=x.device, generator=generator) >= share)


def mixup(
    x: Tensor, targets: Tensor, share: float, generator: Generator, numbers: int | None = None
) -> tuple[Tensor, Tensor]:
    """Mixes each row with another of the batch, `share` of its own: Zhang et al. 2018, "mixup".

    Of rows `(B, F)` only the first `numbers` values are mixed; of the others, indices, each cell is the row's own by the
    chance `share`, else the other row's.
    """
    order = torch.randperm(len(x), device=x.device, generator=generator)
    others, mixed_targets = x[order], torch.lerp(targets[order], targets, share)
    if numbers is None or numbers == x.shape[1]:
        return torch.lerp(others, x, share), mixed_targets
    own = torch.rand(x[:, numbers:].shape, device=x.device, generator=generator) < share
    chosen = torch.where(own, x[:, numbers:], others[:, numbers:])
    return torch.cat([torch.lerp(others[:, :numbers], x[:, :numbers], share), chosen], dim=1), mixed_targets
