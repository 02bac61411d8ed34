"""A batch that does not fit into memory goes in pieces: the gradients are added up, so the step is that of the whole batch.

Owns what counts as out of memory, the halving, and what is remembered of it while one trial trains. What a batch is stays
the hyperparameter that it was: the pieces' losses are weighted by their rows, and L1, clipping, decay and the optimizer's
step come once, after the last piece. Two things differ: batch normalisation takes its statistics from a piece, which
therefore keeps at least `NORM_ROWS` rows, and dropout draws anew for a batch that is begun again.
"""

from __future__ import annotations

import contextlib
import gc
import math
import resource
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainers.data import on_device

NORM_ROWS = 8  # fewer say little of a mean and a deviation

# of exceptions that have no class of their own: torch's allocator on the CPU, oneDNN's, C++'s, CUDA's libraries'
HOST_MARKS = ("can't allocate memory", "std::bad_alloc", "could not create a memory")
DEVICE_MARKS = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)

STATUS = Path("/proc/self/status")

T = TypeVar("T")
Say = Callable[[str], None]


@dataclass
class Fitting:
    """What one trial had to do to fit into memory.

    Attributes:
        say: takes a line for the trial's log.
        halvings: of the first batch, before anything was tried.
        where: memory last ran out; None: it never did.
        batch_size: rows of the first batch that did not fit.
        micro_batch: most rows of a batch at once; None: whole batches.
        chunk: most rows of validation at once; None: as many as usual.
    """

    say: Say
    halvings: int = 0
    where: Literal["device", "host"] | None = None
    batch_size: int | None = None
    micro_batch: int | None = None
    chunk: int | None = None


_fitting: ContextVar[Fitting | None] = ContextVar("fitting", default=None)


@contextlib.contextmanager
def watched(say: Say, halvings: int = 0) -> Iterator[Fitting]:
    """Remembers, for everything that is trained inside, what had to be done to fit: the next fold begins with it.

    Args:
        say: takes a line for the trial's log.
        halvings: how often to halve batches from the start, since an attempt before did not live to do it.
    """
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):  # Linux alone can forget a process's peak
        Path("/proc/self/clear_refs").write_text("5")
    fitting = Fitting(say, halvings)
    token = _fitting.set(fitting)
    try:
        yield fitting
    finally:
        _fitting.reset(token)


def ran_out(error: BaseException) -> Literal["device", "host"] | None:
    """Whose memory an exception says was used up; None: it says something else."""
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError) or any(mark in text for mark in DEVICE_MARKS):
        return "device"
    if isinstance(error, MemoryError) or any(mark in text for mark in HOST_MARKS):
        return "host"
    return None


def peak_bytes(where: Literal["device", "host"]) -> int:
    """The most that this trial had: allocated by torch on its GPU, or resident in this process."""
    if where == "device" and torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    if STATUS.exists():  # Linux's getrusage tells of the process that started this one, too
        peak_kb = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:")).split()[1]
        return int(peak_kb) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def release() -> None:
    """Gives back what nothing uses: other splits' tensors, garbage, torch's cached blocks."""
    on_device.forget()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


# ---- training --------------------------------------------------------------------------------------------------------


def backward(
    loss_of: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    targets: Tensor,
    network: nn.Module,
    penalty: Callable[[], Tensor] | None,
) -> Tensor:
    """Fills the parameters' gradients for a batch, in pieces if it does not fit whole; gives its mean loss, detached.

    Args:
        loss_of: rows and their targets to the mean loss over these rows.
        x: `(rows, …)`, after augmentation, which sees the whole batch.
        targets: `(rows, …)`.
        network: its gradients must be cleared, and are written.
        penalty: a term of the loss that does not depend on rows, or None.

    Raises:
        Exception: as it came, where memory runs out with the smallest pieces, too.
    """
    fitting = _fitting.get() or Fitting(say=_silent)
    if fitting.halvings and fitting.micro_batch is None:
        _begin_small(fitting, len(x), network)
    while True:
        try:
            return _accumulate(loss_of, x, targets, _pieces(len(x), fitting.micro_batch), penalty)
        except Exception as error:
            _halve(fitting, error, len(x), _floor(network))
        network.zero_grad(set_to_none=True)  # out here, where the exception and all that its frames held are gone
        release()


def _pieces(rows: int, micro_batch: int | None) -> int:
    return 1 if micro_batch is None else math.ceil(rows / micro_batch)


def _accumulate(
    loss_of: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    targets: Tensor,
    pieces: int,
    penalty: Callable[[], Tensor] | None,
) -> Tensor:
    if pieces == 1:
        loss = loss_of(x, targets)
        torch.autograd.backward(loss if penalty is None else loss + penalty())
        return loss.detach()
    total = torch.zeros((), device=x.device)
    for part, part_targets in zip(x.tensor_split(pieces), targets.tensor_split(pieces), strict=True):
        loss = loss_of(part, part_targets) * (len(part) / len(x))
        torch.autograd.backward(loss)
        total += loss.detach()
    if penalty is not None:
        torch.autograd.backward(penalty())
    return total


def _halve(fitting: Fitting, error: Exception, rows: int, floor: int) -> None:
    """Halves the pieces for what follows; raises the error if it is another one, or they are as small as may be."""
    where = ran_out(error)
    if where is None:
        raise error
    fitting.where = where
    fitting.batch_size = fitting.batch_size or rows
    at_once = math.ceil(rows / _pieces(rows, fitting.micro_batch))
    if at_once <= floor:
        fitting.micro_batch = at_once
        raise error
    fitting.micro_batch = max(floor, math.ceil(at_once / 2))
    fitting.say(
        f"out of memory on the {where} with {at_once} rows at once: from here on a batch of {rows} goes in pieces of at "
        f"most {fitting.micro_batch}, whose gradients are added up"
    )


def _begin_small(fitting: Fitting, rows: int, network: nn.Module) -> None:
    fitting.where, fitting.batch_size = "host", rows
    fitting.micro_batch = max(_floor(network), math.ceil(rows / 2**fitting.halvings))
    fitting.say(f"memory ran out before: a batch of {rows} goes in pieces of at most {fitting.micro_batch} rows")


def _floor(network: nn.Module) -> int:
    """The fewest rows of a piece, of which a batch's last ones may have fewer."""
    has_batch_norm = any(isinstance(module, _BatchNorm) for module in network.modules())
    return NORM_ROWS if has_batch_norm else 1


def _silent(_text: str) -> None:
    pass


# ---- validation ------------------------------------------------------------------------------------------------------


def in_chunks(network: nn.Module, x: Tensor, rows: int) -> Tensor:
    """The network's outputs `(len(x), …)`, computed for at most `rows` rows at once, and fewer if they do not fit.

    Raises:
        Exception: as it came, where memory runs out for a single row, too.
    """
    fitting = _fitting.get() or Fitting(say=_silent)
    while True:
        at_once = rows if fitting.chunk is None else min(rows, fitting.chunk)
        try:
            return torch.cat([network(chunk) for chunk in torch.split(x, at_once)])
        except Exception as error:
            fitting.where = ran_out(error)
            at_once = min(at_once, len(x))
            if fitting.where is None or at_once == 1:
                raise
            fitting.chunk = at_once // 2
            fitting.say(
                f"out of memory on the {fitting.where} in validation: {fitting.chunk} rows at once from here on"
            )
        release()
