"""What no traceback and no log may show: keys, passwords, addresses of databases.

Owns the patterns. What is hidden is replaced by `…`; the rest of a text stays as it is.
"""

from __future__ import annotations

import re

HIDDEN = "…"

_PATTERNS = (
    (re.compile(r"\b(postgres(?:ql)?(?:\+\w+)?://)[^\s'\"<>)]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(://[^\s/:@'\"]*):[^\s/'\"]+@"), rf"\1:{HIDDEN}@"),
    (re.compile(r"\b(tuner-(?:admin|worker)-)[\w-]{16,}"), rf"\1{HIDDEN}"),
    (re.compile(r"\b([Bb]earer )[\w.~+/=-]{8,}"), rf"\1{HIDDEN}"),
    (re.compile(r"\b(password=)(?!['\"])[^\s,;)&]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (
        re.compile(
            r"\b(\w*(?:password|passwd|secret|token|api_?key)['\"]?\s*[=:]\s*)(['\"])[^'\"\n]+\2", re.IGNORECASE
        ),
        rf"\1\2{HIDDEN}\2",
    ),
)


def redacted(text: str, *secrets: str) -> str:
    """The text without what looks like a secret, and without these."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN)
    for pattern, shown in _PATTERNS:
        text = pattern.sub(shown, text)
    return text
