"""What a trial uses of the machine, measured at real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.acceptance.waiting import until
from tuner.worker import meter
from tuner.worker.devices import Device
from tuner.worker.meter import Meter

CPU = Device("cpu", {})
# holds 64 MB and works; and the same in a child of a child
WORK = "block = bytearray(64 * 10**6)\nprint(flush=True)\nwhile True: sum(range(1000))"
NESTED = f"import subprocess, sys\nprint(flush=True)\nsubprocess.run([sys.executable, '-c', {WORK!r}])"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "EVERY_S", 0.0)


@pytest.fixture(params=[WORK, NESTED])
def pid(request: pytest.FixtureRequest) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", request.param], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        for each in reversed(list(meter._family(process.pid))):
            subprocess.run(["kill", "-9", str(each)], check=True)


def test_a_process_that_works_and_its_children_are_seen(pid: int) -> None:
    measured = Meter(pid, CPU)
    until(lambda: measured.sample()["system/memory_mb"] > 64, "it holds its memory", 30)
    until(lambda: measured.sample()["system/cpu_percent"] > 5, "it works", 30)

    used = measured.sample()
    assert set(used) == {"system/cpu_percent", "system/memory_mb", "system/peak_memory_mb"}
    assert used["system/peak_memory_mb"] >= used["system/memory_mb"] > 64


def test_the_peak_is_the_trials_own(pid: int) -> None:
    before = Meter(pid, CPU)
    until(lambda: before.sample()["system/memory_mb"] > 64, "it holds its memory", 30)
    before._peak_mb = 10.0**6

    assert before.sample()["system/peak_memory_mb"] == 10.0**6
    assert Meter(pid, CPU).sample()["system/peak_memory_mb"] < 10.0**6


def test_the_first_report_has_a_sample_and_the_next_within_a_second_none(
    pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, "EVERY_S", 3600.0)
    measured = Meter(pid, CPU)

    assert measured.sample()
    assert measured.sample() == {}


def test_a_process_that_is_gone_has_no_sample() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert Meter(process.pid, CPU).sample() == {}


@pytest.mark.filterwarnings("ignore:The pynvml package is deprecated:FutureWarning")  # another package brings it
def test_a_gpu_that_does_not_tell_leaves_the_rest() -> None:
    """On a machine without NVIDIA's library as well as on one where there is no such GPU."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        used = Meter(process.pid, Device("cuda:99", {})).sample()
        process.communicate(b"\n")

    assert "system/memory_mb" in used
    assert "system/gpu_percent" not in used
