"""Tuned against the trainer's defaults on scikit-learn's five sets, by validation and by rows that no search has seen.

Owns `docs/defaults.md`. Trial 0 of a study is the trainer's defaults. Of that trial and of the best one, by validation, the
exported models are scored here on the split's test part, which the service does not read. Three splits a set.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import httpx
import mlflow.pyfunc
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score, root_mean_squared_error

from benchmarks import machine, report, service
from tests.acceptance.waiting import ended
from trainers.contract import Dataset
from trainers.data import load, split
from tuner.client import Client
from tuner.wire import StudyOut, TrialOut

SETS = ("digits", "breast_cancer", "wine", "iris", "diabetes")
SPLITS = 3
TRIALS = 40
PAGE = Path("docs/defaults.md")


@dataclass(frozen=True)
class Scored:
    """A trial's objective on validation, and the same metric on the test part."""

    validation: float
    test: float


def main() -> None:
    about = machine.describe()
    print(report.heading(about), flush=True)
    lines = []
    with service.running() as running:
        for name in SETS:
            pairs = [_compare(running.client, name, seed) for seed in range(SPLITS)]
            lines.append(_line(name, pairs))
            print(lines[-1], flush=True)
    PAGE.write_text(_page(report.heading(about), lines), encoding="utf-8")
    print(f"written: {PAGE}")


def _compare(client: Client, name: str, seed: int) -> tuple[Scored, Scored]:
    """Defaults and tuned, on one split."""
    spec = {
        "name": f"{name} {seed}",
        "dataset": name,
        "sampler": {"name": "tpe", "seed": seed},
        "evaluation": {"seed": seed},
        "budget": {"trials": TRIALS},
        "finalize": False,
    }
    study = ended(client, client.submit(spec).id, deadline_s=1800)
    best = client.best(study.id)[0]
    return _score(client, study, client.trial(study.id, 0)), _score(client, study, best)


def _score(client: Client, study: StudyOut, trial: TrialOut) -> Scored:
    assert trial.values is not None, trial.error
    dataset = load.load(str(study.spec.dataset).partition("@")[0])
    given = study.spec.evaluation
    rows = split.splits(
        dataset.y, dataset.task, validation=given.validation, test=given.test, folds=1, repeats=1, seed=given.seed
    ).test_rows
    with tempfile.TemporaryDirectory() as folder:
        model = mlflow.pyfunc.load_model(str(_model(client, trial, Path(folder))))
        x = dataset.x[rows]
        given_rows = x if dataset.kind == "image" else pd.DataFrame(x, columns=list(dataset.feature_names))
        predicted = model.predict(given_rows).to_numpy()
    return Scored(trial.values[0], _metric(dataset, rows, predicted))


def _model(client: Client, trial: TrialOut, folder: Path) -> Path:
    """The model's folder, fetched over REST."""
    headers = {"Authorization": f"Bearer {client.key}"}
    with httpx.Client(base_url=client.url, headers=headers, trust_env=False) as http:
        listed = http.get(trial.links["artifacts"]).raise_for_status().json()["items"]
        for path in [file["path"] for file in listed if file["path"].startswith("model/")]:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(http.get(f"{trial.links['artifacts']}/{path}").raise_for_status().content)
    return folder / "model"


def _metric(dataset: Dataset, rows: np.ndarray, predicted: np.ndarray) -> float:
    y = dataset.y[rows]
    if dataset.task == "regression":
        return float(root_mean_squared_error(y, predicted[:, 0]))
    scores = predicted if predicted.shape[1] > 2 else predicted[:, 1]
    return float(roc_auc_score(y, scores, multi_class="ovr", average="macro"))


def _line(name: str, pairs: list[tuple[Scored, Scored]]) -> str:
    metric, sign = ("rmse", -1) if name == "diabetes" else ("roc_auc", 1)
    cells = [name, metric]
    for part in ("validation", "test"):
        values = [(getattr(before, part), getattr(after, part)) for before, after in pairs]
        cells += [f"{statistics.mean(value[index] for value in values):.4f}" for index in (0, 1)]
        better = sum(sign * after > sign * before for before, after in values)
        worse = sum(sign * after < sign * before for before, after in values)
        cells.append(f"{better} better, {worse} worse")
    return f"| {' | '.join(cells)} |"


def _page(heading: str, lines: list[str]) -> str:
    return "\n".join(
        [
            "# Tuned against the defaults",
            "",
            "Written by `make defaults`; do not edit. Means over three splits; `roc_auc` is better high, `rmse` low. The tuned",
            f"trial is the best of {TRIALS} on validation, so it cannot be worse there; the test part was seen by no search.",
            "",
            f"{heading}.",
            "",
            "| data set | metric | defaults, validation | tuned | splits | defaults, test | tuned | splits |",
            "|---|---|---|---|---|---|---|---|",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    main()
