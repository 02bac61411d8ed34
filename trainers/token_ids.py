"""How a text becomes the numbers of its tokens: one rule for training and for exported models, which carry this file.

Owns the tokeniser. An exported model runs this very file beside its network, so it imports the standard library and numpy
alone. What is done is told by the rules, plain JSON that `trainers.text_preprocessing` fits:

- `tokens`: `word`, `char` or `byte` (of UTF-8): the pieces that a text is cut into
- `pattern`: the regular expression of a word; one ideograph, kana, or sign of a script without blanks is a word
- `ngrams`: tokens are pieces, and from 2 on also so many neighbouring ones together
- `max_length`: pieces read of a text
- `length`: numbers of a row; 0 fills it up
- `vocabulary`: tokens in the order of their numbers, from 2; 1 is a piece that is not among them, and longer tokens that
  are not among them are left out
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

PADDING, UNKNOWN, FIRST = 0, 1, 2
READ_CHARACTERS = 100_000  # of a text; what follows is not looked at
BLOCK_CHARACTERS = 1000  # normalised at once: the time grows with the square of a row of combining marks


def ids(rules: dict[str, Any], texts: Iterable[str]) -> np.ndarray:
    """The numbers of texts' tokens, int32 `(texts, length)`; a text without a piece is one unknown one."""
    numbers = {token: number for number, token in enumerate(rules["vocabulary"], start=FIRST)}
    rows = [row(rules, numbers, text) for text in texts]
    made = np.full((len(rows), rules["length"]), PADDING, np.int32)
    for filled, given in zip(made, rows, strict=True):
        kept = given[: rules["length"]]
        filled[: len(kept)] = kept
    return made


def row(rules: dict[str, Any], numbers: dict[str, int], text: str) -> list[int]:
    """The numbers of one text's tokens, as many as there are."""
    found = [numbers.get(token, UNKNOWN if size == 1 else PADDING) for size, token in tokens(rules, text)]
    return [number for number in found if number != PADDING] or [UNKNOWN]


def tokens(rules: dict[str, Any], text: str) -> Iterator[tuple[int, str]]:
    """A text's tokens from left to right, each with its number of pieces."""
    pieces, between = _pieces(rules, text)
    for start in range(len(pieces)):
        for size in range(1, min(rules["ngrams"], len(pieces) - start) + 1):
            yield size, between.join(pieces[start : start + size])


def normalised(text: str) -> str:
    """One way to write what looks alike: Unicode's NFKC, no capitals, single blanks."""
    read = text[:READ_CHARACTERS]
    blocks = (read[start : start + BLOCK_CHARACTERS] for start in range(0, len(read), BLOCK_CHARACTERS))
    return " ".join("".join(map(_folded, blocks)).split())


def _folded(block: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", block).casefold())


def _pieces(rules: dict[str, Any], text: str) -> tuple[list[str], str]:
    """The pieces that are read of a text, and what stands between them in a token."""
    written = normalised(text)
    if rules["tokens"] == "word":
        return re.findall(rules["pattern"], written)[: rules["max_length"]], " "
    if rules["tokens"] == "byte":  # as characters of the same number, since JSON has no bytes
        written = written.encode(errors="replace").decode("latin-1")
    return list(written[: rules["max_length"]]), ""
