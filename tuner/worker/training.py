"""One trial in the training process: data, splits, folds, the trainer, the exported model.

Owns the one place of the worker that imports torch and the trainers whole; `tuner.worker.child` imports it once it can
notice that its agent has gone.
"""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from trainers import catalog, export
from trainers.contract import Dataset, NonFiniteError, Part, Report, TrainResult, TrialPruned, TrialStopped
from trainers.data import split
from tuner.worker import loaded
from tuner.worker.messages import Done, Failed, Outcome, Run, Stopped

FATAL_MARKS = ("CUDA error", "CUBLAS_STATUS", "cuDNN error", "device-side assert")
NO_MEMORY_MARK = "can't allocate memory"  # torch's allocator on the CPU raises a bare RuntimeError

Tell = Callable[[int, int, Mapping[str, float]], None]
"""`tell(fold, step, metrics)` sends a report, and raises if the trial should end."""


def warm_up() -> str:
    """Loads all that the first trial would have to wait for; gives the device to train on."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)  # two one-thread children on two cores beat one with two threads
    for trainer in catalog.TRAINERS.values():
        catalog.load(trainer)
    export.warm_up()
    return device


def run_trial(run: Run, device: str, tell: Tell) -> Outcome:
    """Trains one trial to its end, whatever that is; what a trainer raises is an outcome too."""
    last: dict[str, float] = {}

    def tell_and_keep(fold: int, step: int, metrics: Mapping[str, float]) -> None:
        numbers = _checked(step, metrics)
        last.clear()
        last.update(numbers)
        tell(fold, step, numbers)

    try:
        return _train(run, device, tell_and_keep)
    except TrialPruned as pruned:
        if pruned.curves is not None:
            _write_curves(pruned.curves, Path(run.folder))
        return Done(state="pruned", metrics=last, best_step=None)
    except TrialStopped:
        return Stopped()
    except NonFiniteError as error:
        return Failed(reason="non-finite", error=str(error), step=error.step, metric=error.metric)
    except (torch.OutOfMemoryError, MemoryError):
        return Failed(reason="out-of-memory", error=traceback.format_exc(), broken=True)
    except (Exception, SystemExit) as error:  # a trainer may be a script at heart
        text = traceback.format_exc()
        if NO_MEMORY_MARK in str(error):
            return Failed(reason="out-of-memory", error=text, broken=True)
        if any(mark in str(error) for mark in FATAL_MARKS):
            return Failed(reason="device-fatal", error=text, broken=True)
        return Failed(reason="trainer-error", error=text)


def _checked(step: int, metrics: Mapping[str, float]) -> dict[str, float]:
    """Plain floats, also of numpy's and torch's numbers.

    Raises:
        NonFiniteError: nobody can compare one of them, and the trainer did not look.
    """
    numbers = {name: float(value) for name, value in metrics.items()}
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise NonFiniteError(step, name)
    return numbers


def _train(run: Run, device: str, tell: Tell) -> Done:
    attempt = run.attempt
    trainer = catalog.get(attempt.trainer.partition("@")[0])
    dataset = loaded.of(run)
    config = catalog.build_config(trainer, {**attempt.fixed, **attempt.params}, dataset.task)
    train = catalog.load(trainer)
    objective = (attempt.objectives[0]["metric"], attempt.objectives[0]["direction"])
    parts = split.splits(
        dataset.y,
        dataset.task,
        validation=attempt.validation,
        test=attempt.test,
        folds=attempt.folds,
        repeats=attempt.repeats,
        seed=attempt.split_seed,
        part_rows=dataset.part_rows,
    )
    results: list[TrainResult] = []
    numbers: list[dict[str, float]] = []
    for fold, (train_rows, validation_rows) in enumerate(parts.folds):
        report = _reporter(fold, tell)
        try:
            result = train(
                Part(dataset, train_rows),
                Part(dataset, validation_rows),
                config,
                report,
                device=device,
                seed=attempt.seed,
                objective=objective,
            )
            results.append(result)
            numbers.append(_checked(result.best_step, {**result.facts, **result.metrics}))
            if len(parts.folds) > 1:
                report(0, result.metrics)
        except TrialPruned as pruned:
            pruned.curves = results[0].curves if results else pruned.curves  # as for complete trials: the first round's
            raise
    return _export(results, dataset, Path(run.folder), _mean(numbers))


def _reporter(fold: int, tell: Tell) -> Report:
    return lambda step, metrics: tell(fold, step, metrics)


def _mean(folds: list[dict[str, float]]) -> dict[str, float]:
    """The folds' metrics, averaged; a metric that a fold could not have is left out."""
    names = set.intersection(*(set(metrics) for metrics in folds))
    return {name: math.fsum(metrics[name] for metrics in folds) / len(folds) for name in sorted(names)}


def _export(results: list[TrainResult], dataset: Dataset, folder: Path, metrics: dict[str, float]) -> Done:
    """Writes the first round's model and curves."""
    result = results[0]
    export.save_model(result, folder / "model", dataset)
    _write_curves(result.curves, folder)
    metrics["model_bytes"] = float(sum(file.stat().st_size for file in (folder / "model").rglob("*.pt2")))
    return Done(state="complete", metrics=metrics, best_step=result.best_step if len(results) == 1 else None)


def _write_curves(curves: dict[str, Any], folder: Path) -> None:
    (folder / "curves.json").write_text(json.dumps(curves, allow_nan=False))
