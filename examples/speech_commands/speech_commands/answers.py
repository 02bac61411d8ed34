"""What the network's output says, and how far that is from what was said. Travels in every model: needs numpy alone."""

import numpy as np

FEW = 10_000  # pairs

_edits: dict[tuple[str, str], int] = {}  # a bootstrap draws the same rows again and again


def answers(outputs: np.ndarray, preprocessing: dict) -> list[str]:
    """The likeliest sign of each frame, repeats taken together and blanks left out: CTC's greedy decoding.

    Args:
        outputs: `(rows, frames, signs)` log-probabilities; sign 0 is the blank.
        preprocessing: with `alphabet`, the signs from 1 on.
    """
    alphabet = preprocessing["alphabet"]
    texts = []
    for row in outputs.argmax(axis=2):
        begins = np.append(True, row[1:] != row[:-1])
        texts.append("".join(alphabet[sign - 1] for sign in row[begins & (row > 0)]))
    return texts


def score(labels: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    """Edits of all rows to a character of what was said, which may be over 1; and the share of rows without any."""
    if len(_edits) > max(FEW, 4 * len(labels)):
        _edits.clear()
    edits = []
    for pair in zip(labels, answers, strict=True):
        if pair not in _edits:
            _edits[pair] = distance(*pair)
        edits.append(_edits[pair])
    return {
        "character_error_rate": sum(edits) / sum(map(len, labels)),
        "exact_match": sum(edit == 0 for edit in edits) / len(edits),
    }


def distance(a: str, b: str) -> int:
    """Insertions, deletions and substitutions from one text to the other (Levenshtein 1966)."""
    row = list(range(len(b) + 1))
    for i, sign in enumerate(a, start=1):
        before, row[0] = row[0], i
        for j, other in enumerate(b, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (sign != other))
    return row[-1]
