"""What is fitted of texts: the vocabulary of the training part, and the rules by which tokens are cut.

Owns the JSON of a text model's preprocessing; `trainers.token_ids` follows it. The vocabulary is made of the texts that were
trained on, and lies in the model as they wrote it.
"""

from __future__ import annotations

import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np

from trainers import token_ids
from trainers.configs import TextClassifierConfig

EXAMPLE = ("the quick brown fox", "敏捷的棕色狐狸", "lorem ipsum dolor sit amet")  # of nobody's data

LONGEST_WORD = 100  # signs; a longer run is cut into several

# scripts without blanks between words: a sign is a word, and n-grams make words of them
ALONE = (
    ("\u0e00", "\u0eff"),  # Thai, Lao
    ("\u1000", "\u109f"),  # Burmese
    ("\u1780", "\u17ff"),  # Khmer
    ("\u2e80", "\u2fdf"),  # radicals
    ("\u3005", "\u3007"),
    ("\u3040", "\u30ff"),  # kana
    ("\u3400", "\u4dbf"),  # ideographs
    ("\u4e00", "\u9fff"),
    ("\uf900", "\ufaff"),
    ("\U00020000", "\U0003ffff"),
)


@dataclass(frozen=True)
class Options:
    """What a config says of tokens: trials that say the same share what is fitted."""

    tokens: str
    ngrams: int
    max_length: int
    min_count: int
    vocabulary_size: int

    def fit(self, texts: np.ndarray) -> dict[str, Any]:
        """The rules of `trainers.token_ids` for the texts `(rows,)` of a training part."""
        return fit(texts, self)


@dataclass(frozen=True)
class Subwords:
    """What there is to say of a pretrained model's tokens, of which nothing is fitted to texts."""

    tokenizer: str
    max_length: int

    def fit(self, _texts: np.ndarray) -> dict[str, Any]:
        """The rules of `trainers.subwords`."""
        return {"tokenizer": self.tokenizer, "max_length": self.max_length}


def options(config: TextClassifierConfig) -> Options:
    """Those of a config."""
    return Options(config.tokens, config.ngrams, config.max_length, config.min_count, config.vocabulary_size)


def fit(texts: np.ndarray, chosen: Options) -> dict[str, Any]:
    """The rules of `trainers.token_ids` for a training part.

    Args:
        texts: `(rows,)` of str, of the training part alone.
        chosen: by the config.

    Returns:
        The rules; their `vocabulary` are the tokens of at least `min_count` texts, the most frequent first, and their
        `length` is that of the longest row.
    """
    rules: dict[str, Any] = {
        "tokens": chosen.tokens,
        "pattern": _pattern(),
        "ngrams": chosen.ngrams,
        "max_length": chosen.max_length,
    }
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update({token for _, token in token_ids.tokens(rules, text)})
    frequent = [(-count, token) for token, count in counts.items() if count >= chosen.min_count]
    rules["vocabulary"] = [token for _, token in sorted(frequent)[: chosen.vocabulary_size]]
    numbers = {token: number for number, token in enumerate(rules["vocabulary"], start=token_ids.FIRST)}
    rules["length"] = max(len(token_ids.row(rules, numbers, text)) for text in texts)
    return rules


def synthetic(rows: int) -> np.ndarray:
    """Texts that were there before any data: `(rows,)` of str."""
    return np.array([EXAMPLE[i % len(EXAMPLE)] for i in range(rows)], dtype=object)


@cache
def _pattern() -> str:
    r"""A word: a sign of `ALONE`, a run of letters, digits and marks, or any other single sign.

    Marks are the vowel signs of Indian scripts, accents without a composed letter and the like, which `\w` leaves out.
    """
    alone = "".join(f"{low}-{high}" for low, high in ALONE)
    codes = [code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith("M")]
    marks = ""
    for _, run in groupby(enumerate(codes), key=lambda each: each[1] - each[0]):
        several = [code for _, code in run]
        marks += f"{chr(several[0])}-{chr(several[-1])}"
    return f"[{alone}]|(?:(?![{alone}])[\\w{marks}]){{1,{LONGEST_WORD}}}|[^\\w\\s]"
