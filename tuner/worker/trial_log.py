"""What a trial prints, gathered on the worker: whole, up to a bound, so that any piece of it can be sent again.

Owns the bound and the end: a child that is done with a trial prints a mark, so nothing of one trial is taken for the next.
"""

from __future__ import annotations

import codecs
import threading

MAX_BYTES = 8 * 2**20
FULL = b"\n(the log is longer than 8 MiB: the rest is not kept)\n"
END_MARK = b"\0end of trial\n"  # no text of a trainer's has a NUL that survives


class TrialLog:
    """The log of the trial that a child runs, as UTF-8 without NUL. One thread adds, another reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a character may come in two pieces
        self._bytes = bytearray()
        self._is_full = False
        self._ended = threading.Event()

    def clear(self) -> None:
        """Begins a trial's log."""
        with self._lock:
            self._decoder.reset()
            self._bytes.clear()
            self._is_full = False
            self._ended.clear()

    def add(self, printed: bytes) -> None:
        """Takes what the child printed, as it came."""
        is_end = printed.endswith(END_MARK)
        with self._lock:
            text = self._decoder.decode(printed.removesuffix(END_MARK), is_end).replace("\0", "�").encode()
            if not self._is_full:
                self._is_full = len(self._bytes) + len(text) > MAX_BYTES
                self._bytes += FULL if self._is_full else text
        if is_end:
            self._ended.set()

    @property
    def is_full(self) -> bool:
        """Whether nothing further is kept."""
        with self._lock:
            return self._is_full

    def wait_for_end(self, timeout_s: float) -> None:
        """Waits until all that the trial printed is here, or the time is over."""
        self._ended.wait(timeout_s)

    def piece(self, position: int, size: int) -> str:
        """Up to `size` bytes from a position on, in whole characters."""
        with self._lock:
            return bytes(self._bytes[position : position + size]).decode(errors="ignore")

    def whole(self) -> bytes:
        with self._lock:
            return bytes(self._bytes)

    def __len__(self) -> int:
        with self._lock:
            return len(self._bytes)
