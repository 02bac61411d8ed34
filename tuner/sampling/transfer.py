"""Studies as files of Optuna's own: writing one for Optuna's tools, and reading one that Optuna wrote.

Owns the JSON shape of a trial that travels. What a sampler keeps of itself stays behind: CMA-ES pickles its state, and a
pickle from somewhere else runs what it likes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna.exceptions import DuplicatedStudyError
from optuna.storages import RDBStorage
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial
from sqlalchemy import event
from sqlalchemy.engine import make_url

from tuner.domain.errors import NameTakenError, NotFoundError, WrongStateError
from tuner.domain.states import TrialState
from tuner.sampling import distributions, frozen, quiet

JsonTrial = dict[str, Any]

TRAVELS = ("constraints", "fixed_params")  # the system attributes that any sampler understands


def export_trials(url: str, study_name: str, directions: Sequence[str], trials: Iterable[Mapping[str, Any]]) -> int:
    """Writes a study into an Optuna storage, made if it is not there; returns how many trials it got.

    Args:
        url: for example `sqlite:///study.db`.
        study_name: its name there.
        directions: `minimize` or `maximize`, one for each objective.
        trials: each with `number`, `state`, `params`, `distributions` (Optuna's JSON by name) and, where it has them,
            `values`, `intermediate_values`, `started_at`, `finished_at`, `user_attrs` and `system_attrs`.

    Raises:
        NameTakenError: the storage has a study of this name.
    """
    storage = _opened(url)
    try:
        study_id = storage.create_new_study(frozen.directions(list(directions)), study_name)
    except DuplicatedStudyError:
        raise NameTakenError(f"{url} has a study {study_name!r} already: give another name or file") from None
    written = 0
    for trial in sorted(trials, key=lambda each: int(each["number"])):
        storage.create_new_trial(study_id, template_trial=_from_json(trial))
        written += 1
    storage.remove_session()
    return written


def read_history(url: str, study_name: str | None = None) -> dict[str, Any]:
    """A study of an Optuna storage: its `name`, `directions` and `trials`, ready for JSON.

    Args:
        url: for example `sqlite:///study.db`.
        study_name: which; may be left out where there is only one.

    Raises:
        NotFoundError: no such file or study, or several studies and no name.
        WrongStateError: another version of Optuna wrote it.
    """
    file = make_url(url).database if url.startswith("sqlite") else None
    if file and not Path(file).is_file():
        raise NotFoundError(f"there is no file {file}")
    storage = _opened(url)
    study = _chosen(storage.get_all_studies(), study_name, url)
    trials = storage.get_all_trials(study._study_id, deepcopy=False)  # noqa: SLF001 - shown nowhere else
    storage.remove_session()
    return {
        "name": study.study_name,
        "directions": [direction.name.lower() for direction in study.directions],
        "trials": [_to_json(trial) for trial in trials],
    }


def _opened(url: str) -> RDBStorage:
    quiet.hush()
    try:
        storage = RDBStorage(url)
    except RuntimeError as error:
        raise WrongStateError(f"{url}: {error}") from None
    if url.startswith("sqlite"):
        # A file that is half written after a crash is written again; a sync for every trial takes minutes
        event.listen(storage.engine, "connect", lambda raw, _: raw.execute("pragma synchronous = off"))
        storage.engine.dispose()
    return storage


def _chosen(studies: Sequence[FrozenStudy], study_name: str | None, url: str) -> FrozenStudy:
    named = [study for study in studies if study_name in {None, study.study_name}]
    if len(named) != 1:
        names = ", ".join(sorted(study.study_name for study in studies)) or "none"
        raise NotFoundError(f"{url}: say which study; there are: {names}")
    return named[0]


def _to_json(trial: FrozenTrial) -> JsonTrial:
    return {
        "number": trial.number,
        "state": str(frozen.from_optuna(trial.state)),
        "params": trial.params,
        "distributions": {name: distributions.to_json(each) for name, each in trial.distributions.items()},
        "values": None if trial.values is None else [_number_to_json(value) for value in trial.values],
        "intermediate_values": [
            [step, _number_to_json(value)] for step, value in sorted(trial.intermediate_values.items())
        ],
        "started_at": _moment_to_json(trial.datetime_start),
        "finished_at": _moment_to_json(trial.datetime_complete),
        "user_attrs": trial.user_attrs,
        "system_attrs": _travelling(trial.system_attrs),
    }


def _from_json(trial: Mapping[str, Any]) -> FrozenTrial:
    state = TrialState(trial["state"])
    values = trial.get("values")
    failed = state in {TrialState.FAILED, TrialState.CANCELLED}
    frozen_trial = FrozenTrial(
        number=int(trial["number"]),
        trial_id=-1,  # the storage gives one
        state=frozen.to_optuna(state),
        value=None,
        values=None if failed or values is None else [_number_from_json(value) for value in values],
        datetime_start=_moment_from_json(trial.get("started_at") or trial.get("finished_at")),
        datetime_complete=_moment_from_json(trial.get("finished_at")),
        params=dict(trial["params"]),
        distributions=dict(distributions.from_text(json.dumps(trial["distributions"]))),
        user_attrs=dict(trial.get("user_attrs") or {}),
        system_attrs=_travelling(trial.get("system_attrs") or {}),
        intermediate_values={
            int(step): _number_from_json(value) for step, value in trial.get("intermediate_values") or []
        },
    )
    frozen_trial._validate()  # noqa: SLF001 - as Optuna's `add_trial` does
    return frozen_trial


def _travelling(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attrs.items() if key.partition(":")[0] in TRAVELS}


def _number_to_json(value: float) -> float | str:
    """JSON has no NaN and no infinity."""
    return value if math.isfinite(value) else str(value)


def _number_from_json(value: float | str) -> float:
    return float(value)


def _moment_to_json(moment: datetime | None) -> str | None:
    aware = frozen.aware(moment)
    return None if aware is None else aware.isoformat()


def _moment_from_json(moment: str | datetime | None) -> datetime | None:
    return frozen.local_naive(datetime.fromisoformat(moment) if isinstance(moment, str) else moment)
