"""What an installed entry point must be to become a trainer, each tried as a package on the path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from trainers import catalog, plugins

MODULE = """
from dataclasses import dataclass, replace
from trainers.catalog import TRAINERS
from trainers.configs import TrainingConfig

@dataclass(frozen=True, kw_only=True)
class Undescribed(TrainingConfig):
    odd: int

good = replace(TRAINERS["tabular-mlp"], name="good")
undescribed = replace(good, name="undescribed", config=Undescribed)
text = "a trainer"
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugin_for_test.py").write_text(MODULE)
    (tmp_path / "exits.py").write_text("raise SystemExit('no licence')")
    points = [
        "good = plugin_for_test:good",
        "other-name = plugin_for_test:good",
        "undescribed = plugin_for_test:undescribed",
        "text = plugin_for_test:text",
        "missing = plugin_for_test:missing",
        "exits = exits:TRAINER",
        "tabular-mlp = plugin_for_test:good",
    ]
    info = tmp_path / "plugin_for_test-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-for-test\nVersion: 1\n")
    (info / "entry_points.txt").write_text("\n".join(["[tuner.trainers]", *points]))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "plugin_for_test", raising=False)


@pytest.mark.usefixtures("install")
def test_each_that_cannot_be_used_is_told_by_name_and_the_others_are_there() -> None:
    found = plugins.discover(catalog.Trainer, taken=catalog.TRAINERS)

    assert list(found.trainers) == ["good"]
    assert {name: reason.partition(":")[0] for name, reason in found.broken.items()} == {
        "exits": "SystemExit",
        "missing": "AttributeError",
        "other-name": "ValueError",
        "tabular-mlp": "ValueError",
        "text": "TypeError",
        "undescribed": "AssertionError",
    }


def test_without_any_there_are_ours() -> None:
    assert dict(catalog.trainers()) == catalog.TRAINERS
    assert catalog.broken() == {}
