"""Points that are tried first: the trainer's defaults, and those that a user enqueues.

Owns whether a point lies in a search space, `when` included.
"""

from __future__ import annotations

from typing import Literal

from tuner.domain.errors import FieldError, InvalidError
from tuner.domain.space import Parameter, Scalar, condition_order, exists
from tuner.domain.spec import StudySpec

EXHAUSTIVE = ("grid", "brute")


def with_enqueue(spec: StudySpec, defaults: dict[str, Scalar]) -> StudySpec:
    """The trainer's defaults go first, unless the user says what does; a grid visits its own cells only."""
    if spec.enqueue is not None:
        return spec
    point = {} if spec.sampler.name in EXHAUSTIVE else _default_point(spec.search_space or {}, defaults)
    return spec.model_copy(update={"enqueue": [point] if point else []})


def _default_point(space: dict[str, Parameter], defaults: dict[str, Scalar]) -> dict[str, Scalar]:
    point: dict[str, Scalar] = {}
    for name in condition_order(space):
        value = defaults.get(name)
        if name in defaults and exists(space[name], point) and space[name].contains(value):
            point[name] = value
    return point


def check_points(spec: StudySpec, points: list[dict[str, Scalar]], pointer: Literal["/enqueue", "/points"]) -> None:
    """Whether points may be tried in this study.

    Raises:
        InvalidError: a name or value is not in the search space.
    """
    space = spec.search_space or {}
    errors: list[FieldError] = []
    for i, point in enumerate(points):
        for name, value in point.items():
            if name not in space:
                known = ", ".join(space)
                errors.append(FieldError(f"{pointer}/{i}/{name}", f"not in the search space, which has {known}"))
            elif not space[name].contains(value):
                errors.append(FieldError(f"{pointer}/{i}/{name}", f"{value!r} is not a value that {name} can have"))
        errors += [
            FieldError(f"{pointer}/{i}/{name}", f"{name} does not exist at this point: see its `when`")
            for name in point
            if name in space and space[name].when and not _may_exist(space, name, point)
        ]
    if errors:
        raise InvalidError(errors)


def _may_exist(space: dict[str, Parameter], name: str, point: dict[str, Scalar]) -> bool:
    """Whether the conditions hold as far as the point says; a parent left out is sampled and may still fit."""
    return all(parent not in point or point[parent] in values for parent, values in (space[name].when or {}).items())
