"""What the network's output says of boxes, and how good that is. Travels in every model: needs numpy alone.

A label is JSON, `[{"class": "7", "box": [left, top, right, bottom]}]` in shares of the image's width and height, so that it holds
for an image of any size; an answer has a `score` from 0 to 1 beside each box. Boxes as arrays are `(n, 4)`.
"""

import json

import numpy as np

LEAST_SCORE = 0.1
MOST_BOXES = 100
SAME = 0.5  # of two boxes: what they share of what both cover
FEW = 10_000  # pairs

Judged = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
_judged: dict[tuple[str, str], Judged] = {}  # a bootstrap draws the same rows again and again


def answers(outputs: np.ndarray, preprocessing: dict) -> list[str]:
    """The boxes of each image, without those that a likelier one of the same class covers.

    Args:
        outputs: `(rows, cells, 5 + classes)`: how likely there is an object, its box, how likely it is of each class.
        preprocessing: with `objects`, the names of the classes.
    """
    return [json.dumps(_found(row, preprocessing["objects"])) for row in outputs]


def _found(row: np.ndarray, names: list[str]) -> list[dict]:
    boxes = np.round(row[:, 1:5], 4)
    row, boxes = (
        each[(boxes[:, :2] < boxes[:, 2:]).all(axis=1)] for each in (row, boxes)
    )  # one beyond the edge is none
    kinds, scores = row[:, 5:].argmax(axis=1), row[:, 0] * row[:, 5:].max(axis=1)
    kept: list[int] = []
    for cell in np.argsort(-scores, kind="stable"):
        if scores[cell] < LEAST_SCORE or len(kept) == MOST_BOXES:
            break
        alike = [other for other in kept if kinds[other] == kinds[cell]]
        if not (overlaps(boxes[cell][None], boxes[alike]) > SAME).any():
            kept.append(cell)
    return [
        {"class": names[kinds[cell]], "box": boxes[cell].tolist(), "score": round(float(scores[cell]), 4)}
        for cell in kept
    ]


def read(text: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Classes, boxes `(n, 4)` and scores `(n,)` of a label or an answer, the likeliest first.

    Raises:
        ValueError: it is neither.
    """
    try:
        found = sorted(json.loads(text), key=lambda each: -each.get("score", 1.0))
        boxes = np.array([each["box"] for each in found], float).reshape(len(found), 4)
        scores = np.array([each.get("score", 1.0) for each in found], float)
        names = [str(each["class"]) for each in found]
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f'{text[:80]!r} is no list of {{"class": NAME, "box": [left, top, right, bottom]}}') from error
    if not (boxes[:, :2] < boxes[:, 2:]).all() or boxes.min(initial=0) < 0 or boxes.max(initial=0) > 1:
        raise ValueError(
            f"{text[:80]!r} has a box that is empty or not within 0 and 1: give shares of width and height"
        )
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(f"{text[:80]!r} has a score that is not from 0 to 1")
    return names, boxes, scores


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """What each of `a` and each of `b` share of what both cover, `(n, m)`."""
    shared = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    both = shared.clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1) for boxes in (a, b)]
    return both / np.maximum(areas[0][:, None] + areas[1][None, :] - both, 1e-12)


def score(labels: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    """The mean over the labels' classes of the average precision at an overlap of one half.

    As Everingham et al. 2010, "The Pascal visual object classes challenge", with the area under all points of the curve. It has a
    point where the score changes, so that it does not matter in which order rows come. Where no label has an object it is 1 if
    no box was found, and else 0.
    """
    if len(_judged) > max(FEW, 4 * len(labels)):
        _judged.clear()
    judged = []
    for pair in zip(labels, answers, strict=True):
        if pair not in _judged:
            _judged[pair] = _judge(*pair)
        judged.append(_judged[pair])
    wanted, names, scores, hits = (np.concatenate(each) for each in zip(*judged, strict=True))
    if not len(wanted):
        return {"mean_average_precision": float(not len(names))}
    found = [
        _average_precision(scores[_named(names, name)], hits[_named(names, name)], count)
        for name, count in zip(*np.unique(wanted, return_counts=True), strict=True)
    ]
    return {"mean_average_precision": float(np.mean(found))}


def _judge(label: str, answer: str) -> Judged:
    """The label's classes; and of the answer classes, scores, and which boxes hit one that no likelier box has hit."""
    wanted, places, _ = read(label)
    names, boxes, scores = read(answer)
    free, hits = np.ones(len(wanted), bool), np.zeros(len(names), bool)
    kinds = np.array(wanted, dtype=object)
    for i, name in enumerate(names if wanted else []):
        fits = overlaps(boxes[i : i + 1], places)[0] * _named(kinds, name)
        best = int(fits.argmax())
        if fits[best] >= SAME and free[best]:
            hits[i], free[best] = True, False
    return kinds, np.array(names, dtype=object), scores, hits


def _named(names: np.ndarray, name: str) -> np.ndarray:
    return names == np.array([name], dtype=object)  # a text of numpy's own loses a NUL at its end


def _average_precision(scores: np.ndarray, hits: np.ndarray, wanted: int) -> float:
    order = np.argsort(-scores, kind="stable")
    points = np.flatnonzero(np.diff(scores[order], append=-1.0))  # behind the last box of each score
    hit = np.cumsum(hits[order])[points]
    best_from_here = np.maximum.accumulate((hit / (points + 1))[::-1])[::-1]
    return float((np.diff(hit, prepend=0) * best_from_here).sum() / wanted)
