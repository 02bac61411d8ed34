"""One trial, or a study's final fit, in the training process: data, splits, folds, the trainer, the exported model.

Owns the one place of the worker that imports torch and the trainers whole; `tuner.worker.child` imports it once it can
notice that its agent has gone.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch

from trainers import catalog, export, memory, pretrained
from trainers.contract import Dataset, Direction, NonFiniteError, Part, Report, TrainResult, TrialPruned, TrialStopped
from tuner.worker import failures, loaded, refit
from tuner.worker.messages import Done, Outcome, Run, Stopped
from tuner.worker.saving import Round, Saving

Tell = Callable[[int, int, Mapping[str, float]], None]
"""`tell(fold, step, metrics)` sends a report, and raises if the trial should end."""


def warm_up(weights: Path | None = None) -> str:
    """Loads all that the first trial would have to wait for; gives the device to train on.

    Args:
        weights: the folder of files that trials may begin from.
    """
    pretrained.folder.set(weights)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)  # two one-thread children on two cores beat one with two threads
    for trainer in catalog.TRAINERS.values():
        if trainer.extra is None:  # others take seconds, and most trials need none of them
            catalog.load(trainer)
    export.warm_up()
    return device


def run_trial(run: Run, device: str, tell: Tell, saving: Saving) -> Outcome:
    """Trains one trial to its end, whatever that is; what a trainer raises is an outcome too."""
    last: dict[str, float] = {}

    def tell_and_keep(fold: int, step: int, metrics: Mapping[str, float]) -> None:
        numbers = _checked(step, metrics)
        last.clear()
        last.update(numbers)
        tell(fold, step, numbers)

    with memory.watched(_say, run.attempt.halvings) as fitting:
        try:
            done = _train(run, device, tell_and_keep, saving)
        except TrialPruned as pruned:
            if pruned.curves is not None:
                _write_curves(pruned.curves, Path(run.folder))
            done = Done(state="pruned", metrics=last, best_step=None)
        except TrialStopped:
            return Stopped()
        except (Exception, SystemExit) as error:  # a trainer may be a script at heart
            return failures.failed(error, fitting)
        return done.model_copy(update={"memory": failures.needed(fitting)})


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201 - the trial's log


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


def _train(run: Run, device: str, tell: Tell, saving: Saving) -> Done:
    attempt = run.attempt
    trainer = catalog.get(attempt.trainer.partition("@")[0])
    dataset = loaded.of(run)
    config = catalog.build_config(trainer, {**attempt.fixed, **attempt.params}, dataset.task)
    train = catalog.load(trainer)
    first_objective = attempt.objectives[0]
    objective = first_objective["metric"], cast("Direction", first_objective["direction"])
    splits = loaded.split_of(attempt, dataset)
    if attempt.is_final:
        result, scores = refit.refit(
            train,
            dataset,
            splits,
            config,
            _reporter(0, tell),
            device=device,
            seed=attempt.seed,
            threshold=attempt.threshold,
            declared=trainer.metrics,
        )
        scored = _checked(result.best_step, {**result.facts, **refit.as_metrics(scores)})
        return _done(result, dataset, Path(run.folder), scored, best_step=result.best_step)
    rounds: list[dict[str, float]] = []
    first: TrainResult | None = None
    for fold, (train_rows, validation_rows) in enumerate(splits.folds):
        if saving.is_over(fold) and first is not None:  # the first is done once more out of its end, for its model
            rounds.append(saving.metrics_of(fold))
            saving.note(rounds[-1])
            continue
        report = _reporter(fold, tell)
        try:
            result = train(
                Part(dataset, train_rows),
                Part(dataset, validation_rows),
                config,
                report,
                device=device,
                seed=attempt.seed + fold // attempt.folds,  # each repeat by a seed of its own
                objective=objective,
                **({"checkpoint": Round(saving, fold)} if catalog.takes_checkpoint(train) else {}),
            )
            rounds.append(_checked(result.best_step, {**result.facts, **result.metrics}))
            saving.note(rounds[-1])
            first = first or result
            if len(splits.folds) > 1 and not saving.is_over(fold):
                report(0, result.metrics)
        except TrialPruned as pruned:
            pruned.curves = first.curves if first else pruned.curves  # as for complete trials: the first round's
            raise
    assert first is not None
    _write_curves(first.curves, Path(run.folder))
    best_step = first.best_step if len(rounds) == 1 else None
    return _done(first, dataset, Path(run.folder), {**_mean(rounds), **_spread(rounds)}, best_step=best_step)


def _reporter(fold: int, tell: Tell) -> Report:
    return lambda step, metrics: tell(fold, step, metrics)


def _mean(folds: list[dict[str, float]]) -> dict[str, float]:
    """The folds' metrics, averaged; a metric that a fold could not have is left out."""
    names = set.intersection(*(set(metrics) for metrics in folds))
    return {name: math.fsum(metrics[name] for metrics in folds) / len(folds) for name in sorted(names)}


def _spread(folds: list[dict[str, float]]) -> dict[str, float]:
    """The standard deviation over the folds of what was measured on validation, as `val/<metric>_std`."""
    if len(folds) == 1:
        return {}
    names = set.intersection(*(set(metrics) for metrics in folds))
    return {
        f"{name}_std": statistics.stdev(metrics[name] for metrics in folds)
        for name in sorted(names)
        if name.startswith("val/")
    }


def _done(
    result: TrainResult, dataset: Dataset, folder: Path, metrics: dict[str, float], *, best_step: int | None
) -> Done:
    """Writes the model; of several rounds it is the first's."""
    export.save_model(result, folder / "model", dataset)
    metrics["model_bytes"] = float(sum(file.stat().st_size for file in (folder / "model").rglob("*.pt2")))
    return Done(state="complete", metrics=metrics, best_step=best_step)


def _write_curves(curves: dict[str, Any], folder: Path) -> None:
    (folder / "curves.json").write_text(json.dumps(curves, allow_nan=False))
