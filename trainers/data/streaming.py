"""Rows that are too large for the device: read, preprocessed and sent batch by batch through torch's `DataLoader`.

Owns when that is done: by the size of a split's rows as the network takes them, beside a share of the device's free memory.
The rows of a batch and their values are those of a split that lives on the device, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from trainers import preprocessing
from trainers.contract import Part

FREE_SHARE = 0.4  # of a device's memory for a split's rows; the rest is for the network and its activations
LOADERS = 2  # processes that make batches while a GPU trains


class Streamed(Dataset[Tensor]):
    """Rows of a part on their way: what a tensor `(rows, …)` on a device is asked for, without being there.

    Attributes:
        shape: as the tensor would have.
        device: where batches go.
    """

    def __init__(self, part: Part, fitted: dict[str, Any], device: torch.device) -> None:
        self._part = part
        self._fitted = fitted
        self.shape = torch.Size((len(part.rows), *row_shape(part, fitted)))
        self.device = device
        self.nbytes = 0  # on the device

    def __len__(self) -> int:
        return len(self._part.rows)

    def __getitem__(self, place: int) -> Tensor:
        return self.__getitems__([place])[0]

    def __getitems__(self, places: Sequence[int]) -> Tensor:
        """Rows by their places in the part, on the CPU: torch's word for a whole batch at once."""
        rows = self._part.rows[np.asarray(places)]
        return torch.from_numpy(preprocessing.apply(self._fitted, self._part.dataset.x[rows]))

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"


Rows = Tensor | Streamed


def is_too_large(parts: Iterable[Part], fitted: dict[str, Any], device: torch.device) -> bool:
    """Whether parts take more than the share of the device's free memory; tables never do, as nothing reads them piecewise."""
    if fitted["kind"] not in {"image", "audio"}:
        return False
    values = sum(len(part.rows) * int(np.prod(part.dataset.x.shape[1:])) for part in parts)
    return 4 * values > FREE_SHARE * free_bytes(device)


def free_bytes(device: torch.device) -> int:
    """The device's free memory; of the CPU, what the machine has left."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def row_shape(part: Part, fitted: dict[str, Any]) -> tuple[int, ...]:
    """Of one row as the network takes it."""
    return preprocessing.apply(fitted, part.dataset.x[part.rows[:1]]).shape[1:]


def batches(x: Rows, places: Sequence[Tensor]) -> Iterator[Tensor]:
    """The rows at each of these places, on x's device; indices `(n,)` each."""
    if isinstance(x, Tensor):
        return (x.index_select(0, each) for each in places)
    loader = DataLoader(
        x,
        batch_sampler=[each.tolist() for each in places],
        collate_fn=_as_it_is,
        num_workers=LOADERS if x.is_cuda else 0,
        pin_memory=x.is_cuda,
        # torch would seed loaders out of the generator that dropout draws from
        generator=torch.Generator().manual_seed(0),
    )
    return (batch.to(x.device, non_blocking=True) for batch in loader)


def pieces(x: Rows, rows: int) -> Iterator[Tensor]:
    """All rows in order: a tensor whole, for whoever cuts it; others at most `rows` at once."""
    return iter([x]) if isinstance(x, Tensor) else batches(x, torch.split(torch.arange(len(x)), rows))


def first(x: Rows) -> Tensor:
    """The first row `(1, …)` on the CPU."""
    return x[:1].cpu() if isinstance(x, Tensor) else x.__getitems__([0])


def _as_it_is(batch: Any) -> Any:
    return batch
