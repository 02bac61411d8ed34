"""What a trainer is given and what it gives back; imports no torch, so the control plane may read it.

Owns the words between a trainer and whoever runs it: the parts of a data set, the report, the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from trainers.data.info import Column

Kind = Literal["tabular", "image", "text", "audio", "interactions", "series", "labelled-series"]
Task = Literal["classification", "regression", "recommendation", "structured", "language"]
Direction = Literal["maximize", "minimize"]

Objective = tuple[str, Direction]
"""The metric by which epochs are compared, by its bare name (`roc_auc`, `loss`), and which way is better."""

LAST_EPOCH: Objective = ("epoch", "maximize")
"""In an objective's place: the last epoch is the best. So a final model is trained, which has no validation part to judge it.

The validation part that a trainer is given then has been learnt from; what it measures there is of no meaning.
"""

Report = Callable[[int, Mapping[str, float]], None]
"""`report(step, metrics)`: step counts finished epochs from 1. Raises `TrialPruned` or `TrialStopped`."""

State = dict[str, Any]
"""Tensors, numbers, texts, and lists, tuples and dicts of these: what a training goes on from."""


class Checkpoint(Protocol):
    """Where a training keeps its state, so that another process may go on from it. A trainer need not use it."""

    def load(self) -> State | None:
        """The state to go on from, its tensors on the CPU; None: begin at the beginning."""

    def save(self, step: int, state: Callable[[], State], *, stopping: bool = False) -> None:
        """Offers the state after an epoch, once it is reported; it is made and written if that is due.

        Args:
            step: epochs finished.
            state: makes it.
            stopping: `report` has just raised `TrialStopped`; pass that on afterwards.
        """

    def end(self, state: Callable[[], State]) -> None:
        """Offers the state in which training is over, out of which the trainer gives the same result at once."""


class NoCheckpoint:
    """Keeps nothing."""

    def load(self) -> State | None:
        return None

    def save(self, step: int, state: Callable[[], State], *, stopping: bool = False) -> None:
        pass

    def end(self, state: Callable[[], State]) -> None:
        pass


NO_CHECKPOINT = NoCheckpoint()


class TrialPruned(Exception):  # noqa: N818 - Optuna's own word
    """The pruner ended this trial; raised by `report`.

    Attributes:
        curves: set by a trainer that lets it pass: the numbers for figures at the best epoch so far.
    """

    curves: dict[str, Any] | None = None


class TrialStopped(Exception):  # noqa: N818 - beside TrialPruned
    """The attempt ends here: cancelled, lost, or given back to go on elsewhere; raised by `report`."""


class NonFiniteError(Exception):
    """A loss or metric became NaN or infinite.

    Attributes:
        step: the epoch, from 1, in which it happened.
        metric: the metric's name, for example `train/loss`.
    """

    def __init__(self, step: int, metric: str) -> None:
        super().__init__(f"{metric} became NaN or infinite in step {step}")
        self.step = step
        self.metric = metric


@dataclass(frozen=True)
class Dataset:
    """A whole data set in memory, raw as its owner gave it.

    Attributes:
        name: for example `digits`.
        kind: which trainers fit.
        task: what is predicted.
        x: raw rows, `(rows, features)` for tabular, `(rows, height, width)` or
            `(rows, height, width, channels)` for image, int16 `(rows, samples)` with zeros behind the end of shorter clips
            for audio, `(rows,)` of str for text; not always in memory whole. In a table NaN is a missing value; a boolean is
            0 or 1, a date days since 1970, a category the index of its name in its column's `categories` (-1: none of these).
            Interactions and series are such tables, whose columns have roles. Of labelled series float64
            `(rows, steps, values)`, a row a series: NaN is a missing value, and so is all behind the last step.
        y: `(rows,)`: class indices `0..classes-1`, or float targets; 1 for each event of a recommendation or text of a
            language; of a structured task str, as its owner wrote them but for blanks at their ends: what they mean is the
            trainer's business.
        feature_names: one per column for tabular data, the text's column, empty for images.
        class_names: one per class, empty where there are none.
        digest: `sha256:…` over shape, type and bytes of x and y.
        columns: one per feature name, in the same order; empty for images, and where every column holds numbers.
        part_rows: rows of the `train`, `validation` and `test` parts that its owner gave; None where there is one part.
        media: how a file became a row, as `trainers.data.media` has it; None where rows were no files.
        groups: `(rows,)` int64, where a study splits by groups: rows of one number are on one side of every split.
        times: `(rows,)` float64, where a study splits by time: nothing is trained on what comes later.
        ends: `(rows,)` float64 of labelled series, when each has its last step, as `times` is when it begins; None where a
            row is a moment.
    """

    name: str
    kind: Kind
    task: Task
    x: np.ndarray
    y: np.ndarray
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    digest: str
    columns: tuple[Column, ...] = ()
    part_rows: Mapping[str, np.ndarray] | None = None
    media: Mapping[str, Any] | None = None
    groups: np.ndarray | None = None
    times: np.ndarray | None = None
    ends: np.ndarray | None = None


@dataclass(frozen=True)
class Part:
    """Some rows of a data set: training, validation or test."""

    dataset: Dataset
    rows: np.ndarray  # (n,) int64 indices into dataset.x and dataset.y


@dataclass(frozen=True)
class TrainResult:
    """What a finished trial is.

    Attributes:
        metrics: the validation metrics (`val/loss`, `val/roc_auc`, …) and `train/loss` at the best epoch, by the
            first objective.
        best_step: that epoch, from 1.
        curves: JSON-ready numbers for figures, on validation, as `trainers.curves` describes them.
        network: with that epoch's weights, on the CPU, in eval mode; takes the preprocessed tensor and gives
            probabilities `(rows, classes)`, or targets in raw units `(rows,)`; for a structured task what `answers` takes.
        preprocessing: JSON-ready description of how raw rows become that tensor.
        example: at least two synthetic raw rows, never the user's own data.
        facts: `parameters`, `epochs` run, `train_s` in the loop, `latency_ms` of one row on the CPU.
        answers: of a structured task, the trainer's Python file that `trainers.answers` describes.
    """

    metrics: dict[str, float]
    best_step: int
    curves: dict[str, Any]
    network: nn.Module
    preprocessing: dict[str, Any]
    example: np.ndarray
    facts: dict[str, float] = field(default_factory=dict)
    answers: Path | None = None


class Train(Protocol):
    """A trainer's function. One of somebody else's may leave `checkpoint` out, and then begins anew when it is interrupted."""

    def __call__(
        self,
        train_part: Part,
        validation_part: Part,
        config: Any,
        report: Report,
        *,
        device: str,
        seed: int,
        objective: Objective,
        checkpoint: Checkpoint = NO_CHECKPOINT,
    ) -> TrainResult:
        """Trains on one part, judges each epoch on the other and gives back the best epoch.

        Args:
            train_part: the rows to learn from; whatever is fitted is fitted on them alone.
            validation_part: the rows to compare epochs by.
            config: the hyperparameters.
            report: called after each epoch; what it raises ends the training.
            device: as torch names it, `cpu` or `cuda:0`.
            seed: of weights, batches, dropout and augmentation; torch's global generator is seeded with it.
            objective: the metric and direction by which the best epoch is chosen.
            checkpoint: to go on from, and to keep the state of the training in.
        """
