"""The warm training process: trial after trial, messages in on stdin, messages out on stdout.

Owns the one place of the worker that imports torch and the trainers whole. It exits when its stdin closes, so it never
outlives its agent; whatever a trainer prints goes to stderr, which is the trial's log.
"""

from __future__ import annotations

import json
import math
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal

import torch

from trainers import catalog, export
from trainers.contract import Dataset, NonFiniteError, Part, TrainResult, TrialPruned, TrialStopped
from trainers.data import load, split
from trainers.data.builtin import BUILTIN
from tuner.wire import ClaimedAttempt
from tuner.worker.messages import Decide, Done, Failed, Outcome, Ready, Reported, Run, Stopped, ToChild

FATAL_MARKS = ("CUDA error", "CUBLAS_STATUS", "cuDNN error", "device-side assert")


def main() -> None:
    """Serves until stdin closes."""
    pipe = _take_stdout()
    inbox: queue.SimpleQueue[Run] = queue.SimpleQueue()
    decision = Decision()
    threading.Thread(target=_listen, args=(inbox, decision), daemon=True).start()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)  # two one-thread children on two cores beat one with two threads
    for trainer in catalog.TRAINERS.values():
        catalog.load(trainer)
    export.warm_up()
    _send(pipe, Ready())
    while True:
        run = inbox.get()
        decision.clear()
        _send(pipe, _run(run, device, decision, pipe))


class Decision:
    """What the agent wants of the running trial; set by the listening thread, read at every report."""

    def __init__(self) -> None:
        self.wanted: Literal["prune", "stop"] | None = None

    def clear(self) -> None:
        self.wanted = None


def _take_stdout() -> IO[str]:
    """Keeps stdout for messages alone: prints of trainers and libraries go to stderr from here on."""
    sys.stdout.flush()
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return pipe


def _listen(inbox: queue.SimpleQueue[Run], decision: Decision) -> None:
    for line in sys.stdin.buffer:
        message = ToChild.validate_json(line)
        if isinstance(message, Decide):
            decision.wanted = message.decision
        else:
            inbox.put(message)
    os._exit(0)  # the agent is gone: nobody wants the rest


def _send(pipe: IO[str], message: Ready | Reported | Outcome) -> None:
    pipe.write(message.model_dump_json() + "\n")
    pipe.flush()


# ---- one trial -------------------------------------------------------------------------------------------------------


def _run(run: Run, device: str, decision: Decision, pipe: IO[str]) -> Outcome:
    last: dict[str, float] = {}
    try:
        return _train(run, device, decision, pipe, last)
    except TrialPruned:
        return Done(state="pruned", metrics=last, best_step=None)
    except TrialStopped:
        return Stopped()
    except NonFiniteError as error:
        return Failed(reason="non-finite", error=str(error), step=error.step, metric=error.metric)
    except (torch.OutOfMemoryError, MemoryError):
        return Failed(reason="out-of-memory", error=traceback.format_exc(), broken=True)
    except Exception as error:
        text = traceback.format_exc()
        if any(mark in str(error) for mark in FATAL_MARKS):
            return Failed(reason="device-fatal", error=text, broken=True)
        return Failed(reason="trainer-error", error=text)


def _train(run: Run, device: str, decision: Decision, pipe: IO[str], last: dict[str, float]) -> Done:
    attempt = run.attempt
    trainer = catalog.get(attempt.trainer.partition("@")[0])
    dataset = _dataset(attempt)
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
    )
    results: list[TrainResult] = []
    for fold, (train_rows, validation_rows) in enumerate(parts.folds):
        report = _reporter(fold, decision, pipe, last)
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
        if len(parts.folds) > 1:
            report(0, result.metrics)
    metrics = _mean([{**result.facts, **result.metrics} for result in results])
    return _export(results, dataset, Path(run.folder), metrics)


def _dataset(attempt: ClaimedAttempt) -> Dataset:
    assert attempt.dataset is not None
    dataset = _load(attempt.dataset)
    if dataset.digest != attempt.dataset_digest:
        raise ValueError(
            f"{attempt.dataset} here has the digest {dataset.digest}, and the study wants {attempt.dataset_digest}: "
            "install the same version of scikit-learn as the control plane"
        )
    return dataset


@lru_cache(maxsize=8)
def _load(name: str) -> Dataset:
    return load.load(name)


def _reporter(fold: int, decision: Decision, pipe: IO[str], last: dict[str, float]) -> Any:
    def report(step: int, metrics: Mapping[str, float]) -> None:
        last.clear()
        last.update(metrics)
        _send(pipe, Reported(fold=fold, step=step, metrics=dict(metrics), at_s=time.monotonic()))
        if decision.wanted == "prune":
            raise TrialPruned
        if decision.wanted == "stop":
            raise TrialStopped

    return report


def _mean(folds: list[dict[str, float]]) -> dict[str, float]:
    """The folds' metrics, averaged; a metric that a fold could not have is left out."""
    names = set.intersection(*(set(metrics) for metrics in folds))
    return {name: math.fsum(metrics[name] for metrics in folds) / len(folds) for name in sorted(names)}


def _export(results: list[TrainResult], dataset: Dataset, folder: Path, metrics: dict[str, float]) -> Done:
    """Writes the first round's model and curves."""
    result = results[0]
    export.save_model(result, folder / "model", BUILTIN[dataset.name])
    (folder / "curves.json").write_text(json.dumps(result.curves, allow_nan=False))
    metrics["model_bytes"] = float(sum(file.stat().st_size for file in (folder / "model").rglob("*.pt2")))
    return Done(state="complete", metrics=metrics, best_step=result.best_step if len(results) == 1 else None)


if __name__ == "__main__":
    main()
