"""A GPU whose memory really ends: the batch goes in pieces, with the losses of the whole batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from trainers import memory

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

ROWS, WIDTH = 16_384, 16_384  # one activation of the whole batch: 1 GiB
LIMIT_BYTES = 2**31


@contextmanager
def small_device() -> Iterator[None]:
    """A share of the card's memory that does not hold the whole batch's activations forwards and backwards."""
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(LIMIT_BYTES / torch.cuda.get_device_properties(0).total_memory)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def train(steps: int) -> list[float]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1)).to("cuda")
    x, y = torch.randn(ROWS, 8).to("cuda"), torch.randn(ROWS, 1).to("cuda")

    def loss_of(part: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.mse_loss(network(part), targets)

    seen = []
    for _ in range(steps):
        network.zero_grad()
        seen.append(memory.backward(loss_of, x, y, network, None).item())
        with torch.no_grad():
            for parameter in network.parameters():
                assert parameter.grad is not None
                parameter.sub_(0.01 * parameter.grad)
    return seen


def test_the_losses_are_those_of_a_card_with_room() -> None:
    with memory.watched(lambda _line: None) as fitting:
        whole = train(3)
    assert fitting.micro_batch is None
    with small_device(), memory.watched(lambda _line: None) as fitting:
        pieces = train(3)
        peak_bytes = memory.peak_bytes("device")

    assert fitting.where == "device"
    assert fitting.micro_batch is not None
    assert fitting.micro_batch < ROWS
    assert 0 < peak_bytes <= LIMIT_BYTES
    assert pieces == pytest.approx(whole, rel=1e-4)


def test_a_network_that_does_not_fit_raises_as_it_came() -> None:
    with small_device(), pytest.raises(torch.OutOfMemoryError):
        nn.Linear(2**15, 2**15, device="cuda")
