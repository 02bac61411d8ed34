"""Series of one's own, from the file to forecasts of the best model; commands run as processes."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import pandas as pd

from tests.acceptance.waiting import ended
from tests.unit.trainers import made_series
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

    settings = service.settings
    done = subprocess.run(
        [sys.executable, "-m", "tuner.cli", "predict", str(study.id), str(file), "--output", str(tmp_path / "out.csv")],
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(TUNER_DATA=str(settings.data), TUNER_PORT=str(settings.port)),
    )
    assert done.returncode == 0, done.stderr
    given = pd.read_csv(tmp_path / "out.csv")
    assert given.columns.tolist() == ["shop", "step", "prediction"]
    assert given.shop.tolist() == [shop for shop in ("north", "south", "west") for _ in range(4)]


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
