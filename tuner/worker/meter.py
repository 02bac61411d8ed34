"""How much of the machine a trial uses: the training process and its children, and the GPU that its slot has.

Owns the samples: at most one a second, each on one report. A GPU is asked through NVML, and is shared where slots share it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from tuner.worker.devices import Device

EVERY_S = 1.0
MB = 10**6


class Meter:
    """Of one trial in one process.

    Args:
        pid: of the process, which lives already.
        device: its slot's.
    """

    def __init__(self, pid: int, device: Device) -> None:
        self._pid = pid
        self._gpu = device.name.removeprefix("cuda:") if device.name.startswith("cuda:") else None
        self._peak_mb = 0.0
        self._last_s = time.monotonic()
        self._last_cpu_s, _memory = _use(pid)
        self._due_s = 0.0  # the first report has a sample, however short the trial

    def sample(self) -> dict[str, float]:
        """What is used now, as metrics of a report; nothing if the last sample is not a second old.

        `system/cpu_percent` is since the last sample, 100 for each core; `system/memory_mb` (10**6 bytes) is resident,
        `system/peak_memory_mb` the most that a sample of this trial saw; `system/gpu_percent` and
        `system/gpu_memory_mb` are of the whole GPU.
        """
        now_s = time.monotonic()
        if now_s < self._due_s or now_s == self._last_s:
            return {}
        cpu_s, memory_bytes = _use(self._pid)
        if not memory_bytes:
            return {}  # it has just died
        self._peak_mb = max(self._peak_mb, memory_bytes / MB)
        percent = 100 * max(0.0, cpu_s - self._last_cpu_s) / (now_s - self._last_s)
        self._last_s, self._last_cpu_s, self._due_s = now_s, cpu_s, now_s + EVERY_S
        used = {"cpu_percent": percent, "memory_mb": memory_bytes / MB, "peak_memory_mb": self._peak_mb}
        return {f"system/{name}": value for name, value in {**used, **self._of_gpu()}.items()}

    def _of_gpu(self) -> dict[str, float]:
        if self._gpu is None:
            return {}
        import pynvml  # noqa: PLC0415 - only where there is a GPU

        try:
            pynvml.nvmlInit()  # counts, and costs nothing when it is done already
            handle = pynvml.nvmlDeviceGetHandleByIndex(int(self._gpu))
            percent = float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
            memory_mb = pynvml.nvmlDeviceGetMemoryInfo(handle).used / MB
        except pynvml.NVMLError:  # a driver that does not tell, or a slice of a GPU
            self._gpu = None
            return {}
        return {"gpu_percent": percent, "gpu_memory_mb": memory_mb}


def _use(pid: int) -> tuple[float, float]:
    """Seconds of CPU so far, and bytes resident now, of a process and its descendants."""
    cpu_s = memory_bytes = 0.0
    for each in _family(pid):
        with suppress(psutil.Error):  # it has ended meanwhile
            process = psutil.Process(each)
            times = process.cpu_times()
            cpu_s += times.user + times.system
            memory_bytes += process.memory_info().rss
    return cpu_s, memory_bytes


def _family(pid: int) -> Iterator[int]:
    """Linux tells a process's children without a look at every process of the machine; elsewhere, the process alone."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in children.read_text().split():
                yield from _family(int(child))
