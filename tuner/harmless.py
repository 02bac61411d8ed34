"""What other people's programs print, as it may go to a terminal: nothing in it moves, recolours, renames or answers.

Owns which characters are shown by their pictures instead. A log that goes to a file stays as it is.
"""

from __future__ import annotations

import codecs

LINES = frozenset("\t\n\r")  # progress bars write over their line
C0 = {number: chr(0x2400 + number) for number in range(0x20) if chr(number) not in LINES}
C1 = dict.fromkeys(range(0x80, 0xA0), "\ufffd")  # to many terminals, U+009B is what ESC [ is
SHOWN = C0 | C1 | {0x7F: "\u2421"}


class Harmless:
    """Takes pieces of a log, one after the other; a character may begin in one and end in the next."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def __call__(self, piece: bytes) -> bytes:
        return self._decoder.decode(piece).translate(SHOWN).encode()
