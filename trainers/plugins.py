"""Trainers of other people's: entry points of the group `tuner.trainers`, installed beside this package.

Owns finding them. One that cannot be used is told by name, and takes nothing else down.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from trainers import hyperparameters as hyper

GROUP = "tuner.trainers"

T = TypeVar("T")


@dataclass(frozen=True)
class Installed(Generic[T]):
    """What was found.

    Attributes:
        trainers: by name.
        broken: why those cannot be used that cannot, by the entry point's name.
    """

    trainers: dict[str, T]
    broken: dict[str, str]


def discover(kind: type[T], taken: Collection[str]) -> Installed[T]:
    """Loads every entry point of the group.

    Args:
        kind: what each must be: a `trainers.catalog.Trainer`.
        taken: names that are in use.
    """
    found: Installed[T] = Installed({}, {})
    for point in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        try:
            found.trainers[point.name] = _loaded(point, kind, {*taken, *found.trainers})
        except (Exception, SystemExit) as error:
            found.broken[point.name] = f"{type(error).__name__}: {error}"
    return found


def _loaded(point: EntryPoint, kind: type[T], taken: Collection[str]) -> T:
    if point.name in taken:
        raise ValueError(f"another trainer is called {point.name}: rename it")
    trainer = point.load()
    if not isinstance(trainer, kind):
        raise TypeError(f"{point.value} is a {type(trainer).__name__}: it must be a {kind.__module__}.{kind.__name__}")
    name, config = getattr(trainer, "name", None), getattr(trainer, "config", None)
    if name != point.name:
        raise ValueError(f"{point.value} is called {name}, and its entry point {point.name}: call both the same")
    hyper.describe(config)  # type: ignore[arg-type]  # raises where a field is not described
    return trainer
