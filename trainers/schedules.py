"""The course of the learning rate: a factor of the peak for each step of training; pure maths."""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[int], float]
"""Step, from 0, to the factor of the peak learning rate, 0 to 1."""

ONE_CYCLE_RISE = 0.3  # share of steps, where `warmup_fraction` is 0
ONE_CYCLE_START = 1 / 25
ONE_CYCLE_END = ONE_CYCLE_START / 1e4
EXPONENTIAL_END = 0.01

FALLS: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    # a tenth at half and again at three quarters of training: He et al. 2016, "Deep residual learning"
    "step": lambda done: 1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01,
    "exponential": lambda done: EXPONENTIAL_END**done,
    # Loshchilov and Hutter 2017, "SGDR", without restarts
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
}
"""Share of training done, 0 to 1, to factor."""


def schedule(name: str, steps: int, warmup_fraction: float) -> Schedule:
    """The schedule of a whole training.

    Args:
        name: a key of `FALLS`, or `one_cycle`.
        steps: all steps of training, at least 1.
        warmup_fraction: share of them, 0 to 1, in which the factor rises in a line to 1 before the fall begins.
    """
    if name == "one_cycle":
        return lambda step: _one_cycle(step, steps, warmup_fraction or ONE_CYCLE_RISE)
    fall = FALLS[name]
    warmup = round(steps * warmup_fraction)
    after = max(1, steps - warmup)
    return lambda step: (step + 1) / (warmup + 1) if step < warmup else fall((step - warmup) / after)


def _one_cycle(step: int, steps: int, rise: float) -> float:
    """Up from 1/25 and down to 1/250,000 on half cosines: Smith and Topin 2018, "Super-convergence", torch's form."""
    top = max(1.0, rise * steps - 1)  # the step of the peak, in general between two steps
    if step <= top:
        return _half_cosine(ONE_CYCLE_START, 1.0, step / top)
    return _half_cosine(1.0, ONE_CYCLE_END, (step - top) / max(1e-9, steps - 1 - top))


def _half_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * done))
