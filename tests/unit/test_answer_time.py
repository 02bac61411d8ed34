"""The time that a report waits for its answer follows the network, within bounds."""

from __future__ import annotations

import pytest

from tuner.answer_time import LEAST_S, MOST_S, AnswerTime


def test_it_is_a_third_of_the_lease_on_a_network_that_answers() -> None:
    time = AnswerTime()
    time.answered(0.01)
    assert time.allowed_s(30.0) == pytest.approx(10.0)
    assert time.allowed_s(1.0) == LEAST_S


def test_it_doubles_until_an_answer_comes_and_then_leaves_twice_as_long_as_that_took() -> None:
    time = AnswerTime()
    allowed = []
    for _ in range(6):
        allowed.append(time.allowed_s(6.0))
        time.given_up(allowed[-1])
    assert allowed == [2.0, 2.0, 4.0, 8.0, 16.0, MOST_S]

    time.answered(5.0)
    assert time.allowed_s(6.0) == 10.0
    time.answered(0.1)
    assert time.allowed_s(6.0) == 2.0


def test_a_connection_that_is_refused_tells_nothing_of_it() -> None:
    time = AnswerTime()
    time.answered(4.0)
    time.given_up(0.001)
    assert time.allowed_s(6.0) == 8.0
