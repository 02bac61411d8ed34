"""`recommender`: matrix factorisation or two towers, for events by ranking and for ratings by regression.

The loop is the one that all families share. What is particular goes in as its augmentation, which draws items that a row's
user has not, on the device; and as the network in eval mode, which ranks an item among all others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers import loop, ranking, tasks
from trainers.augmentation import Augment, Draws
from trainers.configs import RecommenderConfig
from trainers.contract import NO_CHECKPOINT, Checkpoint, Objective, Part, Report, TrainResult
from trainers.data import on_device
from trainers.pairs import Pairs
from trainers.tasks import Problem
from trainers.towers import Ranker, Rater, Rating, Recommending


def train(
    train_part: Part,
    validation_part: Part,
    config: RecommenderConfig,
    report: Report,
    *,
    device: str,
    seed: int,
    objective: Objective,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> TrainResult:
    """Trains on interactions, as `trainers.contract.Train` says.

    Only the users and items of the training part have vectors of their own; events are judged among those that it has not.
    """
    torch.manual_seed(seed)
    data = cast("Pairs", on_device.prepare(train_part, validation_part, device))
    network: nn.Module
    if data.task == "recommendation":
        network = Ranker(data.users, data.items, data.seen, config).to(device)
        problem, augment = _events(data, config), _negatives(data, config.negatives, seed)
    else:
        network = Rater(data.users, data.items, config).to(device)
        problem, augment = _ratings(data, config), None
    return loop.fit(
        network,
        problem,
        data,
        config,
        report,
        augment=augment,
        seed=seed,
        objective=objective,
        checkpoint=checkpoint,
    )


def _ratings(data: Pairs, config: RecommenderConfig) -> Problem:
    problem = tasks.pose(data, config, mixed=False)
    return replace(problem, exported=lambda rater: Rating(cast("Rater", rater), problem.head))


def _events(data: Pairs, config: RecommenderConfig) -> Problem:
    users = data.x_validation[:, 0].cpu().numpy()
    return Problem(
        train_targets=data.y_train,
        validation_targets=data.y_validation,
        loss=softmax if config.loss == "softmax" else bpr,
        head=_Ranks(),
        measure=lambda ranks: ranking.measure(users, ranks, data.relevant),
        draw=lambda ranks: ranking.curve(users, ranks, data.relevant),
        exported=lambda ranker: Recommending(cast("Ranker", ranker)),
    )


def bpr(outputs: Tensor, _targets: Tensor) -> Tensor:
    """Bayesian personalised ranking (Rendle et al. 2009): -log sigmoid of how far an item is above each negative.

    Args:
        outputs: of a `Ranker`, `(rows, 2 + negatives)`: a rank, the score of the user's item, those of the negatives.
    """
    return functional.softplus(outputs[:, 2:] - outputs[:, 1:2]).mean()


def softmax(outputs: Tensor, _targets: Tensor) -> Tensor:
    """Cross-entropy of the user's item among its negatives (sampled softmax); arguments as of `bpr`."""
    return (outputs[:, 1:].logsumexp(1) - outputs[:, 1]).mean()


class _Ranks(nn.Module):
    """Of a `Ranker`'s outputs the ranks `(rows,)`."""

    def forward(self, outputs: Tensor) -> Tensor:
        return outputs[:, 0]


def _negatives(data: Pairs, count: int, seed: int) -> Augment:
    """Adds to each row items that its user has not; what is drawn in vain is drawn once more and then stands."""
    draws = Draws.seeded(data.x_train.device, seed)
    known, seen = data.items.known, data.seen

    def change(x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        drawn, again = torch.randint(
            1, known + 1, (2, len(x), count), device=x.device, generator=draws.generator
        ).unbind()
        keys = x[:, :1] * (known + 1) + drawn
        had = seen[torch.searchsorted(seen, keys).clamp_max(len(seen) - 1)] == keys
        return torch.cat([x, torch.where(had, again, drawn)], dim=1), targets

    return Augment(change, draws)
