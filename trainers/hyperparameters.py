"""Hyperparameters as data: how a field of a config is described, listed and checked; imports no torch.

Owns `Hyperparameter`, the `number`, `whole`, `choice`, `switch` and `name` fields that configs are written with, and the
checks that turn a plain mapping into a config.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal, TypeVar

HyperparameterType = Literal["float", "int", "categorical", "bool", "name"]
Config = TypeVar("Config")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class ConfigError(ValueError):
    """A value that no config can have.

    Attributes:
        field: the hyperparameter's name.
        message: what is wrong and what would be right.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True, kw_only=True)
class Hyperparameter:
    """One field of a config, as `GET /trainers` shows it.

    Attributes:
        name: the field's name.
        type: what JSON value it takes.
        default: used when it is left out; None means that another field decides (see `doc`).
        low: the least value allowed, inclusive; None for categorical and bool.
        high: the greatest value allowed, inclusive; None for categorical and bool.
        log: whether equal ratios matter rather than equal differences.
        choices: the values of a categorical.
        doc: one sentence on meaning and unit.
    """

    name: str
    type: HyperparameterType
    default: float | int | str | bool | None
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[str, ...] = ()
    doc: str = ""


def number(default: float | None, low: float, high: float, doc: str, *, log: bool = False) -> Any:
    """A float field between `low` and `high`, both allowed."""
    return field(default=default, metadata={"type": "float", "low": low, "high": high, "log": log, "doc": doc})


def whole(default: int | None, low: int, high: int, doc: str, *, log: bool = False) -> Any:
    """An int field between `low` and `high`, both allowed."""
    return field(default=default, metadata={"type": "int", "low": low, "high": high, "log": log, "doc": doc})


def choice(default: str, choices: tuple[str, ...], doc: str) -> Any:
    """A categorical field."""
    return field(default=default, metadata={"type": "categorical", "choices": choices, "doc": doc})


def switch(doc: str, *, default: bool = False) -> Any:
    """A bool field."""
    return field(default=default, metadata={"type": "bool", "doc": doc})


def name(doc: str) -> Any:
    """A field that names a file without a folder, or nothing."""
    return field(default=None, metadata={"type": "name", "doc": doc})


def describe(config_class: type[Any]) -> list[Hyperparameter]:
    """Lists the hyperparameters of a config class in the order in which they are written."""
    described = []
    for each in fields(config_class):
        assert each.default is not MISSING, f"{config_class.__name__}.{each.name} has no default"
        described.append(Hyperparameter(name=each.name, default=each.default, **each.metadata))
    return described


def build(config_class: type[Config], values: Mapping[str, object]) -> Config:
    """Makes a config of checked values; what is left out has its default.

    Raises:
        ConfigError: for a name that the config has not, a wrong type or a value out of range.
    """
    known = {each.name: each for each in describe(config_class)}
    checked = {}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(name, f"unknown hyperparameter; there are {', '.join(sorted(known))}")
        checked[name] = _checked(known[name], value)
    return config_class(**checked)


def _checked(hyperparameter: Hyperparameter, value: object) -> object:
    if value is None and hyperparameter.default is None:
        return None
    if hyperparameter.type == "bool":
        return _checked_bool(hyperparameter, value)
    if hyperparameter.type == "categorical":
        return _checked_choice(hyperparameter, value)
    if hyperparameter.type == "name":
        return _checked_name(hyperparameter, value)
    return _checked_number(hyperparameter, value)


def _checked_bool(hyperparameter: Hyperparameter, value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(hyperparameter.name, f"needs true or false, not {value!r}")
    return value


def _checked_choice(hyperparameter: Hyperparameter, value: object) -> str:
    if not isinstance(value, str) or value not in hyperparameter.choices:
        raise ConfigError(hyperparameter.name, f"needs one of {', '.join(hyperparameter.choices)}, not {value!r}")
    return value


def _checked_name(hyperparameter: Hyperparameter, value: object) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        wanted = "the plain name of a file: letters, digits, dots, dashes and underscores, 100 at most"
        raise ConfigError(hyperparameter.name, f"needs {wanted}, not {value!r}")
    return value


def _checked_number(hyperparameter: Hyperparameter, value: object) -> float | int:
    whole_number = hyperparameter.type == "int"
    # bool is a kind of int in Python, but `true` is no number in JSON
    if isinstance(value, bool) or not isinstance(value, int if whole_number else int | float):
        raise ConfigError(hyperparameter.name, f"needs {'an integer' if whole_number else 'a number'}, not {value!r}")
    low, high = hyperparameter.low, hyperparameter.high
    assert low is not None
    assert high is not None
    if not math.isfinite(value) or not low <= value <= high:
        raise ConfigError(hyperparameter.name, f"needs a value from {low:g} to {high:g}, not {value!r}")
    return value if whole_number else float(value)
