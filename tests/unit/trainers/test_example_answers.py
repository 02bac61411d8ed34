"""The files that the examples' models carry: what they make of a network's output, what they score, and that they stand alone."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest

from trainers import answers
from trainers.answers import Answers

EXAMPLES = Path(__file__).parents[3] / "examples"
SPEECH = EXAMPLES / "speech_commands/speech_commands/answers.py"
BOXES = EXAMPLES / "object_detector/object_detector/answers.py"


@pytest.fixture(scope="module")
def speech() -> Answers:
    return answers.load(SPEECH)


@pytest.fixture(scope="module")
def detector() -> Answers:
    return answers.load(BOXES)


@pytest.mark.parametrize("file", [SPEECH, BOXES], ids=["speech", "boxes"])
def test_they_need_numpy_and_the_standard_library_alone(file: Path) -> None:
    tree = ast.parse(file.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert {name.partition(".")[0] for name in names} <= {"numpy", *sys.stdlib_module_names}


# ---- speech ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signs", "text"), [([0, 1, 1, 0, 1, 2, 2], "aab"), ([1, 2, 1], "aba"), ([0, 0], ""), ([2, 0, 0, 2], "bb")]
)
def test_repeats_are_one_sign_unless_a_blank_is_between(speech: Answers, signs: list[int], text: str) -> None:
    assert speech.answers(np.log(np.eye(3)[[signs]] + 1e-9), {"alphabet": ["a", "b"]}) == [text]


def test_edits_are_counted_over_all_rows_together(speech: Answers) -> None:
    said = np.array(["forty two", "one", "six"], dtype=object)
    heard = np.array(["fourty two", "one", ""], dtype=object)

    assert speech.score(said, heard) == {"character_error_rate": (1 + 0 + 3) / 15, "exact_match": 1 / 3}


# ---- boxes -----------------------------------------------------------------------------------------------------------


def written(*boxes: tuple[str, list[float], float] | tuple[str, list[float]]) -> str:
    return json.dumps([dict(zip(("class", "box", "score"), each, strict=False)) for each in boxes])


def cell(score: float, box: list[float], *classes: float) -> list[float]:
    return [score, *box, *classes]


def test_a_box_that_a_likelier_one_covers_or_that_is_beyond_the_edge_is_left_out(detector: Answers) -> None:
    box, near, far = [0.1, 0.1, 0.3, 0.3], [0.11, 0.1, 0.31, 0.3], [0.6, 0.6, 0.9, 0.9]
    beyond = [1.0, 0.5, 1.0, 0.7]
    cells = [
        cell(0.8, near, 1, 0),
        cell(0.9, box, 1, 0),
        cell(0.7, near, 0, 1),
        cell(0.01, far, 1, 0),
        cell(1, beyond, 1, 0),
    ]
    output = np.array([cells])

    assert detector.answers(output, {"objects": ["cat", "dog"]}) == [written(("cat", box, 0.9), ("dog", near, 0.7))]


LEFT, RIGHT = [0.0, 0.0, 0.4, 0.4], [0.5, 0.5, 1.0, 1.0]


@pytest.mark.parametrize(
    ("label", "answer", "value"),
    [
        ([("cat", LEFT)], [("cat", LEFT, 0.3)], 1.0),
        ([("cat", LEFT)], [], 0.0),
        ([("cat", LEFT)], [("dog", LEFT, 0.9)], 0.0),
        ([("cat", LEFT)], [("cat", RIGHT, 0.9), ("cat", LEFT, 0.3)], 0.5),  # the likelier one is wrong
        ([("cat", LEFT)], [("cat", LEFT, 0.9), ("cat", LEFT, 0.8)], 1.0),  # found twice counts once, behind it
        ([("cat", LEFT), ("cat", RIGHT)], [("cat", LEFT, 0.9)], 0.5),
        ([("cat", LEFT), ("dog", RIGHT)], [("cat", LEFT, 0.9)], 0.5),  # of two classes one
        ([], [("cat", LEFT, 0.9)], 0.0),
        ([], [], 1.0),
        ([("cat", LEFT)], [("cat", RIGHT, 0.9), ("cat", LEFT, 0.9)], 0.5),  # of equal scores none comes first
        ([("cat", LEFT)], [("cat", LEFT, 0.9), ("cat", RIGHT, 0.9)], 0.5),
        ([("cat", LEFT), ("cat\0", LEFT), ("cat\0", RIGHT)], [("cat", LEFT, 0.9)], 0.5),
    ],
)
def test_average_precision_by_hand(detector: Answers, label: Any, answer: Any, value: float) -> None:
    scored = detector.score(np.array([written(*label)]), np.array([written(*answer)]))

    assert scored == {"mean_average_precision": pytest.approx(value)}


def test_a_label_scores_as_a_perfect_answer_and_nonsense_is_told(detector: Answers) -> None:
    labels = np.array([written(("cat", LEFT), ("dog", RIGHT)), "[]"], dtype=object)
    assert detector.score(labels, labels) == {"mean_average_precision": 1.0}

    for nonsense, why in (
        ("seven", "is no list of"),
        ('[{"box": [0, 0, 1, 1]}]', "is no list of"),
        (written(("cat", [10, 10, 30, 30])), "give shares of width and height"),
        (written(("cat", [0.3, 0.1, 0.2, 0.4])), "a box that is empty"),
        ("[" * 100_000, "is no list of"),
        (written(("cat", [0, 0, 1, 10**400])), "is no list of"),
        (written(("cat", LEFT, float("nan"))), "a score that is not from 0 to 1"),
    ):
        with pytest.raises(ValueError, match=why):
            detector.score(np.array([nonsense]), labels[:1])


def test_rows_in_any_order_score_the_same_where_scores_are_equal(detector: Answers) -> None:
    labels = np.array([written(("cat", LEFT))] * 6, dtype=object)
    said = np.array([written(("cat", box, 0.5)) for box in (LEFT, RIGHT, RIGHT, LEFT, RIGHT, LEFT)], dtype=object)
    orders = [np.random.default_rng(seed).permutation(6) for seed in range(20)]

    assert {detector.score(labels[order], said[order])["mean_average_precision"] for order in orders} == {0.25}


@pytest.mark.parametrize("file", [SPEECH, BOXES], ids=["speech", "boxes"])
def test_each_of_many_rows_is_judged_once_for_all_draws(file: Path) -> None:
    """Also where there are more than are kept in any case."""
    own = answers.load(file)
    rows = range(12_000)
    texts = [written(("cat", [0.0, 0.0, 0.5, 0.5 + i / 1e5])) if file == BOXES else str(i) for i in rows]
    labels, said = np.array(texts, dtype=object), np.roll(np.array(texts, dtype=object), 1)
    spent_s = []
    for _draw in range(2):
        began = process_time()
        own.score(labels, said)
        spent_s.append(process_time() - began)
    assert spent_s[1] < spent_s[0] / 3
