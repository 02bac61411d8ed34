"""A split's two parts, preprocessed once and resident on a device, or streamed to it; kept from trial to trial.

Owns the only state that outlives a trial: a cache bounded in bytes, the least recently used split leaving first. It is
read-only for trainers and meant for a process that trains one trial at a time.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainers import preprocessing
from trainers.contract import Part, Task
from trainers.data import streaming
from trainers.data.info import Column
from trainers.data.streaming import Rows
from trainers.preprocessing import Options

CACHE_BYTES = 2**30
TOKEN_VALUES = 64  # what a token's number becomes
_cache: OrderedDict[tuple[str, tuple[Column, ...], str, str, str, Options | None], OnDevice] = OrderedDict()


@dataclass(frozen=True)
class OnDevice:
    """Two parts as tensors.

    Attributes:
        task: what is predicted.
        x_train: float32 `(rows, inputs)`, `(rows, channels, height, width)`, `(rows, steps, inputs)` or `(rows, samples)`, of
            texts int32 `(rows, length)`; where that is too large for the device, rows that stream to it.
        y_train: int64 class indices `(rows,)`, or standardised float32 targets `(rows, 1)`; `(rows, 0)` of a structured task,
            whose labels the trainer makes tensors of by itself.
        x_validation: like x_train.
        y_validation: like y_train.
        y_raw: validation's classes, targets or labels as they were given, `(rows,)`, on the CPU.
        preprocessing: fitted on the training part, as `trainers.preprocessing` describes it.
        dtype: of raw rows.
        lengths: of the rows of x_train that are filled up with zeros, `(rows,)` on the CPU; None where none are.
    """

    task: Task
    x_train: Rows
    y_train: Tensor
    x_validation: Rows
    y_validation: Tensor
    y_raw: np.ndarray
    preprocessing: dict[str, Any]
    dtype: np.dtype[Any]
    lengths: Tensor | None = field(default=None, kw_only=True)

    @property
    def outputs(self) -> int:
        """Values that a network must give per row."""
        return max(1, len(self.preprocessing["class_names"]))

    @property
    def values_per_input(self) -> int:
        """What a value of a row becomes in the network, roughly, at its widest place: an index becomes many values."""
        return values_per_input(self.preprocessing)

    @property
    def bytes(self) -> int:
        """Memory held on the device."""
        return sum(tensor.nbytes for tensor in (self.x_train, self.y_train, self.x_validation, self.y_validation))

    def example(self, rows: int) -> np.ndarray:
        """Synthetic raw rows, nobody's own data."""
        return preprocessing.synthetic(self.preprocessing, rows, self.dtype, seed=0)

    def row(self) -> Tensor:
        """One row as the exported network takes it, on the CPU."""
        return streaming.first(self.x_train)


def prepare(train: Part, validation: Part, device: str, options: Options | None = None) -> OnDevice:
    """Gives a split's tensors, out of the cache where it has them.

    Args:
        train: the training part.
        validation: the validation part.
        device: as torch names it.
        options: of `trainers.preprocessing.fit`.

    Raises:
        ValueError: where a part is empty, or has an infinite value or an image with a missing one.
    """
    # the columns too: how their cells are written is not in the digest, but in the preprocessing
    rows = _rows_digest(train.rows), _rows_digest(validation.rows)
    key = (train.dataset.digest, train.dataset.columns, *rows, device, options)
    if key in _cache:
        _cache.move_to_end(key)
        return _cache[key]
    prepared = _prepare(train, validation, device, options)
    _cache[key] = prepared
    while len(_cache) > 1 and sum(each.bytes for each in _cache.values()) > CACHE_BYTES:
        _cache.popitem(last=False)
    return prepared


def values_per_input(fitted: dict[str, Any]) -> int:
    """As `OnDevice.values_per_input`, out of the preprocessing alone."""
    return TOKEN_VALUES if fitted["kind"] == "text" else 1


def forget() -> None:
    """Empties the cache; what a training is using lives on with it."""
    _cache.clear()


def _rows_digest(rows: np.ndarray) -> str:
    return hashlib.sha256(rows.astype(np.int64).tobytes()).hexdigest()


def _prepare(train: Part, validation: Part, device: str, options: Options | None) -> OnDevice:
    if not len(train.rows) or not len(validation.rows):
        raise ValueError(f"{train.dataset.name}: the training and the validation part need at least one row each")
    if train.dataset.kind == "interactions":
        from trainers import pairs  # noqa: PLC0415 - it is made of what is defined here

        return pairs.prepare(train, validation, device)
    fitted = preprocessing.fit(train, options)
    streamed = streaming.is_too_large((train, validation), fitted, torch.device(device))
    x_train, y_train = _tensors(train, fitted, device, streamed=streamed)
    x_validation, y_validation = _tensors(validation, fitted, device, streamed=streamed)
    return OnDevice(
        task=train.dataset.task,
        x_train=x_train,
        y_train=y_train,
        x_validation=x_validation,
        y_validation=y_validation,
        y_raw=validation.dataset.y[validation.rows],
        preprocessing=fitted,
        dtype=train.dataset.x.dtype,
        lengths=torch.ne(x_train, 0).sum(dim=1).cpu()  # texts do not stream
        if isinstance(x_train, Tensor) and train.dataset.kind == "text"
        else None,
    )


def _tensors(part: Part, fitted: dict[str, Any], device: str, *, streamed: bool) -> tuple[Rows, Tensor]:
    y = part.dataset.y[part.rows]
    if part.dataset.task == "regression":
        y = ((y - fitted["target_mean"]) / fitted["target_scale"]).astype(np.float32)[:, None]
    if part.dataset.task == "structured":
        y = np.empty((len(y), 0), np.float32)
    if streamed:
        return streaming.Streamed(part, fitted, torch.device(device)), torch.from_numpy(y).to(device)
    x = preprocessing.apply(fitted, part.dataset.x[part.rows])
    if not np.isfinite(x).all():
        raise ValueError(f"{part.dataset.name} has values that are missing or infinite")
    return torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)
