"""`sequence` beside seasonal naive: series that statsmodels ships, forecast a season ahead from every origin of the test part.

Five runs a series, each with a season less at its end, so that the parts differ. The architecture and the number of epochs
are chosen on validation, then the network is fitted on training and validation and judged once on test. Run as
`python -m benchmarks.families.sequence`.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from statsmodels import datasets

from tests.unit.trainers.stored import store
from trainers import metrics, sequence, windows
from trainers.configs import SequenceConfig
from trainers.contract import Dataset, Part, TrainResult
from trainers.data import files, parts

RUNS = 5
ARCHITECTURES = ("gru", "tcn", "transformer")
METRICS = ("rmse", "mae")


def main() -> None:
    torch.set_num_threads(1)
    print(
        "| series | values | season | metric | seasonal naive | sequence | better in |\n|---|---|---|---|---|---|---|"
    )
    for name, (values, season) in _series().items():
        pairs = [_compare(values[: len(values) - season * run], season) for run in range(RUNS)]
        for metric in METRICS:
            naive, ours = ([pair[side][metric] for pair in pairs] for side in (0, 1))
            better = sum(mine < theirs for mine, theirs in zip(ours, naive, strict=True))
            cells = [name, str(len(values)), str(season), metric, _cell(naive), _cell(ours), f"{better} of {RUNS}"]
            print(f"| {' | '.join(cells)} |", flush=True)


def _series() -> dict[str, tuple[np.ndarray, int]]:
    """Values, and how many make a season."""
    co2 = datasets.co2.load_pandas().data.co2.resample("MS").mean().interpolate()
    elnino = datasets.elnino.load_pandas().data.set_index("YEAR").to_numpy().ravel()
    sunspots = datasets.sunspots.load_pandas().data.SUNACTIVITY
    nile = datasets.nile.load_pandas().data.volume
    return {
        "co2, months": (co2.to_numpy(), 12),
        "El Niño, months": (elnino, 12),
        "sunspots, years": (sunspots.to_numpy(), 11),
        "Nile, years": (nile.to_numpy(), 1),
    }


def _compare(values: np.ndarray, season: int) -> tuple[dict[str, float], dict[str, float]]:
    dataset = _dataset(values)
    split = parts.of(dataset, validation=0.2, test=0.2, folds=1, repeats=1, seed=0)
    train, validation = split.folds[0]
    tried = []
    for architecture in ARCHITECTURES:
        config = SequenceConfig(architecture=architecture, window=max(8, 2 * season), horizon=season, epochs=40)
        result, _ = _train(dataset, train, validation, config)
        tried.append((result.metrics["val/rmse"], result.best_step, architecture))
    _, epochs, architecture = min(tried)
    final = replace(config, architecture=architecture, epochs=epochs)
    learned = np.union1d(train, validation)
    _, last = _train(dataset, learned, split.test_rows, final)  # of the last epoch, not the one that is best on test
    return _naive(dataset, learned, split.test_rows, season), last


def _train(
    dataset: Dataset, train: np.ndarray, held: np.ndarray, config: SequenceConfig
) -> tuple[TrainResult, dict[str, float]]:
    """The result, and the metrics of the last epoch."""
    last: dict[str, float] = {}
    result = sequence.train(
        Part(dataset, train),
        Part(dataset, held),
        config,
        lambda _step, reported: last.update(reported),
        device="cpu",
        seed=0,
        objective=("rmse", "minimize"),
    )
    return result, {metric: last[f"val/{metric}"] for metric in METRICS}


def _naive(dataset: Dataset, train: np.ndarray, held: np.ndarray, season: int) -> dict[str, float]:
    """The season before each origin once more."""
    data = windows.prepare(Part(dataset, train), Part(dataset, held), season, season, "cpu")
    again = data.raw(data.x_validation[:, :-1].numpy())
    return metrics.regression(data.y_raw.ravel(), again.ravel())


def _dataset(values: np.ndarray) -> Dataset:
    table = pd.DataFrame({"time": np.arange(len(values)), "value": values})
    with tempfile.TemporaryDirectory() as scratch:
        folder = store(Path(scratch, "set"), {"data.csv": table.to_csv(index=False)}, time="time", target="value")
        dataset = files.load(folder, "series")
    return replace(dataset, times=dataset.x[:, 0])


def _cell(values: list[float]) -> str:
    return f"{statistics.mean(values):.4g} ± {statistics.stdev(values):.2g}"


if __name__ == "__main__":
    main()
