"""Interactions of one's own, from the file to recommendations and ratings of the best model; commands run as processes."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.acceptance.waiting import ended
from tests.unit.trainers import made_interactions
from tests.zipped import packed
from tuner import up
from tuner.client import Client, ClientError
from tuner.settings import child_environment


@pytest.fixture
def command(service: up.Service) -> Any:
    settings = service.settings
    environment = child_environment(TUNER_DATA=str(settings.data), TUNER_PORT=str(settings.port))

    def run(*arguments: str) -> str:
        whole = [sys.executable, "-m", "tuner.cli", *arguments]
        done = subprocess.run(whole, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / f"clubs {uuid.uuid4().hex[:8]}.csv"
    made_interactions.table().to_csv(path, index=False)
    return path


def test_events_end_as_items_for_users_known_and_new(command: Any, client: Client, file: Path, tmp_path: Path) -> None:
    """Out of a zip of interactions, users and items, of which one user has taken nothing."""
    table = made_interactions.table()
    zipped = {
        "interactions.csv": table[["who", "what", "when"]],
        "users.csv": pd.concat(
            [table[["who", "club"]].drop_duplicates(), pd.DataFrame({"who": ["new"], "club": ["c"]})]
        ),
        "items.csv": table[["what", "worth"]].drop_duplicates(),
    }
    file = file.with_suffix(".zip")
    file.write_bytes(packed({name: each.to_csv(index=False).encode() for name, each in zipped.items()}))
    shown = command("dataset", "add", str(file), "--user", "who", "--item", "what", "--time", "when")
    assert "1 users of users.csv have no interaction" in " ".join(shown.split())
    assert "80 users and 60 items, 720 events" in " ".join(shown.split())

    spec = {
        "name": file.stem,
        "dataset": file.stem,
        "fixed": {"epochs": 20, "batch_size": 64, "architecture": "two_tower"},
        "sampler": {"name": "random", "seed": 5},
        "budget": {"trials": 2},
        "finalize": True,
    }
    study = ended(client, client.submit(spec).id)
    assert (study.state, study.progress.complete) == ("completed", 2)
    assert (study.spec.trainer, study.spec.objectives[0].metric) == ("recommender", "ndcg_at_10")  # type: ignore[index]
    assert "u000" not in client.dataset(file.stem).model_dump_json()
    best = client.best(study.id)[0]
    assert (best.metrics or {})["val/recall_at_10"] > 0.8
    assert study.final is not None
    scores = study.final.metrics or {}
    assert scores["ndcg_at_10"].low <= scores["ndcg_at_10"].value <= scores["ndcg_at_10"].high
    assert scores["ndcg_at_10"].value > (study.final.baseline or {})["ndcg_at_10"]

    asked = tmp_path / "asked.csv"
    pd.DataFrame({"who": ["u001", "new"], "club": ["b", "c"], "note": ["x", "y"], "k": [4, 2]}).to_csv(
        asked, index=False
    )
    command("predict", str(study.id), str(asked), "--output", str(tmp_path / "given.csv"))
    given = pd.read_csv(tmp_path / "given.csv")
    assert list(given.columns) == ["who", "club", "note", "k", "rank", "item", "score"]
    assert given.who.tolist() == ["u001"] * 4 + ["new"] * 2
    assert given["rank"].tolist() == [1, 2, 3, 4, 1, 2]
    clubs = table.set_index("what").club.to_dict()
    assert {clubs[item] for item in given.item} == {"b", "c"}, "who has taken nothing is known by the club"


def test_ratings_are_predicted_beside_the_rows(command: Any, client: Client, file: Path, tmp_path: Path) -> None:
    said = ("--user", "who", "--item", "what", "--rating", "stars", "--user-feature", "club", "--item-feature", "worth")
    command("dataset", "add", str(file), *said)
    spec = {"name": file.stem, "dataset": file.stem, "fixed": {"epochs": 10}, "budget": {"trials": 1}}
    study = ended(client, client.submit(spec).id)
    assert study.state == "completed"

    command("predict", str(study.id), str(file), "--output", str(tmp_path / "given.csv"))
    given = pd.read_csv(tmp_path / "given.csv")
    assert len(given) == 720
    assert given.prediction.corr(given.stars) > 0.5


def test_folds_by_time_and_metrics_of_another_task_are_refused(client: Client, file: Path) -> None:
    client.upload_dataset(file.stem, data=file, user="who", item="what", time="when")
    spec = {"name": file.stem, "dataset": file.stem, "budget": {"trials": 1}}

    for wrong, detail in (
        ({"evaluation": {"folds": 3}}, "set folds and repeats to 1"),
        ({"objectives": [{"metric": "roc_auc"}]}, "ndcg_at_10"),
        ({"fixed": {"loss": "mse"}}, "auto, bpr, softmax"),
        ({"trainer": "tabular-mlp"}, "use recommender"),
    ):
        with pytest.raises(ClientError, match=detail):
            client.submit({**spec, **wrong})
