"""Memory that ends under a real training process: the batch goes in pieces; a killed process is tried once more."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import psutil
import pytest

from tests.acceptance.waiting import until
from tests.integration.worker.test_slot import ends, pid_of_child, slot, submit
from tuner.client import Client
from tuner.worker import kernel
from tuner.worker.slot import Slot

__all__ = ["slot"]  # a fixture


def test_a_batch_that_does_not_fit_goes_in_pieces_and_the_trial_completes(client: Client, slot: Slot) -> None:
    """One activation of the whole batch takes 67 MiB, and forwards and backwards need several."""
    fixed = {"epochs": 2, "width": 16_384, "depth": 1, "batch_size": 2048}
    free = submit(client, dataset="digits", fixed=fixed, budget={"trials": 1})
    until(ends(client, free), "the child is warm", 60)
    pid = pid_of_child(slot)
    ceiling = psutil.Process(pid).memory_info().vms + 160 * 2**20
    resource.prlimit(pid, resource.RLIMIT_AS, (ceiling, ceiling))

    tight = submit(client, dataset="digits", fixed=fixed, budget={"trials": 1})
    until(ends(client, tight), "the study ends", 60)

    trial = client.trial(tight.id, 0)
    assert trial.state == "complete", trial.error
    assert trial.end is not None
    assert trial.end.memory is not None
    assert trial.end.memory.where == "host"
    assert trial.end.memory.batch_size == 1079
    assert trial.end.memory.micro_batch is not None
    assert trial.end.memory.micro_batch < 1079
    assert "in pieces of at most" in trial.end.text
    assert pid_of_child(slot) == pid
    losses, expected = (
        [report.metrics["train/loss"] for report in client.reports(study.id, 0).items] for study in (tight, free)
    )
    assert losses == pytest.approx(expected, rel=1e-5)


def test_a_child_that_the_kernel_kills_is_told_from_one_that_somebody_kills(
    client: Client, slot: Slot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's counter is a file of ours here, in its form, since a test may not use up the machine's memory."""
    counter = tmp_path / "proc" / "vmstat"
    counter.parent.mkdir()
    counter.write_text("oom_kill 0\n")
    monkeypatch.setattr(kernel, "PROC", counter.parent)
    study = submit(client, fixed={"epochs": 300, "batch_size": 64}, budget={"trials": 1}, limits={"lease_s": 5})

    def kill(attempt: int) -> None:
        until(lambda: slot._is_training and len(client.trial(study.id, 0).attempts) == attempt, "it trains", 60)
        counter.write_text(f"oom_kill {attempt - 1}\n")  # the second time, the kernel says that it was the kernel
        os.kill(pid_of_child(slot), signal.SIGKILL)
        until(lambda: client.trial(study.id, 0).attempts[attempt - 1].ended_at is not None, "it is told", 60)

    kill(1)
    kill(2)
    until(ends(client, study), "the study ends", 60)

    trial = client.trial(study.id, 0)
    assert [attempt.end_reason for attempt in trial.attempts] == ["child-died", "out-of-memory", "complete"]
    killed = trial.attempts[1].end
    assert killed is not None
    assert killed.memory is not None
    assert (killed.memory.where, killed.memory.killed) == ("host", True)
    assert trial.end is not None
    assert trial.end.memory is not None
    assert (trial.end.memory.batch_size, trial.end.memory.micro_batch) == (45, 23)  # 90 rows in two batches
