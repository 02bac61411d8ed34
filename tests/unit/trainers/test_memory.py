"""A batch in pieces: the same losses as the whole batch, and what happens when memory really runs out, in a real process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainers import catalog, memory
from trainers.configs import ImageCnnConfig, ImageMlpConfig, TabularMlpConfig, TrainingConfig
from trainers.contract import Part
from trainers.data import on_device
from trainers.data.load import load
from trainers.data.split import splits
from trainers.memory import Fitting

ROOT = Path(__file__).parents[3]


def losses(name: str, config: TrainingConfig, halvings: int = 0) -> tuple[list[float], Fitting]:
    dataset = load(name)
    rows = splits(dataset.y, dataset.task, validation=0.2, test=0.2, folds=1, repeats=1, seed=0).folds[0]
    seen: list[float] = []

    def report(_step: int, metrics: Mapping[str, float]) -> None:
        seen.extend((metrics["train/loss"], metrics["val/loss"]))

    trainer = catalog.load(next(each for each in catalog.TRAINERS.values() if each.config is type(config)))
    train_part, validation_part = (Part(dataset, each) for each in rows)
    said: list[str] = []
    with memory.watched(said.append, halvings) as fitting:
        trainer(train_part, validation_part, config, report, device="cpu", seed=3, objective=("loss", "minimize"))
    return seen, fitting


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("digits", ImageMlpConfig(epochs=3, batch_size=100, gradient_clip=0.5, l1=1e-4)),
        ("digits", ImageMlpConfig(epochs=2, augmentation="strong", optimizer="sgd", learning_rate=0.01)),
        ("digits", ImageCnnConfig(epochs=1, batch_size=256, width=4, batch_norm=False)),
        ("wine", TabularMlpConfig(epochs=3, batch_size=50, class_weighting="balanced", label_smoothing=0.1)),
        ("wine", TabularMlpConfig(epochs=3, loss="focal", augmentation="strong")),
        ("diabetes", TabularMlpConfig(epochs=3, batch_size=33, loss="huber")),
    ],
)
@pytest.mark.parametrize("halvings", [1, 3])
def test_in_pieces_the_losses_are_those_of_the_whole_batch(name: str, config: TrainingConfig, halvings: int) -> None:
    """Clipping, L1, mix-up, class weights: all of them are of the batch, not of its pieces."""
    whole, untouched = losses(name, config)
    pieces, fitting = losses(name, config, halvings)

    assert untouched.micro_batch is None
    assert fitting.micro_batch is not None
    assert fitting.micro_batch < config.batch_size
    assert pieces == pytest.approx(whole, rel=1e-5)


def test_a_step_that_fits_whole_is_what_it_was_to_the_bit() -> None:
    layer, x, y = nn.Linear(5, 1), torch.randn(9, 5), torch.randn(9, 1)
    expected = nn.functional.mse_loss(layer(x), y)
    expected.backward()  # type: ignore[no-untyped-call]  # torch's own
    assert layer.weight.grad is not None
    gradient = layer.weight.grad.clone()
    layer.zero_grad()

    loss = memory.backward(lambda x, y: nn.functional.mse_loss(layer(x), y), x, y, layer, None)

    assert torch.equal(loss, expected.detach())
    assert layer.weight.grad is not None
    assert torch.equal(layer.weight.grad, gradient)


class Narrow(nn.Module):
    """A layer on a device that holds `rows` rows, and no more."""

    def __init__(self, rows: int, *, batch_norm: bool = False) -> None:
        super().__init__()
        self.rows = rows
        self.seen: list[int] = []
        self.layer: nn.Module = nn.Sequential(nn.Linear(3, 2), *([nn.BatchNorm1d(2)] if batch_norm else []))

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        if len(x) > self.rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        activated: Tensor = self.layer(x)
        return activated


def step(network: Narrow, rows: int) -> None:
    x = torch.randn(rows, 3)
    memory.backward(lambda x, targets: (network(x) - targets).square().mean(), x, torch.zeros(rows, 2), network, None)


@pytest.fixture
def fitting() -> Iterator[Fitting]:
    with memory.watched(lambda _line: None) as watched:
        yield watched


def test_pieces_are_halved_until_they_fit_and_stay_so(fitting: Fitting) -> None:
    network = Narrow(20)
    step(network, 100)
    assert network.seen == [100, 50, 25, 13, 13, 13, 13, 12, 12, 12, 12]
    assert (fitting.where, fitting.batch_size, fitting.micro_batch) == ("device", 100, 13)

    network.seen.clear()
    step(network, 26)

    assert network.seen == [13, 13]


@pytest.mark.parametrize(("batch_norm", "smallest"), [(False, 1), (True, 8)])
def test_what_does_not_fit_in_the_smallest_pieces_raises_as_it_came(
    fitting: Fitting, *, batch_norm: bool, smallest: int
) -> None:
    network = Narrow(0, batch_norm=batch_norm)

    with pytest.raises(torch.OutOfMemoryError):
        step(network, 64)

    assert network.seen[-1] == smallest
    assert fitting.micro_batch == smallest


def test_another_error_is_none_of_memorys(fitting: Fitting) -> None:
    def broken(_x: Tensor, _targets: Tensor) -> Tensor:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        memory.backward(broken, torch.ones(4, 1), torch.ones(4, 1), nn.Linear(1, 1), None)

    assert (fitting.where, fitting.micro_batch) == (None, None)


def test_validation_goes_in_smaller_chunks(fitting: Fitting) -> None:
    network = Narrow(3)
    x = torch.randn(10, 3)

    outputs = memory.in_chunks(network, x, 1_000)

    assert network.seen == [10, 5, 2, 2, 2, 2, 2]
    assert torch.allclose(outputs, network.layer(x))
    assert fitting.chunk == 2


def test_running_out_empties_the_cache_of_other_splits(fitting: Fitting) -> None:
    losses("wine", TabularMlpConfig(epochs=1))
    assert on_device._cache

    step(Narrow(20), 40)

    assert not on_device._cache
    assert fitting.micro_batch == 20


# ---- a real process whose memory really ends -----------------------------------------------------------------------

SCRIPT = """
import json, resource, sys
import psutil, torch
from trainers import memory
from torch import nn

rows, width, headroom = 4096, 8192, int(sys.argv[1])
torch.set_num_threads(1)
torch.manual_seed(0)
network = nn.Sequential(nn.Linear(8, width), nn.Tanh(), nn.Linear(width, 1))
x, y = torch.randn(rows, 8), torch.randn(rows, 1)

def loss_of(part, targets):
    return nn.functional.mse_loss(network(part), targets)

memory.backward(loss_of, x[:8], y[:8], network, None)  # whatever torch sets up at first, it has now
network.zero_grad()
if headroom:
    ceiling = psutil.Process().memory_info().vms + headroom * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
losses = []
with memory.watched(lambda line: print(line, file=sys.stderr)) as fitting:
    for _ in range(3):
        network.zero_grad()
        losses.append(memory.backward(loss_of, x, y, network, None).item())
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= 0.01 * parameter.grad
print(json.dumps({"losses": losses, "where": fitting.where, "micro_batch": fitting.micro_batch,
                  "peak_bytes": memory.peak_bytes("host")}))
"""


def in_a_process(headroom_mb: int) -> dict[str, Any]:
    """Trains with so much address space above what the process has; 0: without a limit."""
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(headroom_mb)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def test_a_process_whose_memory_ends_goes_on_with_the_same_losses() -> None:
    """One activation of the whole batch takes 128 MiB; backward needs several of them."""
    whole = in_a_process(0)
    limited = in_a_process(200)

    assert (whole["where"], whole["micro_batch"]) == (None, None)
    assert limited["where"] == "host"
    assert 1 < limited["micro_batch"] <= 2048
    assert limited["losses"] == pytest.approx(whole["losses"], rel=1e-5)
    assert 2**20 < limited["peak_bytes"] < whole["peak_bytes"]
