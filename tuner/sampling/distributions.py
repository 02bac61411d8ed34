"""Our search space in Optuna's words: one distribution per parameter, built once, and their JSON.

Owns the translation of `search_space` into Optuna's distributions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any

from optuna import distributions as od

from tuner.domain.space import CategoricalParameter, FloatParameter, Parameter, Scalar, condition_order, exists

MAX_CELLS = 100_000  # as many as a study may have trials


def distribution(parameter: Parameter) -> od.BaseDistribution:
    if isinstance(parameter, CategoricalParameter):
        return od.CategoricalDistribution(parameter.choices)
    if isinstance(parameter, FloatParameter):
        # Optuna warns of a range that is no multiple of its step, and lowers its end just so
        high = parameter.high if parameter.step is None else _last_step(parameter.low, parameter.high, parameter.step)
        return od.FloatDistribution(parameter.low, high, log=parameter.log, step=parameter.step)
    highest = parameter.high - (parameter.high - parameter.low) % parameter.step
    return od.IntDistribution(parameter.low, highest, log=parameter.log, step=parameter.step)


def _last_step(low: float, high: float, step: float) -> float:
    """The highest value on the grid; 1e-9 and the rounding take off the noise of binary fractions."""
    return round(low + math.floor((high - low) / step + 1e-9) * step, 12)


def to_json(optuna_distribution: od.BaseDistribution) -> dict[str, Any]:
    """Optuna's own JSON of a distribution, as an object."""
    as_json: dict[str, Any] = json.loads(od.distribution_to_json(optuna_distribution))
    return as_json


@lru_cache(maxsize=4096)
def from_text(text: str) -> Mapping[str, od.BaseDistribution]:
    """The column `trials.distributions`, read. Trials of one space share the objects: nobody may change them."""
    return {name: od.json_to_distribution(json.dumps(as_json)) for name, as_json in json.loads(text).items()}


class Space:
    """A study's search space, worked out once and then read by every ask.

    Attributes:
        parameters: as the user wrote them.
        order: the names, each after those that its `when` names.
        distributions: Optuna's, by name in that order.
        as_json: the same, ready to be stored.
    """

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        self.parameters = parameters
        self.order = tuple(condition_order(parameters))
        self.distributions = {name: distribution(parameters[name]) for name in self.order}
        self.as_json = {name: to_json(self.distributions[name]) for name in self.order}

    def exists(self, name: str, params: Mapping[str, Scalar]) -> bool:
        return exists(self.parameters[name], params)

    def check(self, name: str, value: Scalar, sampled_from: od.BaseDistribution) -> None:
        """Checks a parameter that a script sampled for itself.

        Raises:
            ValueError: the search space has no such parameter, or not that value.
        """
        if name not in self.parameters:
            raise ValueError(f"{name} is not in the study's search space, which has {', '.join(self.order)}")
        od.check_distribution_compatibility(self.distributions[name], sampled_from)
        if not self.parameters[name].contains(value):
            raise ValueError(f"{value!r} is not a value that {name} can have in the study's search space")

    @cached_property
    def cells(self) -> list[dict[str, Scalar]]:
        """Every point of a finite space, each once, without parameters that do not exist there.

        Raises:
            ValueError: a parameter has no finite list of values, or there are more than `MAX_CELLS` points.
        """
        cells = list(islice(self._points({}, 0), MAX_CELLS + 1))
        if len(cells) > MAX_CELLS:
            raise ValueError(f"the grid has more than {MAX_CELLS} points: use fewer choices or larger steps")
        return cells

    def _points(self, point: dict[str, Scalar], depth: int) -> Iterator[dict[str, Scalar]]:
        if depth == len(self.order):
            yield point
            return
        name = self.order[depth]
        if not self.exists(name, point):
            yield from self._points(point, depth + 1)
            return
        values = self.parameters[name].cells()
        if values is None:
            raise ValueError(f"{name}: a grid needs `step` or `choices`")
        for value in values:
            yield from self._points({**point, name: value}, depth + 1)
