from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from trainers import losses
from trainers.configs import TabularMlpConfig
from trainers.contract import Task


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(40, 5, generator=generator) * 3, torch.randint(0, 5, (40,), generator=generator)


def test_focal_with_gamma_0_is_cross_entropy(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, y = batch
    targets = losses.soft_targets(y, 5)

    torch.testing.assert_close(losses.focal(logits, targets, 0.0), functional.cross_entropy(logits, y))


def test_focal_is_its_published_formula(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, y = batch
    p = logits.softmax(dim=1)[torch.arange(40), y]
    published = (-((1 - p) ** 2) * p.log()).mean()

    torch.testing.assert_close(losses.focal(logits, losses.soft_targets(y, 5), 2.0), published)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_has_a_finite_gradient_where_a_row_is_surely_right_or_wrong(gamma: float) -> None:
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    loss = losses.focal(logits, losses.soft_targets(torch.tensor([0, 0]), 2), gamma)
    (gradient,) = torch.autograd.grad(loss, logits)

    assert loss.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_smoothing_is_torchs(batch: tuple[torch.Tensor, torch.Tensor], smoothing: float) -> None:
    logits, y = batch
    found = functional.cross_entropy(logits, losses.soft_targets(y, 5, smoothing))

    torch.testing.assert_close(found, functional.cross_entropy(logits, y, label_smoothing=smoothing))


def test_class_weights_multiply_each_rows_loss(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, y = batch
    weights = torch.tensor([0.5, 1.0, 2.0, 0.0, 3.0])
    rows = functional.cross_entropy(logits, y, reduction="none") * weights[y]
    found = functional.cross_entropy(logits, losses.soft_targets(y, 5, class_weights=weights))

    torch.testing.assert_close(found, rows.mean())


def test_balanced_weights_give_each_class_the_same_say() -> None:
    y = torch.tensor([0] * 6 + [1] * 3 + [3])
    weights = losses.balanced_weights(y, 4)
    say = torch.bincount(y, weights[y], minlength=4)

    torch.testing.assert_close(say[[0, 1, 3]], torch.full((3,), 10 / 3))
    assert weights[2] == 0
    torch.testing.assert_close(weights[y].mean(), torch.tensor(1.0))


@pytest.mark.parametrize(
    ("name", "task", "reference"),
    [
        ("auto", "classification", functional.cross_entropy),
        ("cross_entropy", "classification", functional.cross_entropy),
        ("auto", "regression", functional.mse_loss),
        ("mse", "regression", functional.mse_loss),
        ("huber", "regression", lambda a, b: functional.huber_loss(a, b, delta=0.3)),
        ("focal", "classification", lambda a, b: losses.focal(a, b, 1.5)),
    ],
)
def test_a_config_names_its_loss(
    batch: tuple[torch.Tensor, torch.Tensor], name: str, task: Task, reference: Callable[..., Any]
) -> None:
    outputs, y = batch
    targets = losses.soft_targets(y, 5)
    config = TabularMlpConfig(loss=name, huber_delta=0.3, focal_gamma=1.5)

    assert losses.loss_function(config, task)(outputs, targets) == reference(outputs, targets)


def test_l1_is_the_sum_of_absolute_weights() -> None:
    assert losses.l1([torch.tensor([[1.0, -2.0]]), torch.tensor([[-0.5]])]) == 3.5
