"""What it means that a trainer raised: whose memory ran out, whether the device is gone, or that its code is at fault.

Owns the reading of exceptions in the training process; imports torch through `trainers.memory`.
"""

from __future__ import annotations

from trainers import memory
from trainers.contract import NonFiniteError
from trainers.memory import Fitting
from tuner.domain.ends import Memory
from tuner.tracebacks import told
from tuner.worker.messages import Failed

FATAL_MARKS = ("CUDA error", "CUBLAS_STATUS", "cuDNN error", "device-side assert")


def failed(error: Exception | SystemExit, fitting: Fitting) -> Failed:
    """How a trial ended whose trainer raised this.

    Args:
        error: as it was caught.
        fitting: what had been tried by then to make the trial fit into memory.
    """
    if isinstance(error, NonFiniteError):
        return Failed(reason="non-finite", error=str(error), step=error.step, metric=error.metric)
    where = memory.ran_out(error)
    if where is not None:
        fitting.where = where
        return Failed(reason="out-of-memory", error=told(error), memory=needed(fitting), broken=True)
    if any(mark in str(error) for mark in FATAL_MARKS):
        return Failed(reason="device-fatal", error=told(error), broken=True)
    return Failed(reason="trainer-error", error=told(error))


def needed(fitting: Fitting) -> Memory | None:
    """What became of a trial's memory; None where it never ran out."""
    if fitting.where is None:
        return None
    return Memory(
        where=fitting.where,
        peak_bytes=memory.peak_bytes(fitting.where),
        batch_size=fitting.batch_size,
        micro_batch=fitting.micro_batch,
    )
