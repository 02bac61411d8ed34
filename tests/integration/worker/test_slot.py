"""A slot with a real training process against a real control plane: kept warm, replaced, drained, never doubled."""

from __future__ import annotations

import errno
import os
import resource
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.waiting import until
from trainers import catalog
from tuner import show_trial
from tuner.client import Client
from tuner.wire import StudyOut, WorkerBody
from tuner.worker import devices
from tuner.worker.data_cache import DataCache
from tuner.worker.messages import Done, Reported
from tuner.worker.outbox import Outbox
from tuner.worker.process import Child
from tuner.worker.room import Room
from tuner.worker.slot import Slot

TRAINERS = [f"{trainer.name}@{trainer.version}" for trainer in catalog.TRAINERS.values()]


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
    client.leave("worker")  # so that a claim that waits is answered
    made.thread.join(40)
    assert not made.thread.is_alive()
    assert [path.name for path in scratch.iterdir() if path.name != "datasets"] == []


def submit(client: Client, **changes: Any) -> StudyOut:
    spec = {
        "name": f"iris {uuid.uuid4().hex[:8]}",
        "dataset": "iris",
        "fixed": {"epochs": 2},
        "sampler": {"name": "random", "seed": 1},
        "budget": {"trials": 3},
        "finalize": False,
        "limits": {"lease_s": 5},
    }
    return client.submit(spec | changes)


def ends(client: Client, study: StudyOut) -> Callable[[], bool]:
    return lambda: client.study(study.id).state in {"completed", "failed"}


def pid_of_child(slot: Slot) -> int:
    until(lambda: slot._child is not None, "the child starts", 60)
    assert slot._child is not None
    return slot._child.pid


def test_one_child_trains_trial_after_trial(client: Client, slot: Slot) -> None:
    pid = pid_of_child(slot)

    study = submit(client)

    until(ends(client, study), "the study ends")
    assert client.study(study.id).progress.complete == 3
    assert pid_of_child(slot) == pid


def test_a_child_without_memory_is_replaced_and_says_why(client: Client, slot: Slot) -> None:
    warm_up = submit(client, budget={"trials": 1})
    until(ends(client, warm_up), "the child is warm")
    pid = pid_of_child(slot)
    ceiling = psutil.Process(pid).memory_info().vms + 64 * 2**20
    resource.prlimit(pid, resource.RLIMIT_AS, (ceiling, ceiling))
    wide = {"epochs": 1, "width": 4096, "depth": 4, "batch_size": 1024}

    study = submit(client, dataset="digits", fixed=wide, budget={"trials": 1})
    after = submit(client, budget={"trials": 1})

    until(ends(client, after), "the next study ends")
    failed = client.trial(study.id, 0)
    assert (failed.state, failed.end_reason) == ("failed", "out-of-memory"), failed.error
    assert failed.error is not None
    assert "memory" in failed.error
    assert client.trial(after.id, 0).state == "complete"
    assert pid_of_child(slot) != pid
    assert not psutil.pid_exists(pid)


def test_a_drained_slot_gives_its_trial_back_and_uses_up_no_attempt(client: Client, slot: Slot, tmp_path: Path) -> None:
    study = submit(client, fixed={"epochs": 5000}, budget={"trials": 1}, limits={"max_attempts": 1, "lease_s": 5})
    until(lambda: len(client.reports(study.id, 0).items) > 0, "it trains")

    slot.drain()
    slot.thread.join(30)

    assert not slot.thread.is_alive()
    given_back = client.trial(study.id, 0)
    assert (given_back.state, given_back.attempts[0].state) == ("waiting", "released")
    client.cancel(study.id)


def test_a_cancelled_trial_stops_and_leaves_its_child_warm(client: Client, slot: Slot) -> None:
    pid = pid_of_child(slot)
    study = submit(client, fixed={"epochs": 5000}, budget={"trials": 1})
    until(lambda: len(client.reports(study.id, 0).items) > 0, "it trains")

    client.cancel(study.id)
    after = submit(client, budget={"trials": 1})

    until(ends(client, after), "the next study ends")
    assert pid_of_child(slot) == pid


def test_a_child_that_could_not_be_heard_out_is_replaced_and_its_words_are_nobodys(
    client: Client, slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = pid_of_child(slot)
    stop = slot._stop_training

    def refuse(_message: Reported) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def stop_on_a_full_disk(child: Child, *timeout_s: float, outbox: Outbox | None = None) -> Done | None:
        if outbox is not None:
            monkeypatch.setattr(outbox, "add", refuse)
        return stop(child, *timeout_s, outbox=outbox)

    monkeypatch.setattr(slot, "_stop_training", stop_on_a_full_disk)
    study = submit(client, fixed={"epochs": 10_000}, budget={"trials": 1})
    until(lambda: len(client.reports(study.id, 0).items) > 0, "it trains")

    client.pause(study.id)
    until(lambda: client.trial(study.id, 0).attempts[0].state == "released", "it is given back")
    after = submit(client, budget={"trials": 1})

    until(ends(client, after), "the next study ends")
    assert [attempt.state for attempt in client.trial(after.id, 0).attempts] == ["succeeded"]
    assert pid_of_child(slot) != pid
    client.cancel(study.id)


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
