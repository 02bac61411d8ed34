"""Series of one's own, from the file to forecasts or classes by the best model; commands run as processes."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import pandas as pd

from tests.acceptance.waiting import ended
from tests.unit.trainers import made_labelled, made_series
from tuner import up
from tuner.client import Client
from tuner.settings import child_environment


def test_a_table_of_series_ends_as_forecasts_of_each(service: up.Service, client: Client, tmp_path: Path) -> None:
    file = tmp_path / f"shops {uuid.uuid4().hex[:8]}.csv"
    made_series.table().to_csv(file, index=False)
    client.upload_dataset(file.stem, data=file, time="month", series="shop", target="sold")
    fixed = {"epochs": 20, "horizon": 4, "architecture": "tcn"}
    spec = {"name": file.stem, "dataset": file.stem, "fixed": fixed, "budget": {"trials": 2}, "finalize": True}

    study = ended(client, client.submit(spec).id)

    assert (study.state, study.progress.complete) == ("completed", 2)
    assert (study.spec.trainer, study.spec.evaluation.time) == ("sequence", "month")
    assert study.final is not None
    assert (study.final.metrics or {})["rmse"].value < (study.final.baseline or {})["rmse"]
    sizes = client.dry_run(spec | {"name": "again"}).facts["split"]
    assert (sizes["test"], sizes["folds"][0]["validation"]) == (57, 57)  # whole months of three shops

    given = predicted(service, study.id, file, tmp_path / "out.csv")
    assert given.columns.tolist() == ["shop", "step", "prediction"]
    assert given.shop.tolist() == [shop for shop in ("north", "south", "west") for _ in range(4)]


def predicted(service: up.Service, study: int, file: Path, output: Path) -> pd.DataFrame:
    """What `tuner predict` says of a file."""
    settings = service.settings
    done = subprocess.run(
        [sys.executable, "-m", "tuner.cli", "predict", str(study), str(file), "--output", str(output)],
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(TUNER_DATA=str(settings.data), TUNER_PORT=str(settings.port)),
    )
    assert done.returncode == 0, done.stderr
    return pd.read_csv(output)


def test_a_table_of_labelled_series_ends_as_a_class_of_each(
    service: up.Service, client: Client, tmp_path: Path
) -> None:
    file = tmp_path / f"runs {uuid.uuid4().hex[:8]}.csv"
    made_labelled.table().to_csv(file, index=False)
    client.upload_dataset(file.stem, data=file, time="second", series="run", target="course")
    seen = client.dataset_profile(file.stem)
    fixed = {"epochs": 20, "architecture": "tcn", "depth": 2, "learning_rate": 0.01}
    spec = {
        "name": file.stem,
        "dataset": file.stem,
        "fixed": fixed,
        "evaluation": {"group": "driver"},
        "budget": {"trials": 2},
    }

    study = ended(client, client.submit(spec).id)

    assert seen.series is not None
    assert (seen.kind, seen.rows, seen.series.series) == ("labelled-series", 90, 90)
    assert (study.state, study.progress.complete, study.spec.trainer) == ("completed", 2, "sequence")
    assert set(study.spec.search_space or {}) == {"batch_size", "width", "dropout", "weight_decay"}
    assert study.final is not None
    assert (study.final.metrics or {})["roc_auc"].low > (study.final.baseline or {})["roc_auc"] == 0.5

    given = predicted(service, study.id, file, tmp_path / "out.csv")
    assert given.columns.tolist() == ["run", *made_labelled.KINDS, "prediction"]
    truth = made_labelled.table().groupby("run").course.first()
    assert given.run.tolist() == truth.index.tolist()
    assert (given.prediction == truth.to_numpy()).mean() > 0.6


def test_folds_roll_the_origin(client: Client, tmp_path: Path) -> None:
    file = tmp_path / f"shops {uuid.uuid4().hex[:8]}.csv"
    made_series.table().to_csv(file, index=False)
    client.upload_dataset(file.stem, data=file, time="month", series="shop", target="sold")
    spec = {
        "name": file.stem,
        "dataset": file.stem,
        "fixed": {"epochs": 2},
        "evaluation": {"folds": 3},
        "budget": {"trials": 1},
    }

    study = ended(client, client.submit(spec).id)

    assert study.state == "completed"
    assert "val/rmse_std" in (client.best(study.id)[0].metrics or {})
