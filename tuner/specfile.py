"""Studies from elsewhere: read from a YAML or JSON file, or made of an Optuna study's history."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


class SpecFileError(Exception):
    """The file is not a study; the text says why."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 takes `1e-4` for text, which nobody means here; this reads it as the number that YAML 1.2 says it is."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"), list("-+.0123456789")
)


def read(file: Path) -> dict[str, Any]:
    """The study in a file, as plain values.

    Raises:
        SpecFileError: not YAML, or not a mapping.
    """
    try:
        spec = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
        json.dumps(spec, allow_nan=False)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecFileError(f"{file} is not YAML: {' '.join(str(error).split())[:500]}") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise SpecFileError(
            f"{file} holds what JSON cannot say ({str(error)[:200]}): put dates in quotes, and use plain numbers"
        ) from None
    if not isinstance(spec, dict):
        raise SpecFileError(f"{file} should hold a study as `key: value` lines")
    return spec


def external(past: Mapping[str, Any], *, trials: int) -> dict[str, Any]:
    """A study for a loop of the user's own that goes on where an Optuna study stopped.

    Args:
        past: `name`, `directions` and `trials`, as `tuner.sampling.transfer.read_history` gives them.
        trials: new ones.

    Raises:
        SpecFileError: the study has no trial to take the search space from.
    """
    space: dict[str, Any] = {}
    for trial in past["trials"]:
        space |= {name: _parameter(each) for name, each in trial["distributions"].items()}
    if not space:
        raise SpecFileError(f"study {past['name']!r} has no trial with parameters: there is nothing to start with")
    metrics = ["value"] if len(past["directions"]) == 1 else [f"value_{i}" for i in range(len(past["directions"]))]
    return {
        "name": past["name"],
        "trainer": "external",
        "objectives": [
            {"metric": metric, "direction": direction}
            for metric, direction in zip(metrics, past["directions"], strict=True)
        ],
        "search_space": space,
        "budget": {"trials": trials},
    }


def _parameter(distribution: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter of ours from Optuna's JSON of a distribution."""
    kind, attributes = distribution["name"], distribution["attributes"]
    if kind == "CategoricalDistribution":
        return {"type": "categorical", "choices": attributes["choices"]}
    given = {key: value for key, value in attributes.items() if value is not None}
    return {"type": "int" if kind == "IntDistribution" else "float", **given}
