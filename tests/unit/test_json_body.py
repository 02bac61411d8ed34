"""How deep JSON may nest, and what its strings may hold: against the standard library's parser, on all kinds of bodies."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.domain.errors import InvalidError
from tuner.json_body import MAX_DEPTH, check_depth, check_text

leaves = st.none() | st.booleans() | st.integers() | st.text(alphabet='[]{}"\\a,:', max_size=8)
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(documents, st.integers(min_value=MAX_DEPTH - 5, max_value=MAX_DEPTH + 5))
def test_a_document_is_refused_when_it_nests_too_deep_and_only_then(document: Any, more: int) -> None:
    for _ in range(more):
        document = {"a": document} if more % 2 else [document]
    body = json.dumps(document).encode()

    if depth(document) > MAX_DEPTH:
        with pytest.raises(InvalidError, match="deeper"):
            check_depth(body)
    else:
        check_depth(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[{" * 50_000,
        b"[]" * 1_000 + b"[" * 70,
        b"]" * 1_000 + b"[" * 70,
    ],
    ids=["open", "closed", "objects", "mixed", "after others", "after closing ones"],
)
def test_very_deep_nesting_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidError, match="deeper"):
        check_depth(body)


@pytest.mark.parametrize("body", [b'"' + b"[" * 500 + b'"', b'"\\"' + b"[" * 500, b"[" * MAX_DEPTH, b"[1]" * 500, b""])
def test_brackets_within_strings_or_side_by_side_do_not_nest(body: bytes) -> None:
    check_depth(body)


@pytest.mark.parametrize(
    "body", [b'"' + b'\\"' * 500_000, b'"' * 1_000_000 + b"[" * 65, b"[]" * 1_000_000, b'"a",' * 500_000]
)
def test_megabytes_are_read_in_linear_time(body: bytes) -> None:
    started = time.monotonic()

    try:
        check_depth(body)
    except InvalidError:
        assert body.endswith(b"[")

    assert time.monotonic() - started < 20  # hours, if each quote began the search anew


@given(st.text(), st.text())
def test_text_is_refused_when_a_database_cannot_hold_it_and_only_then(before: str, after: str) -> None:
    for middle, holds in (("", True), ("\0", False), ("\\u0000", True), ("\ud800", False), ("\U0001f600", True)):
        body = json.dumps({before + middle: [after]}).encode()
        fits = holds and "\0" not in before + after
        if fits:
            check_text(body)
        else:
            with pytest.raises(InvalidError, match="leave it out"):
                check_text(body)


@pytest.mark.parametrize("body", [b"", b'"\\ud800', b"{", b"\\u0041"])
def test_what_is_no_json_is_left_to_the_parser(body: bytes) -> None:
    check_text(body)
