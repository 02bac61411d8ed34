"""What a body of JSON must be before a parser sees it: not nested deeply, and with text that a database can hold.

Owns both checks. They read megabytes in a few passes and recurse into nothing.
"""

from __future__ import annotations

import json
import re

from tuner.domain.errors import FieldError, InvalidError

MAX_DEPTH = 64  # far more than any body of ours, and far less than a recursive parser can take

STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
SQUARE = bytes.maketrans(b"{}", b"[]")
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def check_depth(body: bytes) -> None:
    """Refuses what is nested deeper than MAX_DEPTH levels.

    Takes the innermost brackets away, level by level.

    Raises:
        InvalidError: it is nested deeper, or is not UTF-8.
    """
    if b"\0" in body:  # UTF-16 and UTF-32 have it in every bracket
        raise _invalid("not UTF-8 text: send JSON as UTF-8")
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    brackets = STRING.sub(b"", body).translate(SQUARE, NO_BRACKETS)
    for _level in range(MAX_DEPTH):
        outer = brackets.replace(b"[]", b"")
        if len(outer) == len(brackets):
            break
        brackets = outer
    if b"[]" in brackets or brackets.count(b"[") > MAX_DEPTH:  # the latter never close, but a parser goes down first
        raise _invalid(f"nested deeper than {MAX_DEPTH} levels: flatten it")


def check_text(body: bytes) -> None:
    """Refuses strings that PostgreSQL cannot hold; `check_depth` has passed. What is no JSON at all is the parser's matter.

    Raises:
        InvalidError: a NUL, or half of a surrogate pair.
    """
    if NUL.search(body):
        raise _invalid("a string has a NUL in it: leave it out")
    if SURROGATE.search(body):
        try:
            json.dumps(json.loads(body), ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise _invalid("a string has half of a surrogate pair in it: leave it out") from None
        except ValueError:
            return


def _invalid(detail: str) -> InvalidError:
    return InvalidError([FieldError("", detail)])
