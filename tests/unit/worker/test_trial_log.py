"""What a worker keeps of a trial's log: any bytes in, UTF-8 out, a bound, and an end that is seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tuner.worker import trial_log
from tuner.worker.trial_log import END_MARK, TrialLog


@given(st.lists(st.binary(max_size=40)), st.integers(min_value=4, max_value=50))
def test_pieces_in_turn_are_the_whole(printed: list[bytes], size: int) -> None:
    log = TrialLog()
    for each in printed:
        log.add(each)

    pieces, position = "", 0
    while position < len(log):
        piece = log.piece(position, size)
        assert piece
        pieces += piece
        position += len(piece.encode())

    assert pieces.encode() == log.whole()
    assert "\0" not in pieces


@given(st.text(), st.integers(min_value=1, max_value=5))
def test_text_is_kept_however_it_is_cut(text: str, size: int) -> None:
    printed, log = text.encode(), TrialLog()
    for start in range(0, len(printed), size):
        log.add(printed[start : start + size])

    assert log.whole().decode() == text.replace("\0", "�")


def test_a_log_beyond_its_bound_says_so_and_grows_no_more() -> None:
    log = TrialLog()
    for _ in range(trial_log.MAX_BYTES // 2**16 + 3):
        log.add(b"x" * 2**16)

    assert len(log) <= trial_log.MAX_BYTES + len(trial_log.FULL)
    assert log.whole().endswith(trial_log.FULL)
    assert log.whole().count(trial_log.FULL) == 1


def test_the_mark_ends_a_trial_and_is_not_part_of_its_log() -> None:
    log = TrialLog()
    log.add(b"half a line" + END_MARK)
    log.wait_for_end(0)

    assert log.whole() == b"half a line"
    assert log._ended.is_set()

    log.clear()
    assert log.whole() == b""
    assert not log._ended.is_set()
