"""The trial that all sides train: digits, the MLP of `image-mlp`, five hyperparameters that do not change its speed.

Owns the data, the search space and the call of the trainer. Peers call the very train function that our worker calls,
with the same split, so the sides differ in everything but the training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainers.contract import Part, TrainResult

SLOTS = 2
SEED = 7
DATASET = "digits"
TRAINER = "image-mlp"
OBJECTIVE = ("roc_auc", "maximize")
METRIC = f"val/{OBJECTIVE[0]}"
SPACE = {  # name: low, high, log
    "learning_rate": (1e-4, 1e-2, True),
    "weight_decay": (1e-6, 1e-1, True),
    "dropout": (0.05, 0.5, False),
    "label_smoothing": (0.01, 0.2, False),
    "beta1": (0.8, 0.99, False),
}
EPOCHS_OF_0_3_S = 20  # on the machine of docs/benchmarks.md; each row tells the seconds that it saw
EPOCHS_OF_1_S = 68
EPOCHS_OF_5_S = 340


def spec(name: str, *, trials: int, epochs: int) -> dict[str, Any]:
    """The study as our service is given it."""
    return {
        "name": name,
        "dataset": DATASET,
        "trainer": TRAINER,
        "objectives": [{"metric": OBJECTIVE[0], "direction": OBJECTIVE[1]}],
        "search_space": {
            key: {"type": "float", "low": low, "high": high, "log": log} for key, (low, high, log) in SPACE.items()
        },
        "fixed": {"epochs": epochs},
        "sampler": {"name": "tpe", "seed": SEED},
        "pruner": {"name": "none"},
        "budget": {"trials": trials},
        "finalize": False,
    }


def train(
    params: Mapping[str, Any], *, epochs: int, seed: int, report: Callable[[int, Mapping[str, float]], None]
) -> TrainResult:
    """Trains one trial as our worker's child does; `report` gets every epoch's metrics."""
    from trainers import catalog  # noqa: PLC0415 - torch is for processes that train

    trainer = catalog.get(TRAINER)
    train_part, validation_part = parts()
    config = catalog.build_config(trainer, {**params, "epochs": epochs}, train_part.dataset.task)
    return catalog.load(trainer)(
        train_part, validation_part, config, report, device="cpu", seed=seed, objective=OBJECTIVE
    )


@cache
def parts() -> tuple[Part, Part]:
    from trainers.contract import Part  # noqa: PLC0415
    from trainers.data import load, split  # noqa: PLC0415

    dataset = load.load(DATASET)
    found = split.splits(dataset.y, dataset.task, validation=0.2, test=0.2, folds=1, repeats=1, seed=0)
    train_rows, validation_rows = found.folds[0]
    return Part(dataset, train_rows), Part(dataset, validation_rows)
