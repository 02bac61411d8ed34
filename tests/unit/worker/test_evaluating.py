"""How a trial is judged: over folds and repeats, with their spread, and never by a row of the test part."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.claimed import attempt
from tests.unit.trainers.stored import lines, store
from tests.zipped import digits, packed, picture
from trainers.contract import Dataset
from trainers.data import files, keys, parts
from tuner.wire_attempts import ClaimedAttempt
from tuner.worker import loaded, training
from tuner.worker.messages import Done, Run
from tuner.worker.saving import Saving

ROWS = 150
BY: dict[str, dict[str, Any]] = {
    "stratified": {},
    "folds": {"folds": 3},
    "group": {"group": "patient"},
    "group, folds": {"group": "patient", "folds": 3},
    "time": {"time": "day"},
    "time, folds": {"time": "day", "folds": 3},
    "own parts": {},
}


def table(task: str = "classification") -> pd.DataFrame:
    rng = np.random.default_rng(2)
    a, b, patient = rng.normal(size=ROWS), rng.normal(size=ROWS), rng.integers(0, 30, ROWS)
    day = pd.to_datetime("2024-01-01") + pd.to_timedelta(rng.integers(0, 90, ROWS), unit="D")
    target = a + 0.3 * b + rng.normal(0, 0.3, ROWS)
    y = np.where(target > 0, "yes", "no") if task == "classification" else target
    return pd.DataFrame({"a": a, "b": b, "patient": [f"p{each}" for each in patient], "day": day, "y": y})


def stored(folder: Path, rows: pd.DataFrame, **said: Any) -> Path:
    """A folder of these rows; with `part`, of these parts."""
    if "part" in rows.columns:
        said["split_column"] = "part"
    return store(folder, {"data.csv": rows.to_csv(index=False)}, target="y", columns={"day": "ignore"}, **said)


class Told:
    def __init__(self) -> None:
        self.reports: list[tuple[int, int, dict[str, float]]] = []

    def __call__(self, fold: int, step: int, metrics: Mapping[str, float]) -> None:
        measured = {name: value for name, value in metrics.items() if name.startswith(("train/", "val/"))}
        self.reports.append((fold, step, measured))


def train(scratch: Path, data: Path | None, **changes: Any) -> tuple[Done, Told]:
    scratch.mkdir()
    if data is not None:
        changes = {"dataset": "mine@1", "dataset_digest": files.load(data, "mine@1").digest} | changes
    claimed = attempt(**{"fixed": {"epochs": 3, "dropout": 0.1}} | changes)
    run = Run(attempt=claimed, folder=str(scratch), data_folder=None if data is None else str(data))
    told = Told()
    outcome = training.run_trial(run, "cpu", told, Saving(run, lambda: False, lambda _: None))
    assert isinstance(outcome, Done), outcome
    return outcome, told


def measured(outcome: Done) -> dict[str, float]:
    return {name: value for name, value in outcome.metrics.items() if name not in {"train_s", "latency_ms"}}


# ---- the test part is never read -------------------------------------------------------------------------------------


SHARES = {"validation": 0.2, "test": 0.2, "folds": 1, "repeats": 1, "seed": 0}


def mislabelled(dataset: Dataset, seed: int) -> np.ndarray:
    """The targets with the test part's shuffled; classes are swapped where no row changes its part for that."""
    rng = np.random.default_rng(seed)
    split, y = parts.of(dataset, **SHARES), dataset.y.copy()
    if dataset.task == "regression":
        y[split.test_rows] = rng.normal(1e3, 1e3, len(split.test_rows))
        return y
    for pair in (rng.choice(split.test_rows, 2, replace=False) for _ in range(60)):
        y[pair] = y[pair[::-1]]
        again = parts.of(replace(dataset, y=y), **SHARES)
        if again.test_rows.tolist() != split.test_rows.tolist():
            y[pair] = y[pair[::-1]]
    assert (y != dataset.y).sum() >= 6
    return y


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("kind", BY)
def test_a_test_part_of_nonsense_changes_no_value_of_any_trial(tmp_path: Path, kind: str, task: str) -> None:
    rows = table(task)
    if kind == "own parts":
        rows["part"] = np.repeat(["train", "validation", "test"], ROWS // 3)
    clean = stored(tmp_path / "clean", rows)
    column = {name: BY[kind].get(name) for name in ("group", "time")}
    dataset = keys.attach(files.load(clean, "mine"), clean, **column)
    kept_back = parts.of(dataset, **SHARES).test_rows
    assert len(kept_back) >= 20
    poisoned = rows.copy()
    poisoned.loc[kept_back, ["a", "b"]] = np.random.default_rng(9).normal(1e6, 1e6, (len(kept_back), 2))
    wrong = mislabelled(dataset, seed=9)
    poisoned["y"] = np.array(dataset.class_names)[wrong] if task == "classification" else wrong

    first, before = train(tmp_path / "1", clean, **BY[kind])
    second, after = train(tmp_path / "2", stored(tmp_path / "poisoned", poisoned), **BY[kind])

    assert len(before.reports) >= 3
    assert after.reports == before.reports
    assert measured(second) == measured(first)


def test_nonsense_in_the_test_patients_images_changes_no_value_of_any_trial(tmp_path: Path) -> None:
    """A zip with a table of patients, split by them."""
    content = {name.replace("/", "-"): image for name, image in digits(120).items()}
    patients = {name: f"p{i % 12}" for i, name in enumerate(content)}
    rows = lines("file,label,patient", *(f"{name},{name[0]},{patient}" for name, patient in patients.items()))

    def zipped(folder: str) -> Path:
        return store(tmp_path / folder, {"data.zip": packed({**content, "labels.csv": rows.encode()})})

    clean = zipped("clean")
    keyed = keys.attach(files.load(clean, "mine"), clean, group="patient")
    kept_back = {patients[sorted(content)[row]] for row in parts.of(keyed, **SHARES).test_rows}
    assert 2 <= len(kept_back) <= 3
    for name in [name for name in content if patients[name] in kept_back]:
        content[name] = picture(np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8))

    claimed = {"trainer": "image-mlp@1", "group": "patient"}
    first, before = train(tmp_path / "1", clean, **claimed)
    second, after = train(tmp_path / "2", zipped("poisoned"), **claimed)
    _, otherwise = train(tmp_path / "3", clean, trainer="image-mlp@1")

    assert len(before.reports) == 3
    assert after.reports == before.reports
    assert measured(second) == measured(first)
    assert otherwise.reports != before.reports


def test_a_validation_part_of_nonsense_does_change_them(tmp_path: Path) -> None:
    """So that the test above could fail."""
    rows = table()
    clean = stored(tmp_path / "clean", rows)
    held = parts.of(files.load(clean, "mine"), **SHARES).folds[0][1]
    poisoned = rows.copy()
    poisoned.loc[held, ["a", "b"]] = 1e6

    _, before = train(tmp_path / "1", clean)
    _, after = train(tmp_path / "2", stored(tmp_path / "poisoned", poisoned))

    assert after.reports != before.reports


# ---- folds and repeats -----------------------------------------------------------------------------------------------


def test_folds_and_repeats_end_in_their_mean_and_their_spread(tmp_path: Path) -> None:
    outcome, told = train(tmp_path / "1", None, folds=3, repeats=2)
    values = [metrics["val/roc_auc"] for _, step, metrics in told.reports if step == 0]

    assert [fold for fold, step, _ in told.reports if step == 0] == list(range(6))
    assert outcome.metrics["val/roc_auc"] == pytest.approx(statistics.fmean(values))
    assert outcome.metrics["val/roc_auc_std"] == pytest.approx(statistics.stdev(values))
    assert "train/loss_std" not in outcome.metrics


def test_one_fold_has_no_spread(tmp_path: Path) -> None:
    outcome, _ = train(tmp_path / "1", None)

    assert not [name for name in outcome.metrics if name.endswith("_std")]


def test_repeats_of_a_split_by_time_train_by_another_seed(tmp_path: Path) -> None:
    outcome, told = train(tmp_path / "1", stored(tmp_path / "data", table()), time="day", repeats=2)
    first, second = ([metrics for fold, step, metrics in told.reports if fold == each and step] for each in (0, 1))

    assert len(first) == len(second) == 3
    assert first != second
    assert outcome.metrics["val/loss_std"] > 0


# ---- the column of groups --------------------------------------------------------------------------------------------


def test_the_groups_column_is_no_feature_and_the_model_takes_rows_without_it(tmp_path: Path) -> None:
    data = stored(tmp_path / "data", table())
    train(tmp_path / "1", data, group="patient")
    train(tmp_path / "2", data)

    taken = [_names(tmp_path / each / "model" / "artifacts" / "preprocessing.json") for each in ("1", "2")]
    assert taken == [["a", "b"], ["a", "b", "patient"]]


def _names(preprocessing: Path) -> list[str]:
    names: list[str] = json.loads(preprocessing.read_text())["feature_names"]
    return names


def test_the_same_split_is_worked_out_once(tmp_path: Path) -> None:
    data = stored(tmp_path / "data", table())
    changes = {"dataset": "mine@1", "group": "patient"}
    runs = [
        Run(
            attempt=attempt(**changes, dataset_digest=files.load(data, "mine@1").digest),
            folder="",
            data_folder=str(data),
        )
    ]
    dataset = loaded.of(runs[0])
    first = loaded.split_of(runs[0].attempt, dataset)

    assert loaded.of(runs[0]) is dataset
    assert loaded.split_of(runs[0].attempt, dataset) is first
    assert loaded.split_of(attempt(**changes, split_seed=5), dataset) is not first


def test_a_version_whose_groups_alone_were_mended_is_split_anew(tmp_path: Path) -> None:
    """Its images and labels, and so its digest, are the same: a warm worker has the split of the first version still."""
    content = {name.replace("/", "-"): image for name, image in digits(60).items()}

    def prepared(folder: str, patient: Callable[[int], int], version: int) -> tuple[Dataset, ClaimedAttempt]:
        rows = lines("file,label,patient", *(f"{name},{name[0]},p{patient(i)}" for i, name in enumerate(content)))
        data = store(tmp_path / folder, {"data.zip": packed({**content, "labels.csv": rows.encode()})})
        name = f"mine@{version}"
        claimed = attempt(dataset=name, group="patient", dataset_digest=files.load(data, name).digest)
        return loaded.of(Run(attempt=claimed, folder="", data_folder=str(data))), claimed

    wrong, claimed_wrong = prepared("wrong", lambda i: i % 12, 1)
    mended, claimed = prepared("mended", lambda i: i // 5, 2)
    assert wrong.digest == mended.digest
    loaded.split_of(claimed_wrong, wrong)
    split = loaded.split_of(claimed, mended)

    assert mended.groups is not None
    learnt, held = split.folds[0]
    sides = [{*mended.groups[rows].tolist()} for rows in (learnt, held, split.test_rows)]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 12


def test_texts_count_among_the_bytes_that_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sets of 20 labels of 10,000 characters, with room for one."""
    monkeypatch.setattr(loaded, "MAX_BYTES", 300_000)
    runs = []
    for name in ("first", "second"):
        rows = [f"{i},{name[0] * 10_000}{i}" for i in range(20)]
        data = store(tmp_path / name, {"data.csv": lines("a,y", *rows)}, target="y", task="structured")
        claimed = attempt(dataset=name, dataset_digest=files.load(data, name).digest)
        runs.append(Run(attempt=claimed, folder="", data_folder=str(data)))
    first = loaded.of(runs[0])
    assert loaded.of(runs[0]) is first

    loaded.of(runs[1])
    assert loaded.of(runs[0]) is not first
