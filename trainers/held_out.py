"""What a final model and the trivial answer come to on the test part, of data whose rows are not predicted one by one.

Owns this for interactions (events: ranks among all items, against the most popular; ratings: against the mean), for series
(windows, against the last value staying) and for texts to be foretold (against each token's share). Nothing of the search
imports this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from trainers import loop, metrics, pairs, passages, ranking, windows
from trainers.contract import Part, TrainResult
from trainers.pairs import Pairs, Side

USERS_AT_ONCE = 256

Tick = Callable[[Mapping[str, float]], None]
"""Is told now and then how far scoring is; may raise to end it."""


@dataclass(frozen=True)
class HeldOut:
    """What a metric is made of: users, ratings or windows, each a row.

    Attributes:
        y: `(rows, …)` the truth.
        predictions: `(rows, …)` of the model.
        trivial: `(rows, …)` of the trivial answer.
        units: `(rows,)` of integers: what may be drawn with replacement, rows of one number together.
        measure: of any of the rows, y and predictions to metrics by name.
    """

    y: np.ndarray
    predictions: np.ndarray
    trivial: np.ndarray
    units: np.ndarray
    measure: Callable[[np.ndarray, np.ndarray], dict[str, float]]


def look(result: TrainResult, learnt: Part, test: Part, tick: Tick = lambda _far: None) -> HeldOut:
    """Predicts a test part once.

    Args:
        result: of training on `learnt`.
        learnt: the rows that the model was fitted to.
        test: of the same data set, of the kind `interactions` or `series`, or of the task `language`.
        tick: is told `test/rows` predicted, some at a time.
    """
    if test.dataset.task == "language":
        return _texts(result, learnt, test, tick)
    if test.dataset.kind == "series":
        return _series(result, learnt, test, tick)
    data = pairs.prepare(learnt, test, "cpu")
    if data.task == "regression":
        return _ratings(result, learnt, test, data, tick)
    return _events(result, data, tick)


@torch.inference_mode()
def _series(result: TrainResult, learnt: Part, test: Part, tick: Tick) -> HeldOut:
    facts = result.preprocessing
    data = windows.prepare(learnt, test, facts["window"], facts["horizon"], "cpu")
    return HeldOut(
        y=data.y_raw,
        predictions=data.raw(_predicted(result, cast("Tensor", data.x_validation), tick).numpy()),
        trivial=np.repeat(data.last[:, None], facts["horizon"], axis=1),
        units=blocks(data.series, facts["horizon"]),
        measure=lambda y, predictions: metrics.regression(y.ravel(), predictions.ravel()),
    )


@torch.inference_mode()
def _texts(result: TrainResult, learnt: Part, test: Part, tick: Tick) -> HeldOut:
    """Texts are the rows: the sums over their tokens."""
    facts, vocabulary = result.preprocessing["text"], result.preprocessing["vocabulary"]
    data = passages.prepare(learnt, test, facts, vocabulary, "cpu")
    learnt_x, x = cast("Tensor", data.x_train), cast("Tensor", data.x_validation)  # texts do not stream
    surprise = _predicted(result, x, tick, data.values_per_input)[:, 0]
    groups = test.dataset.groups
    return HeldOut(
        y=data.by_text(data.tokens),
        predictions=data.by_text(surprise.numpy()),
        trivial=data.by_text(passages.unigram(learnt_x.numpy(), x.numpy(), vocabulary)),
        units=np.arange(len(test.rows)) if groups is None else groups[test.rows],
        measure=passages.measure,
    )


@torch.inference_mode()
def _ratings(result: TrainResult, learnt: Part, test: Part, data: Pairs, tick: Tick) -> HeldOut:
    users, items = data.x_validation.T
    x = torch.cat([_told(data.users, users, 0), _told(data.items, items, 0)], dim=1)
    mean = float(learnt.dataset.y[learnt.rows].mean())
    return HeldOut(
        y=data.y_raw,
        predictions=_predicted(result, x, tick).numpy().astype(np.float64),
        trivial=np.full(len(test.rows), mean),
        units=users.numpy(),
        measure=metrics.regression,
    )


@torch.inference_mode()
def _events(result: TrainResult, data: Pairs, tick: Tick) -> HeldOut:
    """Of each user with something to be found the metrics of the own list; their means are those of `trainers.ranking`."""
    users, items = data.x_validation[:, 0], data.x_validation[:, 1]
    popularity = torch.bincount(data.seen % (data.items.known + 1), minlength=data.items.known + 1)[1:].float()
    ranks: list[tuple[Tensor, Tensor]] = []
    for some, wanted in zip(torch.split(users, USERS_AT_ONCE), torch.split(items, USERS_AT_ONCE), strict=True):
        scores = result.network(_told(data.users, some, -1))
        ranks.append((_ranks(scores, some, wanted, data), _ranks(popularity.expand_as(scores), some, wanted, data)))
        tick({"test/rows": float(min(len(ranks) * USERS_AT_ONCE, len(users)))})
    ours, popular = (torch.cat(each).numpy() for each in zip(*ranks, strict=True))
    names, found = ranking.by_user(users.numpy(), ours, data.relevant)
    return HeldOut(
        y=np.flatnonzero(data.relevant),
        predictions=found,
        trivial=ranking.by_user(users.numpy(), popular, data.relevant)[1],
        units=np.arange(len(found)),
        measure=lambda _users, of_users: dict(zip(names, of_users.mean(axis=0).tolist(), strict=True)),
    )


def blocks(series: np.ndarray, length: int) -> np.ndarray:
    """Numbers `(windows,)` of blocks of at least so many windows in a row, or of all that a series has.

    Windows that follow each other forecast mostly the same values, so that their errors are not independent.

    Args:
        series: `(windows,)` of integers, ascending.
        length: windows of a block; what is left over at a series' end belongs to its last block.
    """
    _, starts, sizes = np.unique(series, return_index=True, return_counts=True)
    of_series = np.maximum(sizes // length, 1)  # blocks
    within = (np.arange(len(series)) - np.repeat(starts, sizes)) // length
    numbers: np.ndarray = np.repeat(np.cumsum(of_series) - of_series, sizes) + np.minimum(
        within, np.repeat(of_series - 1, sizes)
    )
    return numbers


def _predicted(result: TrainResult, x: Tensor, tick: Tick, values_per_input: int = 1) -> Tensor:
    """The network's outputs for all rows, some at a time."""
    outputs: list[Tensor] = []
    for rows in torch.split(x, loop.rows_at_once(x.shape[1:], values_per_input)):
        outputs.append(result.network(rows))
        tick({"test/rows": float(sum(map(len, outputs)))})
    return torch.cat(outputs)


def _told(side: Side, indices: Tensor, stranger: int) -> Tensor:
    """The exported network's input for some users or items: index and features, and `stranger` of whom nothing is known."""
    named = torch.where(indices <= side.known, indices, torch.where(side.is_bare[indices], stranger, 0))
    return torch.cat([named[:, None].float(), side.features[indices]], dim=1)


def _ranks(scores: Tensor, users: Tensor, wanted: Tensor, data: Pairs) -> Tensor:
    """Places from 0 among all items that a user had not yet; of equal scores the item looked for comes last."""
    scores = scores.clone()
    score = scores.gather(1, wanted[:, None] - 1)
    for row, user in enumerate(users.tolist()):
        if user <= data.users.known:
            scores[row, data.preprocessing["seen"][user - 1]] = -torch.inf
    itself = scores.gather(1, wanted[:, None] - 1) >= score  # unless the user had it in training
    return (scores >= score).sum(1) - itself.sum(1)
