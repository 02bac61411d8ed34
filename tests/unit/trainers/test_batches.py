"""Which rows an epoch draws: all of them once, or as many of each class."""

from __future__ import annotations

import torch

from trainers import batches
from trainers.configs import TabularMlpConfig

Y = torch.tensor([0] * 900 + [2] * 90 + [3] * 10)[torch.randperm(1000, generator=torch.Generator().manual_seed(3))]


def drawn(seed: int, epochs: int = 1, **config: str) -> torch.Tensor:
    draw = batches.drawer(Y, 4, TabularMlpConfig(**config), torch.Generator().manual_seed(seed))
    return torch.cat([draw() for _ in range(epochs)])


def test_usually_every_row_is_drawn_once_as_torch_shuffles() -> None:
    for weighting in ("none", "balanced"):
        rows = drawn(5, class_weighting=weighting)
        assert torch.equal(rows, torch.randperm(1000, generator=torch.Generator().manual_seed(5)))


def test_sampling_draws_each_class_as_often_and_its_rows_alike() -> None:
    rows = drawn(5, epochs=60, class_weighting="sampling")
    counts = torch.bincount(Y[rows], minlength=4)

    assert len(rows) == 60_000
    assert counts[1] == 0  # a class without rows is never drawn
    assert ((counts[[0, 2, 3]] - 20_000).abs() < 600).all()  # 5 deviations of a binomial
    rare = torch.bincount(rows, minlength=1000)[Y == 3]
    assert ((rare - 2_000).abs() < 250).all()
    assert (torch.bincount(rows, minlength=1000) > 0).all()


def test_the_same_seed_draws_the_same_rows() -> None:
    first, again, other = (drawn(seed, class_weighting="sampling") for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
