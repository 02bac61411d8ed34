"""Studies that split by a column: what a dry run tells of the parts, and what is refused with pointer and cure."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from tests.unit.trainers import made_interactions
from tests.uploading import post
from tests.zipped import digits, packed

ROWS = 100


def table() -> str:
    rng = np.random.default_rng(0)
    lines = [
        f"p{i // 5},{rng.normal():.4f},2024-{1 + i // 28:02}-{1 + i % 28:02},{'note ' * 5}{i},{'yes' if i % 2 else 'no'}"
        for i in range(ROWS)
    ]
    return "\n".join(["patient,a,day,note,y", *lines]) + "\n"


def study(**evaluation: Any) -> dict[str, Any]:
    return {"name": "s", "dataset": "mine", "budget": {"trials": 2}, "evaluation": evaluation}


@pytest.fixture
def mine(http: httpx.Client) -> httpx.Client:
    assert post(http, "mine", table(), target="y", columns='{"patient": "ignore"}').status_code == 201
    return http


def test_a_dry_run_and_the_study_tell_the_sizes_of_the_parts(mine: httpx.Client) -> None:
    by_group = mine.post("/studies", params={"dry_run": True}, json=study(group="patient", folds=4)).json()
    by_time = mine.post("/studies", json=study(time="day"))

    split = by_group["facts"]["split"]
    assert (split["by"], split["column"], split["test"], split["test_groups"]) == ("group", "patient", 20, 4)
    assert split["folds"] == [{"train": 60, "validation": 20, "train_groups": 12, "validation_groups": 4}] * 4
    assert by_group["spec"]["dataset"] == "mine@1"
    assert by_group["spec"]["evaluation"]["group"] == "patient"
    assert by_time.status_code == 201, by_time.text
    assert by_time.json()["facts"]["split"] == {
        "by": "time",
        "column": "day",
        "test": 20,
        "test_from": "2024-03-25",
        "folds": [{"train": 60, "validation": 20, "validation_from": "2024-03-05"}],
    }


def test_a_study_keeps_its_column_when_it_is_read_again_and_when_it_is_claimed(mine: httpx.Client) -> None:
    made = mine.post("/studies", json=study(group="patient")).json()
    trainers = [f"{each['name']}@{each['version']}" for each in mine.get("/trainers").json()["items"]]
    worker = {"name": "w", "version": "1", "slots": 1, "devices": ["cpu"], "trainers": trainers}
    mine.put("/workers/w", json=worker)
    claim: dict[str, Any] = {"request_id": "1", "worker_id": "w", "trainers": trainers}
    assert mine.post("/claims", json=claim).json()["attempts"] == [], "an older worker would split the rows otherwise"
    claim |= {"request_id": "2", "protocol": 2}
    claimed = mine.post("/claims", json=claim).json()["attempts"][0]

    assert mine.get(f"/studies/{made['id']}").json()["spec"]["evaluation"]["group"] == "patient"
    assert (claimed["group"], claimed["time"]) == ("patient", None)


@pytest.mark.parametrize(
    ("evaluation", "pointer", "cure"),
    [
        ({"group": "doctor"}, "/evaluation/group", "there is no column 'doctor': there are patient, a, day, note"),
        ({"time": "doctor"}, "/evaluation/time", "there is no column 'doctor'"),
        ({"group": "y"}, "/evaluation/group", "it is the target"),
        ({"time": "patient"}, "/evaluation/time", "it holds neither dates nor numbers"),
        (
            {"group": "patient", "folds": 20},
            "/evaluation/group",
            "20 groups are too few for 20 folds beside a test part",
        ),
        ({"time": "day", "folds": 50, "test": 0.5}, "/evaluation/time", "different times are too few"),
        ({"group": "patient", "time": "day"}, "/evaluation", "by group or by time, not by both: leave one out"),
        ({"group": ""}, "/evaluation/group", "1 character"),
    ],
)
def test_a_column_that_cannot_be_split_by_is_refused(
    mine: httpx.Client, evaluation: dict[str, Any], pointer: str, cure: str
) -> None:
    refused = mine.post("/studies", json=study(**evaluation))

    assert refused.status_code == 422, refused.text
    assert refused.json()["errors"][0]["pointer"] == pointer
    assert cure in refused.json()["errors"][0]["detail"]


def test_parts_of_its_own_and_a_column_do_not_go_together(http: httpx.Client) -> None:
    lines = table().splitlines()
    files = {
        part: ("d.csv", "\n".join([lines[0], *lines[start:end]]))
        for part, start, end in (("train", 1, 81), ("test", 81, 101))
    }
    assert http.post("/datasets", params={"name": "mine"}, files=files, data={"target": "y"}).status_code == 201

    refused = http.post("/studies", json=study(group="patient")).json()
    assert refused["errors"][0]["pointer"] == "/evaluation/group"
    assert "brings parts of its own: leave it out, or upload the rows as one file" in refused["errors"][0]["detail"]


def test_a_built_in_set_and_a_loop_of_ones_own(http: httpx.Client) -> None:
    built_in = study(time="age", folds=3) | {"dataset": "diabetes"}
    external = {"name": "e", "trainer": "external", "budget": {"trials": 1}, "evaluation": {"group": "patient"}}
    external |= {"search_space": {"x": {"type": "float", "low": 0, "high": 1}}}
    external |= {"objectives": [{"metric": "y", "direction": "minimize"}]}

    sizes = http.post("/studies", params={"dry_run": True}, json=built_in).json()["facts"]["split"]
    assert sum(fold["validation"] for fold in sizes["folds"]) + sizes["folds"][0]["train"] + sizes["test"] == 442
    refused = http.post("/studies", json=external).json()
    assert refused["errors"][0]["pointer"] == "/evaluation/group"
    assert "splits its own data: leave it out" in refused["errors"][0]["detail"]


def test_files_of_a_zip_are_split_by_what_its_table_says_and_interactions_are_not(http: httpx.Client) -> None:
    images = {name.replace("/", "-"): image for name, image in digits(60).items()}
    rows = "\n".join(["file,label,patient", *(f"{name},{name[0]},p{i % 10}" for i, name in enumerate(images))])
    zipped = packed({**images, "labels.csv": rows.encode()})
    assert post(http, "scans", zipped, file="d.zip").status_code == 201
    taken = made_interactions.table().to_csv(index=False)
    assert post(http, "taken", taken, user="who", item="what", time="when").status_code == 201

    dry = {"params": {"dry_run": True}}
    split = http.post("/studies", **dry, json=study(group="patient") | {"dataset": "scans"}).json()["facts"]["split"]  # type: ignore[arg-type]
    (fold,) = split["folds"]
    assert split["test_groups"] + fold["train_groups"] + fold["validation_groups"] == 10
    refused = http.post("/studies", json=study(time="when") | {"dataset": "taken"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/evaluation/time"
    assert "interactions are split by user, and by the time" in refused.json()["errors"][0]["detail"]


def test_a_data_set_whose_files_are_gone_is_answered_so(mine: httpx.Client, tmp_path: Any) -> None:
    for file in (tmp_path / "artifacts" / "datasets").glob("*/data.csv"):
        file.unlink()

    assert mine.post("/studies", json=study(group="patient")).status_code == 410
    assert mine.post("/studies", json=study()).status_code == 201
