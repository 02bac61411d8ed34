"""What is seen of a training on a CUDA device: its use of the GPU, and its kernels."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
import torch

from tuner.worker.devices import Device
from tuner.worker.meter import Meter
from tuner.worker.profiling import Profile

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.filterwarnings("ignore:The pynvml package is deprecated:FutureWarning")  # another package brings it
def test_the_gpus_memory_and_use_are_sampled() -> None:
    block = torch.ones(64 * 2**20, device="cuda")  # 268 MB

    used = Meter(os.getpid(), Device("cuda:0", {})).sample()

    assert used["system/gpu_memory_mb"] > block.nbytes / 10**6
    assert 0 <= used["system/gpu_percent"] <= 100


def test_a_profile_has_the_gpus_kernels(tmp_path: Path) -> None:
    profile = Profile("cuda")
    layer = torch.nn.Linear(256, 256, device="cuda")
    for _ in range(3):
        layer(torch.ones(64, 256, device="cuda")).sum().backward()
        profile.epoch_ended()
    profile.stop()
    profile.write(tmp_path / "profile")

    trace = json.loads(gzip.decompress((tmp_path / "profile" / "trace.json.gz").read_bytes()))
    assert any(event.get("cat") == "kernel" for event in trace["traceEvents"])
