import math
import warnings
from itertools import pairwise
from typing import Any

import pytest
import torch

from trainers.schedules import schedule

STEPS = 40


def factors(name: str, warmup_fraction: float = 0.0, steps: int = STEPS) -> list[float]:
    chosen = schedule(name, steps, warmup_fraction)
    return [chosen(step) for step in range(steps)]


def torchs(scheduler_class: Any, **options: Any) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = scheduler_class(optimizer, **options)
    learning_rates = []
    for _ in range(STEPS):
        learning_rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheduler.step() if len(learning_rates) < STEPS else None
    return learning_rates


def test_constant_stays() -> None:
    assert factors("constant") == [1.0] * STEPS


def test_step_is_a_tenth_at_half_and_again_at_three_quarters() -> None:
    assert factors("step") == pytest.approx([1.0] * 20 + [0.1] * 10 + [0.01] * 10)


def test_exponential_falls_by_one_ratio_to_a_hundredth() -> None:
    found = factors("exponential")
    ratios = [later / earlier for earlier, later in pairwise(found)]

    assert found[0] == 1.0
    assert ratios == pytest.approx([0.01 ** (1 / STEPS)] * (STEPS - 1))


def test_cosine_is_torchs() -> None:
    assert factors("cosine") == pytest.approx(torchs(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=STEPS))


@pytest.mark.parametrize(("fraction", "pct_start"), [(0.0, 0.3), (0.5, 0.5)])
def test_one_cycle_is_torchs(fraction: float, pct_start: float) -> None:
    reference = torchs(
        torch.optim.lr_scheduler.OneCycleLR,
        max_lr=1.0,
        total_steps=STEPS,
        pct_start=pct_start,
        cycle_momentum=False,
    )

    assert factors("one_cycle", fraction) == pytest.approx(reference, abs=1e-9)


@pytest.mark.parametrize("name", ["constant", "step", "exponential", "cosine"])
def test_warm_up_rises_in_a_line_to_where_the_fall_begins(name: str) -> None:
    found = factors(name, warmup_fraction=0.25)

    assert found[:10] == pytest.approx([step / 11 for step in range(1, 11)])
    assert found[10] == 1.0
    assert found[10:] == pytest.approx(factors(name, steps=30))


@pytest.mark.parametrize("name", ["constant", "step", "exponential", "cosine", "one_cycle"])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("warmup_fraction", [0.0, 0.3, 0.9])
def test_factors_are_between_0_and_1_however_short_the_training(name: str, steps: int, warmup_fraction: float) -> None:
    found = factors(name, warmup_fraction, steps)

    assert all(math.isfinite(factor) and 0 <= factor <= 1 for factor in found)
    assert max(found) > 0
