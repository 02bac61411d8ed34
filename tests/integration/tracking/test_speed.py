"""How long publishing takes; prints it (`pytest -s`), and fails only where it is several times what it should be."""

from __future__ import annotations

import os
import random
import sys
import time
from typing import Any

import pytest
from sqlalchemy import Engine

from tuner.store import publishing
from tuner.tracking.artifacts import Linking
from tuner.tracking.publish import publish_study
from tuner.tracking.trials import Target

TRIALS = 30
EPOCHS = 20
METRICS = [*(f"val/m{i}" for i in range(10)), "val/loss", "train/loss"]
MODEL = {
    "model/MLmodel": 2_000,
    "model/exported_model.py": 4_000,
    "model/artifacts/network.pt2": 80_000,
    "model/artifacts/preprocessing.json": 2_000,
    "model/requirements.txt": 100,
    "model/python_env.yaml": 100,
    "model/conda.yaml": 300,
    "model/input_example.json": 2_000,
    "model/serving_input_example.json": 2_000,
    "curves.json": 20_000,
    "log.txt": 1_000,
}


@pytest.mark.parametrize("way", ["target", "linking"])
def test_a_small_trial_is_published_in_a_fraction_of_a_second(
    way: str, engine: Engine, rows: Any, request: pytest.FixtureRequest
) -> None:
    target: Target = request.getfixturevalue(way)
    study = rows.study()
    for number in range(TRIALS):
        trial = rows.trial(study, number)
        rows.reports(trial, [(step, {name: random.random() for name in METRICS}) for step in range(1, EPOCHS + 1)])
        rows.upload(trial, {path: os.urandom(size) for path, size in MODEL.items()})
        rows.finish(trial, metrics={name: random.random() for name in METRICS}, values=[random.random()], best_step=7)

    started = time.perf_counter()
    with publishing.holding(engine) as holder:
        assert holder.take(study)
        done = publish_study(engine, target, holder, study, limit=TRIALS)
    each_s = (time.perf_counter() - started) / TRIALS

    how = "linked" if isinstance(target.artifacts, Linking) else "uploaded"
    sys.stdout.write(f"\npublishing, files {how}: {each_s:.3f} s a trial\n")
    assert (done.trials, done.reports) == (TRIALS, TRIALS * EPOCHS)
    assert each_s < 0.6
