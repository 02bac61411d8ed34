"""What a training has come to, as plain tensors and numbers, and how another process goes on from there.

Owns the state of the shared loop: network, optimizer, every source of chance, the best epoch, the time. The schedule and
early stopping follow from the number of epochs done, and data and loss are made again from the seed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from trainers.augmentation import Draws
from trainers.contract import State
from trainers.optimizers import Optimizer
from trainers.pretrained import WeightsError

LOOKED_AT = 64  # values of each tensor that does not learn


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best epoch so far.

    Attributes:
        step: that epoch, from 1.
        metrics: `train/loss`, `val/loss` and `val/<metric>`.
        predictions: on validation.
        weights: a copy of what changes of the network's state, on its device.
    """

    step: int
    metrics: dict[str, float]
    predictions: np.ndarray
    weights: dict[str, Tensor]


@dataclass(kw_only=True)
class Progress:
    """How far a training is.

    Attributes:
        step: epochs done.
        best: of them; None before the first.
        train_s: seconds spent in the loop.
    """

    step: int = 0
    best: Best | None = None
    train_s: float = 0.0


@dataclass(frozen=True)
class Moving:
    """All that changes while a network trains.

    Attributes:
        network: on its device.
        optimizer: of its parameters.
        shuffling: draws the batches, on the CPU.
        draws: of the augmentation, if there is one.
    """

    network: nn.Module
    optimizer: Optimizer
    shuffling: Generator
    draws: Draws | None

    def state(self, progress: Progress) -> State:
        """A state from which `restore` goes on; its tensors may be the network's own, so write it at once."""
        device = _device(self.network)
        return {
            **self.ending(progress),
            "device": device.type,
            "network": changing(self.network),
            "optimizer": self.optimizer.memory,
            "shuffling": self.shuffling.get_state(),
            "dropout": torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state(),
            "draws": None
            if self.draws is None
            else {"generator": self.draws.generator.get_state(), "mixing": self.draws.mixing.getstate()},
        }

    def ending(self, progress: Progress) -> State:
        """The state of a training that is over: enough to give its result again, without a further epoch."""
        assert progress.best is not None
        return {
            "step": progress.step,
            "train_s": progress.train_s,
            "beside": beside(self.network),
            "best": {
                "step": progress.best.step,
                "metrics": progress.best.metrics,
                "predictions": torch.from_numpy(progress.best.predictions),
                "weights": progress.best.weights,
            },
        }

    def restore(self, state: State) -> Progress:
        """Puts everything where it was, in place; of a training that was over, only what it came to.

        On another kind of device than the state's, chance on that device begins anew; what is drawn on the CPU goes on.

        Raises:
            WeightsError: what does not learn, and so is not in the state, is another model's.
        """
        device = _device(self.network)
        own = beside(self.network)
        if state.get("beside", own) != own:
            raise WeightsError(
                "the model in the worker's folder is not the one that this trial began with: put that back, or begin anew"
            )
        if "network" in state:
            put_back(self.network, state["network"])
            self.optimizer.restore(state["optimizer"], device)
            self.shuffling.set_state(state["shuffling"])
            if self.draws is not None:
                self.draws.mixing.setstate(_as_tuples(state["draws"]["mixing"]))
            if state["device"] == device.type:
                self._restore_chance(state, device)
        return _progress(state, device)

    def _restore_chance(self, state: State, device: torch.device) -> None:
        if device.type == "cuda":
            torch.cuda.set_rng_state(state["dropout"], device)
        else:
            torch.set_rng_state(state["dropout"])
        if self.draws is not None:
            self.draws.generator.set_state(state["draws"]["generator"])


def changing(network: nn.Module) -> dict[str, Tensor]:
    """A network's own tensors by name, but for parameters that do not learn: these are there before a training begins."""
    named = network.named_parameters(remove_duplicate=False)  # a weight may have two names
    frozen = {name for name, parameter in named if not parameter.requires_grad}
    return {name: value for name, value in network.state_dict().items() if name not in frozen}


def beside(network: nn.Module) -> str:
    """Tells apart what does not learn of networks: a digest of its names, shapes and first values."""
    told = hashlib.sha256()
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            told.update(f"{name} {tuple(parameter.shape)}".encode())
            told.update(parameter.detach().flatten()[:LOOKED_AT].float().cpu().numpy().tobytes())
    return told.hexdigest()


def put_back(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Gives a network copies of what `changing` gave.

    Raises:
        KeyError: these are of another network.
    """
    if changing(network).keys() != tensors.keys():
        raise KeyError("a state has other tensors than the network")
    network.load_state_dict(tensors, strict=False)


def _progress(state: State, device: torch.device) -> Progress:
    best = state["best"]
    return Progress(
        step=state["step"],
        train_s=state["train_s"],
        best=Best(
            step=best["step"],
            metrics=best["metrics"],
            predictions=best["predictions"].numpy(),
            weights={name: value.to(device) for name, value in best["weights"].items()},
        ),
    )


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(each) for each in value) if isinstance(value, list | tuple) else value


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
