"""A study's history goes out, through a file of Optuna's own, and starts another study."""

from __future__ import annotations

from pathlib import Path

import httpx
import optuna
from sqlalchemy import Engine

from tests.auditor import audit
from tests.studying import claim, complete, external, report, submit
from tuner import attempts, specfile
from tuner.sampling import transfer
from tuner.wire_attempts import CompleteBody


def test_a_history_travels_through_optunas_file_into_a_new_study(
    http: httpx.Client, engine: Engine, tmp_path: Path
) -> None:
    old = submit(engine, name="old", pruner={"name": "threshold", "upper": 5.0}, budget={"trials": 6})
    for i in range(5):
        attempt = claim(engine, old)[0]
        report(engine, attempt, 1, float(i))
        complete(engine, attempt, float(abs(i - 2)))
    bad = claim(engine, old)[0]
    assert report(engine, bad, 1, 9.0) == "prune"
    attempts.complete(engine, bad.attempt_id, CompleteBody(state="pruned", metrics={"y": 9.0}))

    items = http.get(f"/studies/{old}/history").json()["items"]
    url = f"sqlite:///{tmp_path}/old.db"
    assert transfer.export_trials(url, "old", ["minimize"], items) == 6
    loaded = optuna.load_study(study_name="old", storage=url)
    assert [trial.values for trial in loaded.trials[:5]] == [[2.0], [1.0], [0.0], [1.0], [2.0]]
    assert loaded.trials[5].state == optuna.trial.TrialState.PRUNED
    assert loaded.trials[1].intermediate_values == {1: 1.0}

    body = {
        "spec": external(name="new", sampler={"name": "tpe", "seed": 1}),
        "history": transfer.read_history(url)["trials"],
    }
    answer = http.post("/studies/import", json=body)

    assert answer.status_code == 201, answer.text
    imported = answer.json()
    assert (imported["imported"], imported["skipped"]) == (6, 0)
    new = imported["study"]
    assert (new["best"]["number"], new["best"]["value"]) == (2, 0.0)
    assert (new["progress"]["budget"], new["progress"]["finished"]) == (11, 6)
    assert claim(engine, new["id"])[0].trial == 6
    trial = http.get(f"/studies/{new['id']}/trials/0").json()
    assert (trial["end_reason"], trial["params"]) == ("imported", items[0]["params"])
    audit(engine)


def test_trials_outside_the_search_space_are_left_behind(http: httpx.Client) -> None:
    inside = {"state": "complete", "params": {"x": 0.5, "n": 3}, "values": [1.0]}
    history = [
        inside,
        {**inside, "params": {"x": 5.0, "n": 3}},
        {**inside, "params": {"x": 0.5}},
        {**inside, "state": "failed"},
        {**inside, "values": [1.0, 2.0]},
    ]

    answer = http.post("/studies/import", json={"spec": external(), "history": history}).json()

    assert (answer["imported"], answer["skipped"]) == (1, 4)
    refused = http.post("/studies/import", json={"spec": external(), "history": history[1:]})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/history"


def test_an_optuna_study_makes_an_external_study_of_its_own(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/theirs.db"
    theirs = optuna.create_study(study_name="theirs", storage=url, direction="maximize")
    theirs.optimize(
        lambda trial: (
            trial.suggest_float("x", 1e-3, 1.0, log=True)
            + trial.suggest_int("n", 1, 9)
            + len(trial.suggest_categorical("c", ["a", "bb"]))
        ),
        n_trials=3,
    )

    spec = specfile.external(transfer.read_history(url), trials=7)

    assert spec["objectives"] == [{"metric": "value", "direction": "maximize"}]
    assert spec["search_space"]["x"] == {"type": "float", "low": 1e-3, "high": 1.0, "log": True}
    assert spec["search_space"]["n"] == {"type": "int", "low": 1, "high": 9, "log": False, "step": 1}
    assert spec["search_space"]["c"] == {"type": "categorical", "choices": ["a", "bb"]}
