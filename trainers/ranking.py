"""How good recommendations are: recall and ndcg of a list's first k, out of the ranks of what was to be found.

Both are means over users who had something to be found. Recall at k is the share of it within the first k, of at most k
(so that 1 can be reached); ndcg weighs a place by 1 / log2(place + 1): Järvelin and Kekäläinen 2002, "Cumulated gain-based
evaluation of IR techniques". What training lacks is not found by anybody. Both are at most 1, also where several items of a user
are said to stand at one place: see `_apart`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trainers.catalog import TOP

CURVE = 50  # longest list of the curve
DIGITS = 6


def measure(users: np.ndarray, ranks: np.ndarray, relevant: np.ndarray) -> dict[str, float]:
    """`recall_at_k` and `ndcg_at_k` for each k of `TOP`.

    Args:
        users: `(pairs,)` index of the user.
        ranks: `(pairs,)` place of the item, from 0.
        relevant: `(users,)` items that were to be found; 0 for a user who does not count.
    """
    names, found = by_user(users, ranks, relevant)
    return dict(zip(names, found.mean(axis=0).tolist(), strict=True))


def by_user(users: np.ndarray, ranks: np.ndarray, relevant: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The metrics' names and, of each user who counts, their values `(counted, metrics)`; arguments as of `measure`."""
    ranks, found = _apart(users, ranks), {}
    for k in TOP:
        found[f"recall_at_{k}"] = _recall(users, ranks, relevant, k)
        found[f"ndcg_at_{k}"] = _ndcg(users, ranks, relevant, k)
    return list(found), np.column_stack(list(found.values()))


def curve(users: np.ndarray, ranks: np.ndarray, relevant: np.ndarray) -> dict[str, Any]:
    """Recall by the length of the list, as plain JSON: `recall_at_k` with `k` and `recall`."""
    ranks, lengths = _apart(users, ranks), list(range(1, CURVE + 1))
    recall = [round(float(_recall(users, ranks, relevant, k).mean()), DIGITS) for k in lengths]
    return {"task": "recommendation", "recall_at_k": {"k": lengths, "recall": recall}}


def _apart(users: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """The ranks, with the n-th best item of a user at the n-th place at best.

    Ranks among all items that a user had not in training are so anyway. Where training has all that is to be found, as it has
    when a final model is fitted, each is ranked without the others, and many would be first.
    """
    order = np.lexsort((ranks, users))
    starts = np.flatnonzero(np.diff(users[order], prepend=-1))
    places = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    apart = np.array(ranks)
    apart[order] = np.maximum(ranks[order], places)
    return apart


def _recall(users: np.ndarray, ranks: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    hits = np.bincount(users[ranks < k], minlength=len(relevant))
    counted = relevant > 0
    shares: np.ndarray = hits[counted] / np.minimum(relevant[counted], k)
    return shares


def _ndcg(users: np.ndarray, ranks: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    within = ranks < k
    gains = np.bincount(users[within], 1 / np.log2(ranks[within] + 2), minlength=len(relevant))
    best = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(k) + 2))])
    counted = relevant > 0
    gained: np.ndarray = gains[counted] / best[np.minimum(relevant[counted], k)]
    return gained
