"""`recommender` beside item-kNN and the most popular: Debian's package -> dependency pairs.

What a package had before is left out of its list. Run as `python -m benchmarks.families.recommender`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from benchmarks.families import debian, problem, run
from benchmarks.families.problem import Candidate, Family, Problem, Scores, Usual
from trainers import ranking
from trainers.contract import Dataset

METRICS = ("ndcg_at_10", "recall_at_10", "recall_at_20")


def problems(seed: int, folder: Path) -> Iterator[Problem]:
    yield problem.uploaded(
        "dependencies of packages",
        seed,
        METRICS,
        folder,
        {"data.csv": _pairs()},
        user="package",
        item="dependency",
        user_features=["section", "maintainer"],
    )


@cache
def _pairs() -> str:
    if (reason := debian.why_not()) is not None:
        raise SystemExit(reason)
    pairs: str = debian.dependencies().to_csv(index=False)
    return pairs


def most_popular(_given: Problem) -> list[Candidate]:
    return [{"neighbours": 0}]


def numbers(given: Problem) -> list[Candidate]:
    default = {"neighbours": 20}
    return problem.grid(default, given.seed, neighbours=[5, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500])


def neighbours(given: Problem, candidate: Candidate, learnt: np.ndarray, held: np.ndarray) -> Scores:
    """Cosine between the columns of so many items; popularity decides between items that they leave equal."""
    n, had, wanted = candidate["neighbours"], _matrix(given.dataset, learnt), _matrix(given.dataset, held)
    scores = np.tile(np.asarray(had.sum(axis=0)).ravel() / 1e9, (had.shape[0], 1))
    if n:
        scores += (had @ _likeness(had, n).T).toarray()
    scores[had.nonzero()] = -np.inf
    users, items = wanted.nonzero()
    ranks = np.array([(scores[user] >= scores[user, item]).sum() - 1 for user, item in zip(users, items, strict=True)])
    return ranking.measure(users, ranks, np.bincount(users, minlength=had.shape[0]))


def _likeness(had: sparse.csr_matrix, n: int) -> sparse.csr_matrix:
    """Of each item the n others that are most like it, `(items, items)`."""
    distances, places = NearestNeighbors(n_neighbors=n + 1, metric="cosine").fit(had.T).kneighbors(had.T)
    rows = np.repeat(np.arange(had.shape[1]), n + 1)
    likeness = sparse.csr_matrix(((1 - distances).ravel(), (rows, places.ravel())), shape=(had.shape[1],) * 2)
    likeness.setdiag(0)
    return likeness


def _matrix(dataset: Dataset, rows: np.ndarray) -> sparse.csr_matrix:
    shape = tuple(len(dataset.columns[place].categories) for place in (0, 1))
    users, items = dataset.x[rows, :2].astype(np.int64).T
    return sparse.csr_matrix((np.ones(len(rows)), (users, items)), shape=shape)


FAMILY = Family(
    name="recommender",
    trainer="recommender",
    seconds=20,
    problems=problems,
    usual=(
        Usual(name="most popular", candidates=most_popular, answer=neighbours),
        Usual(name="item-kNN, tuned", candidates=numbers, answer=neighbours),
    ),
)

if __name__ == "__main__":
    run.main(FAMILY.name)
