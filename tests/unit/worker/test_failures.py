"""What an exception of a trainer means: whose memory, whose device, whose code."""

from __future__ import annotations

import pytest
import torch

from trainers import memory
from trainers.contract import NonFiniteError
from trainers.memory import Fitting
from tuner.domain import ends
from tuner.domain.ends import EndDetail
from tuner.worker import failures


def fitting() -> Fitting:
    return Fitting(say=print)


@pytest.mark.parametrize(
    ("error", "reason", "where"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "out-of-memory", "device"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), "out-of-memory", "device"),
        (RuntimeError("CUDA error: out of memory"), "out-of-memory", "device"),
        (MemoryError("Unable to allocate 3 TiB for an array"), "out-of-memory", "host"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried …"), "out-of-memory", "host"),
        (RuntimeError("CUDA error: device-side assert triggered"), "device-fatal", None),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "device-fatal", None),
        (KeyError("no such column"), "trainer-error", None),
    ],
)
def test_the_kind_is_read_from_the_exception(error: Exception, reason: str, where: str | None) -> None:
    failed = failures.failed(error, fitting())

    assert failed.reason == reason
    assert (failed.memory.where if failed.memory else None) == where
    assert failed.broken == (reason != "trainer-error")
    assert failed.error.startswith(type(error).__name__) or failed.error.startswith("torch.")


def test_a_loss_that_is_nan_tells_where() -> None:
    failed = failures.failed(NonFiniteError(3, "val/loss"), fitting())

    assert (failed.reason, failed.step, failed.metric) == ("non-finite", 3, "val/loss")


def test_a_trainer_with_a_loop_of_its_own_that_runs_out_is_advised() -> None:
    """It knows nothing of pieces, so nothing was tried."""
    failed = failures.failed(MemoryError(), fitting())

    assert failed.memory is not None
    assert (failed.memory.batch_size, failed.memory.micro_batch) == (None, None)
    assert failed.memory.peak_bytes == memory.peak_bytes("host")
    assert ends.line("out-of-memory", EndDetail(memory=failed.memory), failed.error).endswith(
        "a smaller batch_size or network needs less"
    )


def test_a_trial_that_never_ran_out_has_nothing_to_tell() -> None:
    assert failures.needed(fitting()) is None
