"""The search space: what is refused, in which order parameters are sampled, what lies inside."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tuner.domain.space import Parameter, SearchSpace, condition_order, exists

SPACE = TypeAdapter[dict[str, Parameter]](SearchSpace)


@pytest.mark.parametrize(
    ("parameter", "cure"),
    [
        ({"type": "float", "low": 2, "high": 1}, "exchange them"),
        ({"type": "float", "low": 0, "high": 1, "log": True}, "log scale needs low above 0"),
        ({"type": "int", "low": 0, "high": 8, "log": True}, "log scale needs low above 0"),
        ({"type": "float", "low": 1, "high": 2, "log": True, "step": 0.1}, "exclude each other"),
        ({"type": "float", "low": 0, "high": 1, "step": 2}, "make it smaller"),
        ({"type": "float", "low": float("nan"), "high": 1}, "finite number"),
        ({"type": "float", "low": 0, "high": float("inf")}, "finite number"),
        ({"type": "int", "low": 0, "high": 2**60}, "less than or equal to"),
        ({"type": "int", "low": 0, "high": 9, "step": 10**309}, "less than or equal to"),
        ({"type": "float", "low": -1.7e308, "high": 1.7e308}, "too wide"),
        ({"type": "float", "low": 0, "high": 1e300, "step": 1e-9}, "make it larger"),
        ({"type": "float", "low": 0, "high": 1, "step": 5e-324}, "greater than or equal to"),
        ({"type": "int", "low": 0.5, "high": 2}, "integer"),
        ({"type": "categorical", "choices": []}, "at least 1 item"),
        ({"type": "categorical", "choices": ["a", "a"]}, "twice"),
        ({"type": "categorical", "choices": [1, True]}, "twice"),
        ({"type": "categorical", "choices": list(range(1_000_000))}, "at most 1000 items"),
        ({"type": "categorical", "choices": ["a\0b"]}, "match pattern"),
        ({"type": "bool"}, "does not match any of the expected tags"),
        ({"type": "float", "low": 0, "high": 1, "steps": 3}, "Extra inputs"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused_with_its_cure(parameter: dict[str, Any], cure: str) -> None:
    with pytest.raises(ValidationError, match=cure):
        SPACE.validate_python({"x": parameter})


@pytest.mark.parametrize("name", ["", "a b", "1st", "x\0", "x" * 10_000, "ключ"])
def test_a_parameter_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValidationError):
        SPACE.validate_python({name: {"type": "float", "low": 0, "high": 1}})


def space(**parameters: dict[str, Any]) -> dict[str, Parameter]:
    return SPACE.validate_python(parameters)


def test_parents_are_sampled_before_what_depends_on_them_and_the_rest_as_written() -> None:
    conditional = space(
        momentum={"type": "float", "low": 0, "high": 0.99, "when": {"optimizer": ["sgd"]}},
        width={"type": "int", "low": 1, "high": 8},
        nesterov={"type": "categorical", "choices": [True, False], "when": {"momentum": [0.5]}},
        optimizer={"type": "categorical", "choices": ["sgd", "adam"]},
    )

    assert condition_order(conditional) == ["width", "optimizer", "momentum", "nesterov"]


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({"a": {"type": "int", "low": 0, "high": 1, "when": {"b": [1]}}}, "not in the search space"),
        (
            {
                "a": {"type": "int", "low": 0, "high": 1, "when": {"b": ["x"]}},
                "b": {"type": "categorical", "choices": ["y"]},
            },
            "never is",
        ),
        (
            {
                "a": {"type": "int", "low": 0, "high": 1, "when": {"b": [1]}},
                "b": {"type": "int", "low": 0, "high": 1, "when": {"a": [1]}},
            },
            "circle",
        ),
        ({"a": {"type": "int", "low": 0, "high": 1, "when": {"a": [1]}}}, "circle"),
    ],
)
def test_conditions_that_cannot_hold_are_refused(parameters: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        condition_order(space(**parameters))


def test_a_parameter_exists_only_where_all_its_conditions_hold() -> None:
    parameter = space(
        m={"type": "float", "low": 0, "high": 1, "when": {"o": ["sgd"], "d": [1, 2]}},
        o={"type": "categorical", "choices": ["sgd", "adam"]},
        d={"type": "int", "low": 1, "high": 3},
    )["m"]

    assert exists(parameter, {"o": "sgd", "d": 2})
    assert not exists(parameter, {"o": "adam", "d": 2})
    assert not exists(parameter, {"o": "sgd", "d": 3})
    assert not exists(parameter, {"o": "sgd"})


def test_values_inside_and_outside() -> None:
    parameters = space(
        f={"type": "float", "low": 0, "high": 1, "step": 0.1},
        i={"type": "int", "low": 2, "high": 8, "step": 3},
        c={"type": "categorical", "choices": ["a", 1, None]},
    )

    assert all(parameters["f"].contains(x) for x in (0, 0.1, 0.30000000000000004, 1.0))
    assert not any(parameters["f"].contains(x) for x in (0.15, 1.1, "0.1", True, None))
    assert [x for x in range(10) if parameters["i"].contains(x)] == [2, 5, 8]
    assert [x for x in ("a", 1, None, 1.0, True, "b") if parameters["c"].contains(x)] == ["a", 1, None]


def test_cells_are_every_value_of_a_finite_parameter() -> None:
    parameters = space(
        f={"type": "float", "low": 0, "high": 0.5, "step": 0.1},
        g={"type": "float", "low": 0, "high": 0.5},
        i={"type": "int", "low": 2, "high": 8, "step": 3},
    )

    assert parameters["f"].cells() == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert parameters["g"].cells() is None
    assert parameters["i"].cells() == [2, 5, 8]
