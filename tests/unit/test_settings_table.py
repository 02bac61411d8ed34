"""The page of settings and limits says what the code does."""

from __future__ import annotations

from docs import settings_table
from tuner.settings import Settings


def test_the_page_is_the_codes() -> None:
    cure = "write it anew: PYTHONPATH=. python docs/settings_table.py"

    assert settings_table.FILE.read_text() == settings_table.page(), cure


def test_every_setting_has_a_meaning() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
