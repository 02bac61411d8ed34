"""Which slots a machine has: one for every GPU, or one for every core where there is none; asks no torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

# one thread a child: torch, BLAS and OpenMP would otherwise take every core each
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Device:
    """Where a slot's child trains.

    Attributes:
        name: `cpu`, or `cuda:N` by the driver's order.
        environment: what its child's environment has beside ours, set before torch loads.
    """

    name: str
    environment: dict[str, str]


def find(slots: int | None) -> list[Device]:
    """One device a slot: the GPUs in turn, or cores; `slots` says how many, None as many as there are."""
    gpus = _gpus()
    if gpus:
        count = slots or len(gpus)
        chosen = [gpus[i % len(gpus)] for i in range(count)]
        return [Device(f"cuda:{gpu}", {"CUDA_VISIBLE_DEVICES": gpu}) for gpu in chosen]
    return [Device("cpu", ONE_THREAD)] * (slots or len(os.sched_getaffinity(0)))


def _gpus() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(
        ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return listed.stdout.split() if listed.returncode == 0 else []
