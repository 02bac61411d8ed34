"""Folds with a real training process: each is a step of the Wilcoxon pruner, and the spread is shown with the result."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.waiting import until
from trainers import catalog
from tuner import show_trial
from tuner.client import Client
from tuner.wire import WorkerBody
from tuner.worker import devices
from tuner.worker.data_cache import DataCache
from tuner.worker.room import Room
from tuner.worker.slot import Slot

TRAINERS = [f"{trainer.name}@{trainer.version}" for trainer in catalog.TRAINERS.values()]


@pytest.fixture
def client(http: httpx.Client) -> Iterator[Client]:
    key = http.headers["Authorization"].removeprefix("Bearer ")
    with Client(str(http.base_url).partition("/api/")[0], key) as opened:
        yield opened


@pytest.fixture
def slot(client: Client, tmp_path: Path) -> Iterator[Slot]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    device = devices.find(1)[0]
    client.register("worker", WorkerBody(name="w", version="1", slots=1, devices=[device.name], trainers=TRAINERS))
    cache = DataCache(client, scratch / "datasets")
    made = Slot(client, "worker", device, TRAINERS, scratch, cache, Room(scratch, 0, cache))
    made.thread.start()
    yield made
    made.drain()
    client.leave("worker")
    made.thread.join(60)


def test_a_trial_that_is_worse_fold_after_fold_is_pruned_and_the_best_shows_its_spread(
    client: Client, slot: Slot, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = {
        "name": f"wine {uuid.uuid4().hex[:8]}",
        "dataset": "wine",
        "objectives": [{"metric": "log_loss"}],
        "search_space": {"learning_rate": {"type": "float", "low": 1e-8, "high": 1e-1, "log": True}},
        "fixed": {"epochs": 100},  # so that a fold takes longer than a report
        "enqueue": [{"learning_rate": 0.02}, {"learning_rate": 1e-8}],  # the second learns nothing
        "sampler": {"name": "random", "seed": 1},
        "pruner": {"name": "wilcoxon", "p_threshold": 0.1, "n_startup_steps": 3},
        "evaluation": {"folds": 8},
        "budget": {"trials": 2},
    }
    study = client.submit(spec)
    until(lambda: client.study(study.id).state == "completed", "the study ends", 120)

    good, bad = client.trial(study.id, 0), client.trial(study.id, 1)
    assert (good.state, bad.state) == ("complete", "pruned")
    folds = [report.fold for report in client.reports(study.id, 1).items if report.step == 0]
    assert 3 <= len(folds) < 8
    assert bad.end is not None
    assert "p" in bad.end.text
    assert good.metrics is not None
    assert 0 < good.metrics["val/log_loss_std"] < 1
    capsys.readouterr()
    show_trial.trial(client.study(study.id), good)
    shown = next(line for line in capsys.readouterr().out.splitlines() if "val/log_loss" in line)
    assert f"{good.metrics['val/log_loss']:.5g} ± {good.metrics['val/log_loss_std']:.2g}" in shown
