"""Optuna's studies and trials as JSON over the wire, and back; nothing is pickled.

Owns the shape. Times are aware, states and directions go by name, distributions as Optuna's own JSON writes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from tuner.sampling import distributions, frozen

SCRIPT = "tuner:script"
"""Among the system attributes of a trial or study with a spec: those that a script set, which no sampler here ever reads."""


def of_study(study: FrozenStudy) -> dict[str, Any]:
    return {
        "id": study._study_id,  # noqa: SLF001 - it is shown nowhere else
        "name": study.study_name,
        "directions": [direction.name.lower() for direction in study.directions],
        "user_attrs": study.user_attrs,
        "system_attrs": unwrapped(study.system_attrs),
    }


def to_study(said: Mapping[str, Any]) -> FrozenStudy:
    return FrozenStudy(
        study_name=said["name"],
        direction=None,
        directions=[StudyDirection[name.upper()] for name in said["directions"]],
        user_attrs=said["user_attrs"],
        system_attrs=said["system_attrs"],
        study_id=said["id"],
    )


def of_trial(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "id": trial._trial_id,  # noqa: SLF001
        "number": trial.number,
        "state": trial.state.name,
        "values": trial.values,
        "started_at": _time(trial.datetime_start),
        "finished_at": _time(trial.datetime_complete),
        "params": trial.params,
        "distributions": {name: distributions.to_json(each) for name, each in trial.distributions.items()},
        "user_attrs": trial.user_attrs,
        "system_attrs": unwrapped(trial.system_attrs),
        "intermediate_values": list(trial.intermediate_values.items()),
    }


def to_trial(said: Mapping[str, Any]) -> FrozenTrial:
    """The trial.

    Raises:
        ValueError: it is none.
    """
    try:
        return _to_trial(said)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a trial of Optuna's ({error!r})") from None


def _to_trial(said: Mapping[str, Any]) -> FrozenTrial:
    return FrozenTrial(
        trial_id=said["id"],
        number=said["number"],
        state=OptunaState[said["state"]],
        value=None,
        values=None if said["values"] is None else [float(value) for value in said["values"]],
        datetime_start=_moment(said["started_at"]),
        datetime_complete=_moment(said["finished_at"]),
        params=dict(said["params"]),
        distributions={name: distribution(each) for name, each in said["distributions"].items()},
        user_attrs=dict(said["user_attrs"]),
        system_attrs=dict(said["system_attrs"]),
        intermediate_values={int(step): float(value) for step, value in said["intermediate_values"]},
    )


def distribution(said: Any) -> BaseDistribution:
    """The distribution.

    Raises:
        ValueError: it is none.
    """
    try:
        return json_to_distribution(json.dumps(said))
    except (KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"not a distribution of Optuna's ({error!r})") from None


def external(known: BaseDistribution, internal: float) -> Any:
    """The value that Optuna's internal number stands for.

    Raises:
        ValueError: for none.
    """
    try:
        return known.to_external_repr(internal)
    except (IndexError, OverflowError):
        raise ValueError(f"{internal} is no place among the choices") from None


def unwrapped(system_attrs: Mapping[str, Any]) -> dict[str, Any]:
    """System attributes as a script sees them: its own before ours."""
    ours = {key: value for key, value in system_attrs.items() if key != SCRIPT}
    return {**ours, **system_attrs.get(SCRIPT, {})}


def _time(moment: datetime | None) -> str | None:
    aware = frozen.aware(moment)
    return None if aware is None else aware.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else frozen.local_naive(datetime.fromisoformat(text))
