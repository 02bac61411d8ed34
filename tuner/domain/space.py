"""The search space: what a parameter may be, when it exists, and whether a value lies in it.

Owns the shape and the sense of `search_space`; sampling turns it into Optuna's distributions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

MAX_CHOICES = 1_000
MAX_PARAMETERS = 100
MAX_INT = 2**53  # beyond it a double, and so every sampler, skips integers

Finite = Annotated[float, Field(allow_inf_nan=False)]
BoundedInt = Annotated[StrictInt, Field(ge=-MAX_INT, le=MAX_INT)]
Text = Annotated[StrictStr, Field(max_length=500, pattern=r"^[^\x00]*$")]
Scalar = StrictBool | BoundedInt | Annotated[StrictFloat, Field(allow_inf_nan=False)] | Text | None
ParameterName = Annotated[StrictStr, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.\-]{0,99}$")]
When = Annotated[
    dict[ParameterName, Annotated[list[Scalar], Field(min_length=1, max_length=MAX_CHOICES)]],
    Field(max_length=MAX_PARAMETERS),
]


class _Parameter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    when: When | None = Field(
        default=None,
        description="The parameter exists only where each named parameter has one of these values.",
    )


class FloatParameter(_Parameter):
    type: Literal["float"]
    low: Finite
    high: Finite
    log: bool = False
    step: Annotated[float, Field(ge=1e-9, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        _check_range(self.low, self.high, self.step, log=self.log)
        return self

    def contains(self, value: Scalar) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self.low <= value <= self.high and _on_grid(value, self.low, self.step)

    def n_cells(self) -> int | None:
        """How many values there are, where they are finitely many."""
        return None if self.step is None else math.floor((self.high - self.low) / self.step + 1e-9) + 1

    def cells(self) -> list[Scalar] | None:
        """Every value, where there are finitely many; otherwise None."""
        count, step = self.n_cells(), self.step
        if count is None or step is None:
            return None
        # round() takes the noise of the multiplication off: 0.1 + 2 * 0.1 is 0.30000000000000004
        return [round(self.low + i * step, 12) for i in range(count)]


class IntParameter(_Parameter):
    type: Literal["int"]
    low: BoundedInt
    high: BoundedInt
    log: bool = False
    step: Annotated[StrictInt, Field(ge=1, le=MAX_INT)] = 1

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        _check_range(self.low, self.high, None if self.step == 1 else self.step, log=self.log)
        return self

    def contains(self, value: Scalar) -> bool:
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    def n_cells(self) -> int:
        return (self.high - self.low) // self.step + 1

    def cells(self) -> list[Scalar] | None:
        return list(range(self.low, self.high + 1, self.step))


class CategoricalParameter(_Parameter):
    type: Literal["categorical"]
    choices: Annotated[list[Scalar], Field(min_length=1, max_length=MAX_CHOICES)]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        seen: set[Scalar] = set()
        for choice in self.choices:
            if choice in seen:
                raise ValueError(f"choice {choice!r} stands there twice (1, 1.0 and true count as equal): remove one")
            seen.add(choice)
        return self

    def contains(self, value: Scalar) -> bool:
        return any(type(value) is type(choice) and value == choice for choice in self.choices)

    def n_cells(self) -> int:
        return len(self.choices)

    def cells(self) -> list[Scalar] | None:
        return list(self.choices)


Parameter = Annotated[FloatParameter | IntParameter | CategoricalParameter, Field(discriminator="type")]
SearchSpace = Annotated[dict[ParameterName, Parameter], Field(min_length=1, max_length=MAX_PARAMETERS)]


def _check_range(low: float, high: float, step: float | None, *, log: bool) -> None:
    if low > high:
        raise ValueError(f"low {low:g} is above high {high:g}: exchange them")
    if not math.isfinite(high - low):
        raise ValueError("the range is too wide for a double: bring low and high closer together")
    if log and low <= 0:
        raise ValueError(f"a log scale needs low above 0, and low is {low:g}: raise it, or leave out log")
    if log and step is not None:
        raise ValueError("log and step exclude each other: leave one out")
    if step is not None and (high - low) / step > MAX_INT:
        raise ValueError(f"step {step:g} divides the range into more parts than a double can count: make it larger")
    if step is not None and step > high - low:
        raise ValueError(f"step {step:g} is larger than the range {high - low:g}: make it smaller")


def _on_grid(value: float, low: float, step: float | None) -> bool:
    if step is None:
        return True
    steps = (value - low) / step
    return abs(steps - round(steps)) < 1e-8


def condition_order(space: Mapping[str, Parameter]) -> list[str]:
    """Names in an order in which every parameter comes after those that its `when` names.

    Raises:
        ValueError: `when` names a parameter that does not exist, a value that it cannot have, or runs in a circle.
    """
    graph: dict[str, set[str]] = {}
    for name, parameter in space.items():
        graph[name] = set(parameter.when or {})
        for parent, values in (parameter.when or {}).items():
            if parent not in space:
                raise ValueError(f"{name}: `when` names {parent!r}, which is not in the search space: add it there")
            for value in values:
                if not space[parent].contains(value):
                    raise ValueError(f"{name}: `when` waits for {parent} = {value!r}, which {parent} never is")
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise ValueError(f"`when` runs in a circle: {' -> '.join(error.args[1])}") from error
    position = {name: i for i, name in enumerate(space)}
    # Keep the user's order where the conditions leave it free: parents first, then as written.
    depth = dict.fromkeys(order, 0)
    for name in order:
        depth[name] = max((depth[parent] + 1 for parent in graph[name]), default=0)
    return sorted(order, key=lambda name: (depth[name], position[name]))


def exists(parameter: Parameter, params: Mapping[str, Scalar]) -> bool:
    """Whether a parameter exists, given those sampled before it."""
    return all(parent in params and params[parent] in values for parent, values in (parameter.when or {}).items())
