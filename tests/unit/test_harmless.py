"""What a log may do to a terminal: show characters."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tuner.harmless import Harmless


@given(st.lists(st.binary()))
def test_nothing_but_lines_controls_the_terminal(pieces: list[bytes]) -> None:
    harmless = Harmless()

    shown = b"".join(harmless(piece) for piece in pieces).decode()

    assert not re.search(r"[^\t\n\r\x20-\x7e\u00a0-\U0010ffff]", shown)


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"])), st.integers(min_value=0))
def test_text_is_shown_as_it_is_wherever_its_bytes_are_cut(text: str, at: int) -> None:
    harmless, written = Harmless(), f"{text}\n\t50%\r100%\n".encode()
    cut = at % (len(written) + 1)

    assert harmless(written[:cut]) + harmless(written[cut:]) == written


def test_a_window_is_not_renamed_and_what_would_have_is_seen() -> None:
    assert Harmless()(b"\x1b]0;owned\x07 \x1b[2J \xc2\x9b31m").decode() == "\u241b]0;owned\u2407 \u241b[2J \ufffd31m"
