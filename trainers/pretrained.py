"""Weights on disk to begin from: safetensors files in one folder of the worker's, read by their own library, never unpickled.

Owns which folder that is in this process, and what must fit: every tensor but those of the last layer.
"""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from trainers.hyperparameters import NAME

folder: ContextVar[Path | None] = ContextVar("folder", default=None)
"""Where files are; set once by whoever runs trainers."""

COUNTER = "num_batches_tracked"  # of batch norms, which some files leave out and nothing here reads
TOLD = 10


class WeightsError(ValueError):
    """There are no such weights, or they do not fit the network; the text tells what to do."""


@torch.no_grad()
def begin_from(network: nn.Module, name: str, head: str) -> None:
    """Gives a network the weights of a file, all but its last layer's.

    Args:
        network: takes them over; images of one channel take the sum over the channels of the first convolution.
        name: of the file.
        head: what the names of the last layer's tensors begin with.

    Raises:
        WeightsError: there is no such file here, or its tensors are not the network's.
    """
    given = {key: value for key, value in _read(name).items() if not key.startswith(head)}
    own = {key: value for key, value in network.state_dict().items() if not key.startswith(head)}
    wanted = {key for key in own if not key.endswith(COUNTER)}
    given = {key: value for key, value in given.items() if not key.endswith(COUNTER)}
    if missing := sorted(wanted ^ {*given}):
        side = "lacks" if missing[0] in wanted else "has, and the network has not,"
        cure = "choose depth, batch_norm and image_size as it was trained with"
        raise WeightsError(f"{name} {side} {', '.join(missing[:TOLD])}: {cure}")
    for key in sorted(wanted):
        tensor = given[key]
        if tensor.ndim == 4 and own[key].shape[1] == 1 != tensor.shape[1] and tensor.shape[0] == own[key].shape[0]:
            tensor = tensor.sum(dim=1, keepdim=True)  # a grey image has the same value in each colour
        if tensor.shape != own[key].shape:
            shapes = f"{tuple(tensor.shape)} in {name} and {tuple(own[key].shape)} in the network"
            raise WeightsError(f"{key} is {shapes}: choose width and image_size as it was trained with")
        own[key].copy_(tensor)


def _read(name: str) -> dict[str, Tensor]:
    where = folder.get()
    if where is None:
        raise WeightsError(
            f"weights {name} are not known here: set TUNER_WEIGHTS on the worker to the folder of such files"
        )
    if not NAME.fullmatch(name) or not (where / name).is_file():
        there = ", ".join(sorted(path.name for path in where.glob("*.safetensors"))[:TOLD]) or "none"
        raise WeightsError(
            f"there are no weights {name[:100]!r} in the worker's folder TUNER_WEIGHTS: there are {there}"
        )
    try:
        return load_file(where / name)
    except (SafetensorError, ValueError, OSError) as error:
        raise WeightsError(f"{name} is no safetensors file ({str(error)[:80]}): save it by safetensors") from None
