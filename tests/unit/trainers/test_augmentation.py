import math

import pytest
import torch

from trainers import augmentation
from trainers.augmentation import ImageStrengths, TabularStrengths
from trainers.configs import ImageMlpConfig, TabularMlpConfig


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def images(rows: int, height: int = 8, width: int = 8, channels: int = 1) -> torch.Tensor:
    """No two pixels alike and none 0."""
    return torch.rand(rows, channels, height, width, generator=torch.Generator().manual_seed(1)) + 1


def test_flips_are_whole_images_mirrored_left_to_right_by_chance(generator: torch.Generator) -> None:
    x = images(2000, channels=2)
    flipped = augmentation.flip(x, 0.3, generator)
    same, mirrored = ((flipped == each).all(dim=(1, 2, 3)) for each in (x, x.flip(3)))

    assert (same ^ mirrored).all()
    assert mirrored.float().mean() == pytest.approx(0.3, abs=0.04)


def test_a_certain_flip_undoes_itself(generator: torch.Generator) -> None:
    x = images(5)

    assert (augmentation.flip(augmentation.flip(x, 1.0, generator), 1.0, generator) == x).all()


def test_shifts_are_whole_pixels_within_the_pad_and_fill_with_0(generator: torch.Generator) -> None:
    x = images(600, 5, 7)
    shifted = augmentation.shift(x, 2, generator)
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2))

    found = torch.zeros(len(x), dtype=torch.int64)
    for down in range(5):
        for right in range(5):
            found += (padded[:, :, down : down + 5, right : right + 7] == shifted).all(dim=(1, 2, 3))
    assert (found == 1).all()
    assert len({tuple((row[0] == 0).all(dim=1).tolist()) for row in shifted}) == 5  # 2 up to 2 down, all seen


def test_rotation_keeps_the_centre_and_turns_by_no_more_than_asked(generator: torch.Generator) -> None:
    x = torch.zeros(400, 1, 31, 31)
    x[:, 0, 15, 15] = 1.0  # the centre
    x[:, 0, 15, 27] = 1.0  # 12 pixels to its right
    turned = augmentation.rotate(x, 15.0, generator)

    assert turned[:, 0, 15, 15] == pytest.approx(torch.ones(400), abs=1e-5)
    outer = turned[:, 0].clone()
    outer[:, 13:18, 13:18] = 0
    down, right = torch.meshgrid(torch.arange(31.0) - 15, torch.arange(31.0) - 15, indexing="ij")
    mass = outer.sum(dim=(1, 2))
    angles = torch.rad2deg(torch.atan2((outer * down).sum(dim=(1, 2)) / mass, (outer * right).sum(dim=(1, 2)) / mass))
    assert angles.abs().max() < 15.5
    assert angles.max() > 13
    assert angles.min() < -13
    radius = torch.hypot((outer * down).sum(dim=(1, 2)) / mass, (outer * right).sum(dim=(1, 2)) / mass)
    assert radius == pytest.approx(torch.full((400,), 12.0), abs=0.2)


def test_rotation_keeps_lengths_in_images_that_are_not_square() -> None:
    x = torch.zeros(1, 1, 41, 21)
    x[0, 0, 20, 18] = 1.0  # 8 pixels right of the centre
    seen = []
    for seed in range(60):
        turned = augmentation.rotate(x, 90.0, torch.Generator().manual_seed(seed))[0, 0]
        down, right = torch.meshgrid(torch.arange(41.0) - 20, torch.arange(21.0) - 10, indexing="ij")
        seen.append(math.hypot((turned * down).sum() / turned.sum(), (turned * right).sum() / turned.sum()))

    assert seen == pytest.approx([8.0] * 60, abs=0.2)


def test_cutout_blanks_one_square_through_all_channels_and_nothing_else(generator: torch.Generator) -> None:
    x = images(500, channels=2)
    blanked = augmentation.cutout(x, 3, generator) == 0

    assert (blanked[:, 0] == blanked[:, 1]).all()
    counts = blanked[:, 0].sum(dim=(1, 2))
    assert counts.max() == 9
    assert counts.min() >= 4  # over a corner
    for mask in blanked[:, 0]:
        rows, columns = mask.any(dim=1), mask.any(dim=0)
        assert (mask == rows[:, None] & columns[None]).all()
        assert rows.sum() <= 3
        assert columns.sum() <= 3


def test_noise_has_the_deviation_asked_for(generator: torch.Generator) -> None:
    x = torch.zeros(400, 50)

    assert augmentation.noise(x, 0.3, generator).std() == pytest.approx(0.3, rel=0.02)


def test_feature_dropout_sets_a_share_of_cells_to_the_mean(generator: torch.Generator) -> None:
    dropped = augmentation.feature_dropout(torch.ones(400, 50), 0.2, generator)

    assert set(dropped.unique().tolist()) == {0.0, 1.0}
    assert (dropped == 0).float().mean() == pytest.approx(0.2, abs=0.01)


def test_mixup_mixes_rows_and_targets_by_one_share_with_one_partner(generator: torch.Generator) -> None:
    x, targets = torch.eye(6), torch.eye(6)
    mixed, mixed_targets = augmentation.mixup(x, targets, 0.7, generator)

    assert (mixed == mixed_targets).all()
    assert mixed.sum(dim=1) == pytest.approx(torch.ones(6))
    assert (mixed.diagonal() >= 0.7 - 1e-6).all()
    assert mixed.sum(dim=0) == pytest.approx(torch.ones(6))  # each row is a partner once


def test_presets_grow_and_never_flip() -> None:
    none, light, strong = (augmentation.image_preset(name, 28) for name in ("none", "light", "strong"))

    assert none == ImageStrengths()
    assert 0 < light.rotate_deg < strong.rotate_deg <= 15
    assert 0 < light.crop_pad < strong.crop_pad <= 4
    assert {none.flip_p, light.flip_p, strong.flip_p} == {0.0}


def test_an_explicit_strength_overrides_the_preset() -> None:
    preset = augmentation.image_preset("strong", 8)
    found = augmentation.image_strengths(ImageMlpConfig(augmentation="strong", rotate_deg=0.0, flip_p=0.5), 8)

    assert (found.rotate_deg, found.flip_p) == (0.0, 0.5)
    assert (found.crop_pad, found.cutout, found.mixup_alpha) == (preset.crop_pad, preset.cutout, preset.mixup_alpha)
    found = augmentation.tabular_strengths(TabularMlpConfig(augmentation="light", noise_std=0.7))
    assert found == TabularStrengths(
        noise_std=0.7, feature_dropout=augmentation.TABULAR_PRESETS["light"].feature_dropout
    )


def test_no_strength_is_no_augmentation() -> None:
    assert augmentation.of_images(ImageStrengths(), torch.zeros(1, 1, 1), seed=0) is None
    assert augmentation.of_rows(TabularStrengths(), 3, torch.device("cpu"), seed=0) is None


def test_a_seed_gives_the_same_batches() -> None:
    strengths = augmentation.image_preset("strong", 8)
    x, targets = images(20), torch.eye(20)

    first, second = (augmentation.of_images(strengths, torch.zeros(1, 1, 1), seed=4)(x, targets) for _ in range(2))
    assert (first[0] == second[0]).all()
    assert (first[1] == second[1]).all()
    assert (first[0] != x).any()


def test_gaps_show_the_background() -> None:
    strengths = ImageStrengths(cutout=4)
    augment = augmentation.of_images(strengths, torch.full((1, 1, 1), -2.5), seed=0)
    changed, _ = augment(images(50), torch.eye(50))

    assert changed.min() == pytest.approx(-2.5)
    assert ((changed < 0).sum(dim=(1, 2, 3)) >= 4).all()


def test_rows_are_changed_by_all_that_is_asked_for() -> None:
    augment = augmentation.of_rows(
        TabularStrengths(noise_std=0.1, feature_dropout=0.5, mixup_alpha=1.0), 30, torch.device("cpu"), seed=0
    )
    x, targets = augment(torch.ones(40, 30), torch.eye(40))

    assert x.std() > 0.2
    assert targets.sum(dim=1) == pytest.approx(torch.ones(40))
    assert (targets.count_nonzero(dim=1) == 2).sum() > 30
