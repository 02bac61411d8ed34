"""Secrets in any of the forms in which a traceback may hold them; what is none stays."""

from __future__ import annotations

import pytest

from tuner.domain.redact import redacted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at postgresql+psycopg2://me:pw@db:5432/x?a=b failed", "at postgresql+psycopg2://… failed"),
        ("http://me:p@ss@host/path", "http://me:…@host/path"),
        ("key tuner-admin-abcdefghijklmnopqrstuv_-1 was refused", "key tuner-admin-… was refused"),
        ("Authorization: Bearer abc.def-ghi=", "Authorization: Bearer …"),
        ("host=db password=hunter2 user=me", "host=db password=… user=me"),
        ("Settings(api_key='hunter2', n=3)", "Settings(api_key='…', n=3)"),
        ('{"token": "hunter2"}', '{"token": "…"}'),
    ],
)
def test_secrets_are_hidden(text: str, expected: str) -> None:
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "ValueError: x at https://example.org/a:b",
        'File "/a/b.py", line 3, in f',
        "token = tokens[i]",
        "step 3: loss nan",
    ],
)
def test_the_rest_stays(text: str) -> None:
    assert redacted(text) == text


def test_what_is_said_to_be_secret_is_hidden_too() -> None:
    assert redacted("my key is k-123", "k-123") == "my key is …"
