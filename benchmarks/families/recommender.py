"""`recommender` beside item-kNN and the most popular: Debian's package -> dependency pairs, the same test rows.

Five split seeds. Of each side the configuration is chosen on validation, then it is fitted on training and validation and
judged once on test, what a package had before left out of its list. Run as `python -m benchmarks.families.recommender`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from benchmarks.families import debian
from tests.unit.trainers.stored import store
from trainers import ranking, recommender
from trainers.configs import RecommenderConfig
from trainers.contract import Dataset, Part, TrainResult
from trainers.data import files, parts

SEEDS = range(5)
METRICS = ("ndcg_at_10", "recall_at_10", "recall_at_20")
NEIGHBOURS = (10, 20, 50, 100, 200)
CONFIGS = (
    RecommenderConfig(epochs=20),
    RecommenderConfig(loss="softmax", weight_decay=0.3, epochs=20),
    RecommenderConfig(loss="softmax", architecture="two_tower", epochs=8),
)

Scores = dict[str, float]


def main() -> None:
    torch.set_num_threads(1)
    dataset = _dataset()
    users, items = (len(dataset.columns[place].categories) for place in (0, 1))
    print(f"{len(dataset.y)} pairs of {users} packages and {items} dependencies, {len(SEEDS)} splits")
    found: dict[str, list[tuple[Scores, float]]] = {}
    for seed in SEEDS:
        for name, compete in (("most popular", popular), ("item-kNN", knn), ("recommender", ours)):
            began = time.perf_counter()
            scores = compete(dataset, seed)
            found.setdefault(name, []).append((scores, time.perf_counter() - began))
            print(f"split {seed}, {name}: {METRICS[0]} {scores[METRICS[0]]:.4f}", flush=True)
    print(f"| | {' | '.join(METRICS)} | seconds |\n|---|{'---|' * (len(METRICS) + 1)}")
    for name, runs in found.items():
        cells = [_cell([scores[metric] for scores, _ in runs]) for metric in METRICS]
        print(f"| {name} | {' | '.join(cells)} | {statistics.mean(seconds for _, seconds in runs):.1f} |")


def ours(dataset: Dataset, seed: int) -> Scores:
    """The best of three configurations, tuned as a study would, with its best number of epochs."""
    train, validation, test = _parts(dataset, seed)
    best = max(
        (
            (result.metrics["val/ndcg_at_10"], result.best_step, i)
            for i, config in enumerate(CONFIGS)
            for result in [_train(dataset, train, validation, config)[0]]
        )
    )
    final = replace(CONFIGS[best[2]], epochs=best[1])
    # the last epoch, not the one that is best on test
    return _train(dataset, np.union1d(train, validation), test, final)[1]


def _train(
    dataset: Dataset, train: np.ndarray, held: np.ndarray, config: RecommenderConfig
) -> tuple[TrainResult, Scores]:
    """The result, and the metrics of the last epoch."""
    last: Scores = {}
    result = recommender.train(
        Part(dataset, train),
        Part(dataset, held),
        config,
        lambda _step, metrics: last.update(metrics),
        device="cpu",
        seed=0,
        objective=("ndcg_at_10", "maximize"),
    )
    return result, {name.removeprefix("val/"): value for name, value in last.items()}


def knn(dataset: Dataset, seed: int) -> Scores:
    """Cosine between the columns of items, the number of neighbours chosen on validation."""
    train, validation, test = _parts(dataset, seed)
    tried = {n: _judge(dataset, train, validation, n) for n in NEIGHBOURS}
    best = max(tried, key=lambda n: tried[n]["ndcg_at_10"])
    return _judge(dataset, np.union1d(train, validation), test, best)


def popular(dataset: Dataset, seed: int) -> Scores:
    train, validation, test = _parts(dataset, seed)
    return _judge(dataset, np.union1d(train, validation), test, 0)


def _judge(dataset: Dataset, train: np.ndarray, held: np.ndarray, neighbours: int) -> Scores:
    """Metrics of so many neighbours; popularity decides between items that they leave equal."""
    had, wanted = _matrix(dataset, train), _matrix(dataset, held)
    scores = np.tile(np.asarray(had.sum(axis=0)).ravel() / 1e9, (had.shape[0], 1))
    if neighbours:
        found = NearestNeighbors(n_neighbors=neighbours + 1, metric="cosine").fit(had.T)
        distances, places = found.kneighbors(had.T)
        rows = np.repeat(np.arange(had.shape[1]), neighbours + 1)
        likeness = sparse.csr_matrix(((1 - distances).ravel(), (rows, places.ravel())), shape=(had.shape[1],) * 2)
        likeness.setdiag(0)
        scores += (had @ likeness.T).toarray()
    scores[had.nonzero()] = -np.inf
    users, items = wanted.nonzero()
    ranks = np.array([(scores[user] >= scores[user, item]).sum() - 1 for user, item in zip(users, items, strict=True)])
    return ranking.measure(users, ranks, np.bincount(users, minlength=had.shape[0]))


def _matrix(dataset: Dataset, rows: np.ndarray) -> sparse.csr_matrix:
    shape = tuple(len(dataset.columns[place].categories) for place in (0, 1))
    users, items = dataset.x[rows, :2].astype(np.int64).T
    return sparse.csr_matrix((np.ones(len(rows)), (users, items)), shape=shape)


def _parts(dataset: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    split = parts.of(dataset, validation=0.2, test=0.2, folds=1, repeats=1, seed=seed)
    return (*split.folds[0], split.test_rows)


def _dataset() -> Dataset:
    if (reason := debian.why_not()) is not None:
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory() as scratch:
        folder = store(
            Path(scratch, "set"),
            {"data.csv": debian.dependencies().to_csv(index=False)},
            user="package",
            item="dependency",
            user_features=["section", "maintainer"],
        )
        return files.load(folder, "debian")


def _cell(values: list[float]) -> str:
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"


if __name__ == "__main__":
    main()
