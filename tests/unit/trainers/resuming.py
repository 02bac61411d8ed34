"""Trainings that are interrupted and go on: the cases, and the process in which they go on.

Run as a module with a folder, it goes on from every case's file there and prints what came out as JSON.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from benchmarks.families import text
from tests import clips
from tests.unit.trainers import made_interactions, made_labelled, made_series
from tests.unit.trainers.stored import store
from tests.zipped import packed
from trainers import catalog, checkpoint
from trainers.configs import (
    ImageCnnConfig,
    ImageMlpConfig,
    RecommenderConfig,
    SequenceConfig,
    TabularMlpConfig,
    TextClassifierConfig,
    TrainingConfig,
)
from trainers.contract import Dataset, Part, State, TrainResult, TrialStopped
from trainers.data import files, parts
from trainers.data.info import Column
from trainers.data.load import load
from trainers.media_configs import AudioClassifierConfig, ImageResnetConfig


@dataclass(frozen=True)
class Case:
    """A training, and the epoch after which it is interrupted."""

    dataset: str
    config: TrainingConfig
    stop_after: int


TABULAR = {"epochs": 9, "batch_size": 32, "dropout": 0.3}
CASES = {
    "numbers, adamw, noise and mix-up, cosine": Case(
        "wine",
        TabularMlpConfig(
            **TABULAR, augmentation="strong", batch_norm=True, warmup_fraction=0.3, schedule="cosine", weight_decay=0.05
        ),
        4,
    ),
    "numbers, sgd without momentum, step": Case(
        "diabetes", TabularMlpConfig(**TABULAR, optimizer="sgd", momentum=0.0, schedule="step", l1=0.001), 5
    ),
    "mixed columns, nesterov, one-cycle": Case(
        "mixed",
        TabularMlpConfig(
            **TABULAR,
            optimizer="sgd",
            momentum=0.9,
            nesterov=True,
            schedule="one_cycle",
            augmentation="strong",
            learning_rate=0.05,
        ),
        1,
    ),
    "image-mlp, momentum, every augmentation": Case(
        "digits",
        ImageMlpConfig(
            epochs=5, dropout=0.2, optimizer="sgd", momentum=0.95, augmentation="strong", flip_p=0.5, batch_norm=True
        ),
        3,
    ),
    "image-cnn, adam, exponential": Case(
        "digits",
        ImageCnnConfig(epochs=4, width=8, dropout=0.2, optimizer="adam", augmentation="strong", schedule="exponential"),
        2,
    ),
    "image-resnet, every augmentation": Case(
        "digits",
        ImageResnetConfig(epochs=3, width=4, depth=1, dropout=0.2, augmentation="strong", flip_p=0.5, batch_size=128),
        2,
    ),
    "audio-classifier, masks and mix-up": Case(
        "tones",
        AudioClassifierConfig(epochs=4, width=4, depth=2, mels=16, dropout=0.2, augmentation="strong", batch_size=16),
        2,
    ),
    "mixed columns, classes drawn alike": Case(
        "mixed", TabularMlpConfig(**TABULAR, class_weighting="sampling", augmentation="light"), 4
    ),
    **{
        f"texts, {architecture}": Case(
            "reviews",
            TextClassifierConfig(
                architecture=architecture, epochs=4, width=16, max_length=20, dropout=0.2, augmentation="strong"
            ),
            2,
        )
        for architecture in ("embedding_bag", "cnn", "gru", "transformer")
    },
    "early stopping": Case(
        "diabetes",
        TabularMlpConfig(epochs=60, learning_rate=0.02, schedule="constant", early_stopping_patience=4),
        5,
    ),
    "recommender, events, two towers": Case(
        "events",
        RecommenderConfig(architecture="two_tower", epochs=5, batch_size=64, dropout=0.2, negatives=4, id_dropout=0.3),
        2,
    ),
    "recommender, ratings, factors": Case("ratings", RecommenderConfig(epochs=4, batch_size=64, dropout=0.2), 2),
    "sequence, gru": Case("series", SequenceConfig(epochs=4, depth=2, dropout=0.2, horizon=3), 2),
    "sequence, tcn": Case("series", SequenceConfig(architecture="tcn", epochs=4, depth=2, dropout=0.2), 2),
    "sequence, transformer": Case("series", SequenceConfig(architecture="transformer", epochs=4, dropout=0.2), 2),
    **{
        f"classes of series, {architecture}": Case(
            "runs",
            SequenceConfig(architecture=architecture, epochs=4, width=8, depth=2, dropout=0.2, batch_size=16),
            2,
        )
        for architecture in ("gru", "tcn", "transformer")
    },
    "after the last epoch": Case("iris", TabularMlpConfig(epochs=3, dropout=0.1), 3),
}


class InFile:
    """A checkpoint in one file, saved when the training is stopped."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def load(self) -> State | None:
        return checkpoint.read(self.file) if self.file.exists() else None

    def save(self, step: int, state: Callable[[], State], *, stopping: bool = False) -> None:
        if stopping:
            whole = state()
            assert whole["step"] == step
            checkpoint.write(self.file, whole)

    def end(self, state: Callable[[], State]) -> None:
        pass


Outcome = dict[str, object]


def train(
    case: Case, file: Path, *, stop_after: int | None = None, device: str = "cpu"
) -> tuple[Outcome, TrainResult | None]:
    """Trains until it is done or stopped; gives what there is to compare, and the result if it is done."""
    dataset = _dataset(case.dataset)
    made = parts.of(dataset, validation=0.2, test=0.2, folds=1, repeats=1, seed=0)
    train_rows, validation_rows = made.folds[0]
    losses: list[list[float]] = []

    def report(step: int, metrics: Mapping[str, float]) -> None:
        losses.append([step, metrics["train/loss"], metrics["val/loss"], metrics["learning_rate"]])
        if step == stop_after:
            raise TrialStopped

    trainer = next(each for each in catalog.TRAINERS.values() if each.config is type(case.config))
    try:
        result = catalog.load(trainer)(
            Part(dataset, train_rows),
            Part(dataset, validation_rows),
            case.config,
            report,
            device=device,
            seed=7,
            objective=("loss", "minimize"),
            checkpoint=InFile(file),
        )
    except TrialStopped:
        return {"losses": losses}, None
    outcome: Outcome = {
        "losses": losses,
        "best": [result.best_step, result.metrics],
        "epochs": result.facts["epochs"],
        "weights": digest(result.network),
        "curves": result.curves,
    }
    return json.loads(json.dumps(outcome)), result


def _dataset(name: str) -> Dataset:
    if name in {"events", "ratings"}:
        return made_interactions.dataset(ratings=name == "ratings")
    if name == "series":
        return made_series.dataset()
    if name == "runs":
        return made_labelled.dataset()
    if name == "tones":
        return tones()
    if name == "reviews":
        return reviews()
    return mixed() if name == "mixed" else load(name)


def digest(network: torch.nn.Module) -> str:
    bytes_ = b"".join(value.numpy().tobytes() for _, value in sorted(network.state_dict().items()))
    return hashlib.sha256(bytes_).hexdigest()


@cache
def reviews() -> Dataset:
    """Real texts, in Chinese."""
    return text.as_dataset("reviews", text.reviews(200))


@cache
def mixed() -> Dataset:
    """Numbers, categories, booleans and gaps."""
    rng = np.random.default_rng(0)
    number, town, lift = rng.normal(size=300), rng.integers(0, 5, 300), rng.integers(0, 2, 300)
    y = (number + (town == 2) * 2 + lift > 0.7).astype(np.int64)
    number[rng.random(300) < 0.1] = np.nan
    return Dataset(
        name="mixed",
        kind="tabular",
        task="classification",
        x=np.column_stack([number, town, lift]).astype(np.float64),
        y=y,
        feature_names=("number", "town", "lift"),
        class_names=("no", "yes"),
        digest="sha256:mixed",
        columns=(
            Column("number", "number", missing=30),
            Column("town", "category", categories=("a", "b", "c", "d", "e")),
            Column("lift", "boolean"),
        ),
    )


@cache
def tones() -> Dataset:
    """Clips of sound out of a zip."""
    with tempfile.TemporaryDirectory() as folder:
        return files.load(store(Path(folder, "set"), {"data.zip": packed(clips.tones())}), "tones")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    went_on = {name: train(case, folder / f"{i}.checkpoint")[0] for i, (name, case) in enumerate(CASES.items())}
    sys.stdout.write(json.dumps(went_on) + "\n")
