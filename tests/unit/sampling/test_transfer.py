"""A study travels through a file of Optuna's and comes back as it was."""

from __future__ import annotations

import json
import math
import pickle
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest

from tuner.domain.errors import NameTakenError, NotFoundError
from tuner.sampling import transfer

SPACE = {
    "x": {"name": "FloatDistribution", "attributes": {"low": 0.0, "high": 1.0, "log": False, "step": None}},
    "n": {"name": "IntDistribution", "attributes": {"low": 1, "high": 9, "log": False, "step": 2}},
    "c": {"name": "CategoricalDistribution", "attributes": {"choices": [None, True, 3, "text"]}},
}


def _trial(number: int, state: str = "complete", **more: Any) -> dict[str, Any]:
    ended = state in {"complete", "pruned", "failed"}
    return {
        "number": number,
        "state": state,
        "params": {"x": 0.25, "n": 3, "c": (None, True, 3, "text")[number % 4]},
        "distributions": SPACE,
        "values": [0.5 * number, -1.0] if state == "complete" else None,
        "intermediate_values": [[1, 0.5], [2, "nan"], [3, "inf"]],
        "started_at": None if state == "waiting" else "2026-03-01T10:00:00.000123+00:00",
        "finished_at": "2026-03-01T10:00:05+00:00" if ended else None,
        "user_attrs": {"note": "ünïcode", "nested": {"a": [1, None]}},
        "system_attrs": {"constraints": [-0.5, 2.0]},
    } | more


TRIALS = [
    _trial(i, state) for i, state in enumerate(["complete", "pruned", "failed", "running", "waiting", "complete"])
]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/study.db"


def _in_one_zone(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Moments as numbers, since the same moment is written in the machine's zone."""
    moments = ("started_at", "finished_at")
    return [
        {
            key: datetime.fromisoformat(value).timestamp() if key in moments and value else value
            for key, value in trial.items()
        }
        for trial in trials
    ]


def test_what_is_written_is_read_back(url: str) -> None:
    written = transfer.export_trials(url, "travelled", ["minimize", "maximize"], reversed(TRIALS))
    history = transfer.read_history(url)

    assert written == len(TRIALS)
    assert (history["name"], history["directions"]) == ("travelled", ["minimize", "maximize"])
    assert _in_one_zone(history["trials"]) == _in_one_zone(TRIALS)
    assert json.loads(json.dumps(history, allow_nan=False)) == history


def test_optuna_itself_understands_the_file(url: str) -> None:
    trials = [_trial(i, values=[float(i)], system_attrs={}) for i in range(4)]
    transfer.export_trials(url, "s", ["maximize"], trials)

    study = optuna.load_study(study_name="s", storage=url)

    assert study.best_value == 3.0
    assert study.best_params == {"x": 0.25, "n": 3, "c": "text"}
    assert math.isnan(study.best_trial.intermediate_values[2])
    assert study.best_trial.duration is not None
    assert 4.9 < study.best_trial.duration.total_seconds() < 5.1


def test_what_an_optuna_script_wrote_is_read(url: str) -> None:
    study = optuna.create_study(study_name="theirs", storage=url, sampler=optuna.samplers.CmaEsSampler(seed=1))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 1), n_trials=12)
    assert any(key.startswith("cma:") for trial in study.trials for key in trial.system_attrs)

    trials = transfer.read_history(url, "theirs")["trials"]

    assert [trial["values"] for trial in trials] == [[trial.value] for trial in study.trials]
    assert [trial["params"] for trial in trials] == [trial.params for trial in study.trials]
    assert all(trial["system_attrs"] == {} for trial in trials)


def test_a_samplers_pickled_state_is_not_written_either(url: str) -> None:
    attrs = {"cma:optimizer:0": pickle.dumps(print).hex(), "fixed_params": {"x": 0.25}}
    transfer.export_trials(url, "s", ["minimize"], [_trial(0, values=[1.0], system_attrs=attrs)])

    (trial,) = transfer.read_history(url)["trials"]

    assert trial["system_attrs"] == {"fixed_params": {"x": 0.25}}


def test_what_is_missing_or_taken_is_told(url: str, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no file"):
        transfer.read_history(url)
    assert list(tmp_path.iterdir()) == []
    transfer.export_trials(url, "one", ["minimize"], [])
    transfer.export_trials(url, "two", ["minimize"], [])

    with pytest.raises(NameTakenError):
        transfer.export_trials(url, "one", ["minimize"], [])
    with pytest.raises(NotFoundError, match="one, two"):
        transfer.read_history(url)
    with pytest.raises(NotFoundError, match="one, two"):
        transfer.read_history(url, "three")


def test_a_value_outside_its_distribution_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="isn't contained"):
        transfer.export_trials(url, "s", ["minimize"], [_trial(0, values=[1.0], params={"x": 7.0, "n": 3, "c": None})])
