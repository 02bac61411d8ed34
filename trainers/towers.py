"""The networks of the recommender: a vector for each user and item, their product as score, and what is exported of them.

Shapes: B rows, N items of a row, F features of a user or item after preprocessing, D numbers in a vector. Indices are those
of `trainers.pairs`. Matrix factorisation: Koren, Bell and Volinsky 2009, "Matrix factorization techniques for recommender
systems"; two towers: Covington, Adams and Sargin 2016, "Deep neural networks for YouTube recommendations".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainers import networks, preprocessing
from trainers.configs import RecommenderConfig
from trainers.pairs import Side

SCORES_AT_ONCE = 2**22  # of all items for some users: what a processor's cache and a GPU's memory both bear
INITIAL_STD = 0.1


class Tower(nn.Module):
    """Vectors of users, or of items: learned by index and, where wanted, made of features.

    Of an index that training did not have, and of 0, the learned part is zero.
    """

    def __init__(self, side: Side, config: RecommenderConfig, *, biased: bool) -> None:
        super().__init__()
        self.known = side.known
        self.vectors = _learned(side.known + 1, config.width, INITIAL_STD / config.width**0.5)
        self.biases = _learned(side.known + 1, 1, 0.0) if biased else None
        self.inputs = side.features.shape[1]
        self.made: nn.Sequential | None = None
        if config.architecture == "two_tower" and side.fitted is not None:
            self.register_buffer("features", side.features, persistent=False)
            sizes = preprocessing.vocabulary_sizes(side.fitted)
            numbers = self.inputs - len(sizes)
            self.made = networks.embedded_mlp(numbers, sizes, config.width, config)
        self.drop = nn.Dropout(config.dropout)

    @property
    def sees_features(self) -> bool:
        return self.made is not None

    def forward(self, indices: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Vectors `(…, D)` of indices `(…)`; where `hidden` is true, of one that is known by features alone."""
        named = torch.where(indices > self.known, 0, indices)
        if hidden is not None:
            named = torch.where(hidden, 0, named)
        return self.of(named, self.get_buffer("features")[indices] if self.sees_features else None)

    def of(self, named: Tensor, features: Tensor | None) -> Tensor:
        """Vectors `(…, D)` of known indices `(…)` with features `(…, F)`, if they are looked at."""
        vectors: Tensor = self.vectors(named)
        if self.made is not None and features is not None:
            made: Tensor = self.made(features.reshape(-1, features.shape[-1]))
            vectors = vectors + made.reshape(vectors.shape)
        dropped: Tensor = self.drop(vectors)
        return dropped

    def bias(self, indices: Tensor) -> Tensor:
        assert self.biases is not None
        biases: Tensor = self.biases(torch.where(indices > self.known, 0, indices))
        return biases[..., 0]


def _learned(rows: int, width: int, std: float) -> nn.Embedding:
    """Learned rows, of which row 0 is zero and stays it."""
    table = nn.Embedding(rows, width, padding_idx=0)
    nn.init.normal_(table.weight, std=std)
    with torch.no_grad():
        table.weight[0] = 0
    return table


class Ranker(nn.Module):
    """Scores of events: the product of vectors, and a bias of the item.

    Takes `(B, 1 + N)` indices: a user and items, the first of which is the one that the user has. Gives `(B, 1 + N)`: the
    rank of that item, from 0, among all that the user has not in training, and the items' scores. In training the rank is
    0. Of items with the same score the one looked for comes last, so that nothing is won by telling none apart. Who is new
    and known by no feature is given the popular items.
    """

    def __init__(self, users: Side, items: Side, seen: Tensor, config: RecommenderConfig) -> None:
        super().__init__()
        self.users = Tower(users, config, biased=False)
        self.items = Tower(items, config, biased=True)
        self.id_dropout = config.id_dropout if self.users.sees_features else 0.0
        self.register_buffer("seen", seen, persistent=False)
        is_bare = users.is_bare if self.users.sees_features else torch.ones_like(users.is_bare)
        self.register_buffer("is_bare", is_bare, persistent=False)
        counts = torch.bincount(seen % (items.known + 1), minlength=items.known + 1)
        self.register_buffer("popularity", counts[1:].float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        users, items = x[:, 0], x[:, 1:]
        hidden = None
        if self.training and self.id_dropout > 0:
            hidden = torch.rand(users.shape, device=x.device) < self.id_dropout
        scores = torch.einsum("bd,bnd->bn", self.users(users, hidden), self.items(items)) + self.items.bias(items)
        ranks = torch.zeros_like(scores[:, :1]) if self.training else self.ranks(users, items[:, 0])[:, None]
        return torch.cat([ranks, scores], dim=1)

    def ranks(self, users: Tensor, wanted: Tensor) -> Tensor:
        """The rank of an item `(B,)` for its user `(B,)`."""
        vectors, biases = self.catalogue()
        rows = max(1, SCORES_AT_ONCE // len(vectors))
        ranks = []
        for some, one in zip(torch.split(users, rows), torch.split(wanted, rows), strict=True):
            scores = self.scores(self.users(some), vectors, biases, self._is_stranger(some))
            score = scores.gather(1, one[:, None] - 1)
            not_below = (scores >= score).sum(1) - self._seen_not_below(some, scores, score)
            ranks.append(not_below - self._is_new(some, one).long())  # less itself, which is not among what was seen
        return torch.cat(ranks).float()

    def catalogue(self) -> tuple[Tensor, Tensor]:
        """Vectors `(items, D)` and biases `(items,)` of all items of the training part."""
        every = torch.arange(1, self.items.known + 1, device=self.get_buffer("seen").device)
        return self.items(every), self.items.bias(every)

    def scores(self, users: Tensor, vectors: Tensor, biases: Tensor, is_stranger: Tensor) -> Tensor:
        """Scores `(B, items)` of all items for users' vectors `(B, D)`; for strangers `(B,)` the items' popularity."""
        return torch.where(is_stranger[:, None], self.get_buffer("popularity"), users @ vectors.T + biases)

    def _is_stranger(self, users: Tensor) -> Tensor:
        return (users > self.users.known) & self.get_buffer("is_bare")[users]

    def _is_new(self, users: Tensor, items: Tensor) -> Tensor:
        """Whether a user `(B,)` does not have an item `(B,)` in training."""
        seen, keys = self.get_buffer("seen"), users * (self.items.known + 1) + items
        return seen[torch.searchsorted(seen, keys).clamp_max(len(seen) - 1)] != keys

    def _seen_not_below(self, users: Tensor, scores: Tensor, score: Tensor) -> Tensor:
        """Of each user, how many of the items of training score at least `(B, 1)`."""
        seen, width = self.get_buffer("seen"), self.items.known + 1
        starts, ends = (torch.searchsorted(seen, (users + step) * width) for step in (0, 1))
        counts = ends - starts
        rows = torch.repeat_interleave(torch.arange(len(users), device=users.device), counts)
        before = torch.cumsum(counts, 0) - counts
        places = torch.arange(len(rows), device=users.device) - before[rows] + starts[rows]
        had = scores[rows, seen[places] % width - 1] >= score[rows, 0]
        return torch.zeros_like(users).index_add_(0, rows, had.long())


class Rater(nn.Module):
    """Ratings: biases of user and item, and the product of their vectors; `(B, 2)` indices to `(B, 1)` standardised."""

    def __init__(self, users: Side, items: Side, config: RecommenderConfig) -> None:
        super().__init__()
        self.users = Tower(users, config, biased=True)
        self.items = Tower(items, config, biased=True)
        self.id_dropout = config.id_dropout

    def forward(self, x: Tensor) -> Tensor:
        vectors, biases = [], []
        for tower, indices in ((self.users, x[:, 0]), (self.items, x[:, 1])):
            hidden = None
            if self.training and self.id_dropout > 0 and tower.sees_features:
                hidden = torch.rand(indices.shape, device=x.device) < self.id_dropout
            vectors.append(tower(indices, hidden))
            biases.append(tower.bias(indices if hidden is None else torch.where(hidden, 0, indices)))
        return rating(*vectors, *biases)


def rating(user: Tensor, item: Tensor, user_bias: Tensor, item_bias: Tensor) -> Tensor:
    """Of vectors `(B, D)` and biases `(B,)`, `(B, 1)`."""
    return ((user * item).sum(1) + user_bias + item_bias)[:, None]


# ---- exported --------------------------------------------------------------------------------------------------------


class _Known(nn.Module):
    """A tower that is told the features of who is new: takes `(B, 1 + F)`, index and features.

    Of a known index they are those of training. Index 0 is somebody new, -1 is one of whom nothing is known.
    """

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        named = x[:, 0].long().clamp_min(0)
        if not self.tower.sees_features:
            return self.tower.of(named, None), named
        known = self.tower.get_buffer("features")[named]
        return self.tower.of(named, torch.where(named[:, None] > 0, known, x[:, 1:])), named


class Recommending(nn.Module):
    """What is exported of a `Ranker`: users `(B, 1 + F)` to the scores of all items `(B, items)`."""

    def __init__(self, ranker: Ranker) -> None:
        super().__init__()
        self.users = _Known(ranker.users)
        with torch.no_grad():
            vectors, biases = ranker.catalogue()
        for name, value in (("vectors", vectors), ("biases", biases), ("popularity", ranker.get_buffer("popularity"))):
            self.register_buffer(name, value)

    def forward(self, x: Tensor) -> Tensor:
        vectors, _ = self.users(x)
        scores = vectors @ self.get_buffer("vectors").T + self.get_buffer("biases")
        is_stranger = x[:, :1] < (0 if self.users.tower.sees_features else 1)
        return torch.where(is_stranger, self.get_buffer("popularity"), scores)


class Rating(nn.Module):
    """What is exported of a `Rater`: users and items `(B, 1 + F + 1 + F)` to ratings `(B,)` in their own unit."""

    def __init__(self, rater: Rater, head: nn.Module) -> None:
        super().__init__()
        self.users, self.items, self.head = _Known(rater.users), _Known(rater.items), head
        self.user_inputs = 1 + rater.users.inputs

    def forward(self, x: Tensor) -> Tensor:
        user, user_index = self.users(x[:, : self.user_inputs])
        item, item_index = self.items(x[:, self.user_inputs :])
        biases = self.users.tower.bias(user_index), self.items.tower.bias(item_index)
        in_own_unit: Tensor = self.head(rating(user, item, *biases))
        return in_own_unit
