"""Kills by want of memory, counted in files of the kernel's own forms; a death that the kernel had no part in is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tuner.worker import kernel
from tuner.worker.kernel import Kills

V1 = "5:cpu:/\n4:memory:/a/b\n0::/\n"
V2 = "0::/a/b\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kernel, "PROC", tmp_path / "proc")
    monkeypatch.setattr(kernel, "CGROUPS", tmp_path / "cgroup")
    write(tmp_path / "proc" / "vmstat", "nr_free_pages 5\noom_kill 7\n")
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize(
    ("groups", "counter", "before", "after"),
    [
        (V1, "cgroup/memory/a/b/memory.oom_control", "under_oom 0\noom_kill 0\n", "under_oom 0\noom_kill 1\n"),
        (V2, "cgroup/a/b/memory.events", "max 3\noom 1\noom_kill 2\n", "max 9\noom 2\noom_kill 3\n"),
        (V2, "proc/vmstat", "oom_kill 7\n", "oom_kill 8\n"),  # a group without the counter
    ],
)
def test_a_kill_is_counted_where_the_kernel_counts_it(
    machine: Path, groups: str, counter: str, before: str, after: str
) -> None:
    write(machine / "proc" / "42" / "cgroup", groups)
    write(machine / counter, before)
    kills = Kills(42)
    assert not kills.happened()

    (machine / counter).write_text(after)

    assert kills.happened()


def test_another_groups_kill_is_not_ours(machine: Path) -> None:
    write(machine / "proc" / "42" / "cgroup", V2)
    write(machine / "cgroup" / "a" / "b" / "memory.events", "oom_kill 2\n")
    kills = Kills(42)

    write(machine / "proc" / "vmstat", "oom_kill 8\n")

    assert not kills.happened()


def test_where_the_kernel_does_not_tell_nothing_is_claimed(machine: Path) -> None:
    (machine / "proc" / "vmstat").unlink()

    assert not Kills(42).happened()


def test_this_machine_can_be_asked() -> None:
    assert not Kills(os.getpid()).happened()
