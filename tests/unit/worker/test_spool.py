"""What waits on the disk comes back as it went in, once, in order."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.worker import spool
from tuner.worker.spool import Spool

LINES = st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line), max_size=5)


@given(st.lists(st.tuples(LINES, st.integers(min_value=1, max_value=4), st.booleans())))
def test_lines_leave_in_the_order_in_which_they_came(rounds: list[tuple[list[bytes], int, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        queue = Spool(Path(folder) / "lines")
        came: list[bytes] = []
        left: list[bytes] = []
        for lines, limit, is_acknowledged in rounds:
            for line in lines:
                queue.add(line)
            came += lines
            first = queue.first(limit)
            assert first == came[len(left) : len(left) + limit]
            if is_acknowledged:
                queue.drop(first)
                left += first
        while not queue.is_empty:
            left += (first := queue.first(1))
            queue.drop(first)
        queue.close()

    assert left == came


def test_the_file_is_empty_once_nothing_waits(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    queue = Spool(file)
    assert not file.exists()
    for number in range(100):
        queue.add(b"%d" % number)
    assert file.stat().st_size > 0

    queue.drop(queue.first(100))

    assert queue.is_empty
    assert file.stat().st_size == 0
    queue.add(b"and on")
    assert queue.first(5) == [b"and on"]
    queue.close()


def test_memory_holds_a_piece_of_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "PIECE_BYTES", 100)
    queue = Spool(tmp_path / "lines")
    for number in range(50):
        queue.add(b"%09d" % number)

    assert [len(queue.first(1000)), queue.first(1000)[-1]] == [10, b"000000009"]
    queue.close()
