"""Texts to be continued, as blocks of subwords; and what perplexity is.

Owns the arithmetic, which `trainers.exported_language` repeats. A text longer than a block goes in several, of which none sees
another. Each token counts the same, in whatever text it is: perplexity is the exponential of the mean over all tokens of
their negative log-likelihood (Jelinek et al. 1977, "Perplexity"), and those of models with other tokenizers do not compare.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from trainers import subwords
from trainers.contract import Part
from trainers.data.on_device import TOKEN_VALUES, OnDevice

EXAMPLE_LENGTH = 8  # tokens
HISTOGRAM_BINS = 20
LIKELIHOODS_MORE = (
    128  # times as many as other values there may be at once: half a gigabyte, one for each number of the vocabulary
)


@dataclass(frozen=True)
class Passages(OnDevice):
    """A split of texts: x is `(blocks, length)`; y `(blocks, 1)` is what turns a block's sum into its share of the mean token.

    Attributes:
        vocabulary: numbers that a token may have.
        tokens: of each block of validation, those that are foretold `(blocks,)`.
        texts: of each block of validation, the place of its text in the part `(blocks,)`.
    """

    vocabulary: int = field(kw_only=True)
    tokens: np.ndarray = field(kw_only=True)
    texts: np.ndarray = field(kw_only=True)

    @property
    def values_per_input(self) -> int:
        return max(TOKEN_VALUES, self.vocabulary // LIKELIHOODS_MORE)

    def example(self, rows: int) -> np.ndarray:
        """Blocks of the first tokens that there are."""
        length = min(EXAMPLE_LENGTH, self.preprocessing["text"]["max_length"])
        return np.tile(1 + np.arange(length, dtype=np.int32) % self.vocabulary, (rows, 1))

    def by_text(self, of_blocks: np.ndarray) -> np.ndarray:
        """Sums over the blocks of each text of validation, `(texts,)` float64."""
        return np.bincount(self.texts, of_blocks.astype(np.float64))


def prepare(train: Part, validation: Part, rules: dict[str, Any], vocabulary: int, device: str) -> Passages:
    """Cuts a split's texts into blocks.

    Args:
        train: texts to learn from.
        validation: texts to judge by.
        rules: of `trainers.subwords`.
        vocabulary: numbers that the model knows.
        device: as torch names it.

    Raises:
        ValueError: a part is empty.
    """
    dataset = train.dataset
    if not len(train.rows) or not len(validation.rows):
        raise ValueError(f"{dataset.name}: the training and the validation part need at least one row each")
    made = []
    for part in (train, validation):
        x, texts = subwords.blocks(rules, dataset.x[part.rows])
        tokens = foretold(x)
        shares = np.full((len(x), 1), len(x) / tokens.sum(), np.float32)
        made.append((torch.from_numpy(x).to(device), torch.from_numpy(shares).to(device), tokens, texts))
    return Passages(
        task=dataset.task,
        x_train=made[0][0],
        y_train=made[0][1],
        x_validation=made[1][0],
        y_validation=made[1][1],
        y_raw=made[1][2],
        preprocessing={
            "kind": dataset.kind,
            "task": dataset.task,
            "feature_names": list(dataset.feature_names),
            "class_names": [],
            "vocabulary": vocabulary,
            "text": rules,
        },
        dtype=np.dtype(np.int32),
        lengths=torch.from_numpy(made[0][2]),
        vocabulary=vocabulary,
        tokens=made[1][2],
        texts=made[1][3],
    )


def foretold(x: np.ndarray) -> np.ndarray:
    """Tokens of each block that come after another, `(blocks,)`."""
    counts: np.ndarray = (x[:, 1:] != subwords.PADDING).sum(axis=1)
    return counts


def measure(tokens: np.ndarray, surprise: np.ndarray) -> dict[str, float]:
    """Perplexity of texts or blocks.

    Args:
        tokens: of each, `(rows,)`.
        surprise: of each the sum of its tokens' negative log-likelihoods in nats, `(rows,)`.
    """
    with np.errstate(over="ignore"):
        return {"perplexity": float(np.exp(surprise.sum(dtype=np.float64) / tokens.sum()))}


def draw(tokens: np.ndarray, surprise: np.ndarray) -> dict[str, Any]:
    """How bits per token spread over texts, as numbers of a figure.

    Args:
        tokens: of each text, `(rows,)`.
        surprise: of each the sum of its tokens' negative log-likelihoods in nats, `(rows,)`.
    """
    counts, edges = np.histogram(surprise / np.maximum(tokens, 1) / np.log(2), bins=HISTOGRAM_BINS)
    return {"task": "language", "bits_per_token": {"edges": np.round(edges, 6).tolist(), "counts": counts.tolist()}}


def unigram(learnt: np.ndarray, judged: np.ndarray, vocabulary: int) -> np.ndarray:
    """What one would say without looking at what came before: each token by its share in what was learnt, and one more of each.

    Args:
        learnt: blocks `(blocks, length)`.
        judged: blocks `(others, length)`.
        vocabulary: numbers that a token may have.

    Returns:
        Of each judged block the sum of its foretold tokens' negative log-likelihoods in nats, `(others,)`.
    """
    later = learnt[:, 1:]
    counts = np.bincount(later[later != subwords.PADDING], minlength=vocabulary + subwords.SHIFT) + 1.0
    surprise = np.log(counts[subwords.SHIFT :].sum()) - np.log(counts)
    surprise[subwords.PADDING] = 0.0
    summed: np.ndarray = surprise[judged[:, 1:]].sum(axis=1)
    return summed
