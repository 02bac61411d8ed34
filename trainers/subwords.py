"""How a text becomes the numbers of a pretrained model's subwords: one rule for training and for exported models, which carry it.

Owns this for models of Hugging Face's, whose tokenizer is one JSON. An exported model runs this very file beside its network,
so it imports numpy and `tokenizers` alone. Rules are plain JSON:

- `tokenizer`: the model's `tokenizer.json`
- `max_length`: numbers of a row, at most
- `begin` and `end`: of a text to be continued, the numbers that the model has for its two ends, as `tokenizer` counts; `begin`
  may be null
- `ends`: all numbers that end a continuation, `end` among them

In rows the numbers are one higher, as 0 is padding at the end, whatever a model pads with.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

TOKENIZER = "tokenizer"
PADDING, SHIFT = 0, 1
READ_CHARACTERS = 100_000  # of a text; what follows is not looked at
TOKENIZERS_KEPT = 4  # in memory, as reading one takes a while


def ids(rules: dict[str, Any], texts: Iterable[str]) -> np.ndarray:
    """The numbers of texts with those that the model wants around them, int32 `(texts, longest)`; what is over is left out."""
    reader = _reader(rules[TOKENIZER], rules["max_length"])
    found = reader.encode_batch_fast([_read(text) for text in texts])
    return filled([each.ids or [0] for each in found])  # of a text without subwords, any one


def blocks(rules: dict[str, Any], texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Texts with their two ends in blocks, so that each number but the very first of a text is once to be foretold.

    A block begins with the last number of the one before it.

    Returns:
        int32 `(blocks, longest)`, and `(blocks,)` the place of the text that each is of.
    """
    reader, length = _reader(rules[TOKENIZER], None), rules["max_length"]
    begin = [] if rules["begin"] is None else [rules["begin"]]
    rows: list[list[int]] = []
    of: list[int] = []
    for place, found in enumerate(reader.encode_batch_fast([_read(text) for text in texts], add_special_tokens=False)):
        whole = [*begin, *found.ids, rules["end"]]
        starts = range(0, max(1, len(whole) - 1), length - 1)
        rows += [whole[start : start + length] for start in starts]
        of += [place] * len(starts)
    return filled(rows), np.array(of, np.int64)


def opening(rules: dict[str, Any], text: str) -> list[int]:
    """A text to be continued: with its beginning and without an end."""
    # of a long text the end, as it goes on from there
    found = _reader(rules[TOKENIZER], None).encode(_read(text[-READ_CHARACTERS:]), add_special_tokens=False).ids
    return [*([] if rules["begin"] is None else [rules["begin"]]), *found] or [rules["end"]]


def written(rules: dict[str, Any], numbers: list[int]) -> str:
    """The text of numbers."""
    text: str = _reader(rules[TOKENIZER], None).decode(numbers)
    return text


def filled(rows: list[list[int]]) -> np.ndarray:
    """Rows of numbers as the network takes them: int32 `(rows, longest)`, one higher, with zeros behind."""
    made = np.full((len(rows), max(map(len, rows), default=0)), PADDING, np.int32)
    for row, given in zip(made, rows, strict=True):
        row[: len(given)] = np.array(given) + SHIFT
    return made


def _read(text: str) -> str:
    return text[:READ_CHARACTERS].encode(errors="replace").decode()  # half a character is none in UTF-8


@lru_cache(TOKENIZERS_KEPT)
def _reader(written: str, max_length: int | None) -> Any:
    # here, as the control plane and models of other kinds read this module's names without the library
    from tokenizers import Tokenizer  # noqa: PLC0415

    reader = Tokenizer.from_str(written)
    reader.no_padding()
    if max_length is None:
        reader.no_truncation()
    else:
        reader.enable_truncation(max_length)
    return reader
