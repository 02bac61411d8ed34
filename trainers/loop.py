"""The training loop that all networks share, from the first batch to the best epoch's weights.

Data sets live on the device and batches are index selections, so no loader collates rows, but for those that are too large for
it (`trainers.data.streaming`); nothing waits for the device
within an epoch, and numbers cross over once at its end. With one seed and one device the losses are the same to the
bit, whatever the process trained before.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainers import batches, losses, memory, optimizers, schedules
from trainers.augmentation import Augment
from trainers.catalog import METRICS
from trainers.configs import TrainingConfig
from trainers.contract import (
    LAST_EPOCH,
    NO_CHECKPOINT,
    Checkpoint,
    NonFiniteError,
    Objective,
    Report,
    Task,
    TrainResult,
    TrialPruned,
    TrialStopped,
)
from trainers.data import streaming
from trainers.data.on_device import OnDevice
from trainers.data.streaming import Rows
from trainers.progress import Best, Moving, Progress, changing, put_back
from trainers.tasks import Problem

# so that a large validation part does not need memory for all of its activations
VALIDATION_CHUNK = 16_384  # rows
VALIDATION_VALUES = 2**20  # of the network's input: of images it takes fewer rows
EXAMPLE_ROWS = 3
LATENCY_RUNS, LATENCY_S = 20, 2.0  # at most; a large network takes seconds for one row


def fit(
    network: nn.Module,
    problem: Problem,
    data: OnDevice,
    config: TrainingConfig,
    report: Report,
    *,
    augment: Augment | None,
    seed: int,
    objective: Objective,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> TrainResult:
    """Trains a network and gives back its best epoch.

    Every epoch reports `train/loss` (mean over rows of the loss that is trained on, without the L1 penalty),
    `val/loss`, `val/<metric>`, `learning_rate` (of the last step), `samples_per_s` (training rows) and `epoch_s`
    (with validation). With a checkpoint it goes on after the epoch that is saved there, and the losses are those of a
    training that was never interrupted, to the bit.

    Raises:
        TrialPruned: of `report`, with the curves of the best epoch so far.
        TrialStopped: of `report`, once the state is offered to the checkpoint.
        NonFiniteError: in the epoch in which a loss or metric is NaN or infinite.
        ValueError: if the objective is no metric of the task, or is not measured.
    """
    worth = _judge(objective, data.task)
    move = optimizers.optimizer(network, config)
    rows = len(data.x_train)
    steps = math.ceil(rows / config.batch_size)
    schedule = schedules.schedule(config.schedule, steps * config.epochs, config.warmup_fraction)
    shuffling = torch.Generator().manual_seed(seed)
    draw = batches.drawer(data.y_train, data.outputs, config, shuffling)
    moving = Moving(network, move, shuffling, None if augment is None else augment.draws)
    saved = checkpoint.load()
    progress = Progress() if saved is None else moving.restore(saved)
    began = perf_counter() - progress.train_s
    while not _is_over(progress, config):
        step = progress.step + 1
        started = perf_counter()
        drawn = [each.to(data.x_train.device) for each in batches.cut(draw(), steps, data.lengths, shuffling)]
        train_loss = _train_epoch(
            network, problem, data.x_train, drawn, config, move, schedule, (step - 1) * steps, augment
        )
        trained = perf_counter()
        metrics, predictions = _validate(network, problem, data, step, train_loss)
        speed = {"samples_per_s": rows / (trained - started), "epoch_s": perf_counter() - started}
        best = progress.best
        if best is None or objective == LAST_EPOCH or worth(metrics) > worth(best.metrics):
            weights = {name: value.clone() for name, value in changing(network).items()}
            best = Best(step=step, metrics=metrics, predictions=predictions, weights=weights)
        progress = Progress(step=step, best=best, train_s=perf_counter() - began)
        state = partial(moving.state, progress)
        try:
            report(step, {**metrics, "learning_rate": config.learning_rate * schedule(step * steps - 1), **speed})
        except TrialPruned as pruned:
            pruned.curves = problem.draw(best.predictions)
            raise
        except TrialStopped:
            checkpoint.save(step, state, stopping=True)
            raise
        checkpoint.save(step, state)
    assert progress.best is not None
    checkpoint.end(partial(moving.ending, progress))
    facts = {"epochs": float(progress.step), "train_s": progress.train_s}
    # what was learnt says nothing of where to tell two classes apart
    decided = None if objective == LAST_EPOCH else problem.decide(progress.best.predictions, objective[0])
    return _result(network, problem, data, progress.best, decided, facts)


def _is_over(progress: Progress, config: TrainingConfig) -> bool:
    """Whether all epochs are done, or as many without a better one as patience allows."""
    if progress.best is None:
        return False
    waited = progress.step - progress.best.step
    return progress.step >= config.epochs or 0 < config.early_stopping_patience <= waited


def _judge(objective: Objective, task: Task) -> Callable[[Mapping[str, float]], tuple[float, float]]:
    """What an epoch's metrics are worth, more being better: the objective, and among equals the loss.

    On few rows a metric such as `roc_auc` is perfect after some epochs, whose probabilities are still poor.
    """
    metric, direction = ("loss", "minimize") if objective == LAST_EPOCH else objective
    if task in METRICS and metric not in METRICS[task]:  # a structured one is judged by its trainer's own
        raise ValueError(f"{metric!r} is no metric of {task}; there are {', '.join(METRICS[task])}")
    sign = 1 if direction == "maximize" else -1

    def worth(metrics: Mapping[str, float]) -> tuple[float, float]:
        if f"val/{metric}" not in metrics:
            raise ValueError(f"the trainer names {metric!r} as a metric and did not measure it: give it in every epoch")
        return sign * metrics[f"val/{metric}"], -metrics["val/loss"]

    return worth


def _train_epoch(
    network: nn.Module,
    problem: Problem,
    x_train: Rows,
    drawn: list[Tensor],
    config: TrainingConfig,
    move: optimizers.Step,
    schedule: schedules.Schedule,
    steps_before: int,
    augment: Augment | None,
) -> float:
    """Takes one step per batch of row indices; gives the mean training loss over rows."""
    network.train()
    parameters, weights = list(network.parameters()), optimizers.weights(network)

    def loss_of(x: Tensor, targets: Tensor) -> Tensor:
        with _precision(config, x_train.device):
            outputs = network(x)
        return problem.loss(outputs.float(), targets)

    def penalty() -> Tensor:
        return config.l1 * losses.l1(weights)

    summed = torch.zeros((), device=x_train.device)
    for step, (rows, batch) in enumerate(
        zip(drawn, streaming.batches(x_train, drawn), strict=True), start=steps_before
    ):
        factor = schedule(step)
        x, targets = batch, problem.train_targets.index_select(0, rows)
        if augment is not None:
            x, targets = augment(x, targets)
        optimizers.forget_gradients(parameters)
        loss = memory.backward(loss_of, x, targets, network, penalty if config.l1 > 0 else None)
        summed += loss * len(rows)
        if config.gradient_clip > 0:
            nn.utils.clip_grad_norm_(parameters, config.gradient_clip)
        move(config.learning_rate * factor)
        if config.weight_decay > 0:
            optimizers.decay(weights, config.weight_decay, factor, len(drawn))
    return summed.item() / len(x_train)  # the epoch's one wait for the device


def _precision(config: TrainingConfig, device: torch.device) -> AbstractContextManager[object]:
    if config.mixed_precision and device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


def _validate(
    network: nn.Module, problem: Problem, data: OnDevice, step: int, train_loss: float
) -> tuple[dict[str, float], np.ndarray]:
    """Judges the epoch's weights: its metrics, and the predictions on validation they come from."""
    _refuse_non_finite(step, {"train/loss": train_loss})
    network.eval()
    chunk_rows = rows_at_once(data.x_validation.shape[1:], data.values_per_input)
    with torch.inference_mode():
        pieces = streaming.pieces(data.x_validation, chunk_rows)
        outputs = torch.cat([memory.in_chunks(network, piece, chunk_rows) for piece in pieces])
        loss = problem.loss(outputs, problem.validation_targets).item()
        predictions = problem.head(outputs).cpu().numpy()
    _refuse_non_finite(step, {"val/loss": loss})
    with np.errstate(over="ignore", invalid="ignore"):  # refused below, by name
        measured = {f"val/{name}": value for name, value in problem.measure(predictions).items()}
    _refuse_non_finite(step, measured)
    return {"train/loss": train_loss, "val/loss": loss, **measured}, predictions


def rows_at_once(row_shape: tuple[int, ...], values_per_input: int) -> int:
    """How many rows of a shape a network looks at together where nothing is learnt; one at least."""
    row_values = math.prod(row_shape) * values_per_input
    return max(1, min(VALIDATION_CHUNK, VALIDATION_VALUES // row_values))


def _refuse_non_finite(step: int, metrics: dict[str, float]) -> None:
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise NonFiniteError(step, name)


def _result(
    network: nn.Module,
    problem: Problem,
    data: OnDevice,
    best: Best,
    decision: dict[str, Any] | None,
    facts: dict[str, float],
) -> TrainResult:
    """Puts the best epoch's weights back and gathers what is kept of a trial."""
    curves, preprocessed = problem.draw(best.predictions), data.preprocessing
    if decision is not None:
        curves, facts = {**curves, "decision": decision}, {**facts, "val/threshold": decision["threshold"]}
        preprocessed = {**preprocessed, "threshold": decision["threshold"]}
    put_back(network, best.weights)
    network.eval()
    whole = problem.exported(network) if problem.exported else nn.Sequential(network, problem.head)
    whole = whole.cpu().eval()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return TrainResult(
        metrics=best.metrics,
        best_step=best.step,
        curves=curves,
        network=whole,
        preprocessing=preprocessed,
        example=data.example(EXAMPLE_ROWS),
        facts={"parameters": float(parameters), "latency_ms": _latency_ms(whole, data.row()), **facts},
    )


@torch.inference_mode()
def _latency_ms(network: nn.Module, row: Tensor) -> float:
    """The median time that one row takes on the CPU, in milliseconds."""
    times: list[float] = []
    while not times or (len(times) < LATENCY_RUNS and sum(times) < LATENCY_S):
        started = perf_counter()
        network(row)
        times.append(perf_counter() - started)
    return 1000 * statistics.median(times)
