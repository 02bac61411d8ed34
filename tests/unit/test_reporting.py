"""`tuner.report`: a line for each report, and no need of anything but the standard library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tuner

ROOT = Path(__file__).parents[2]


def test_a_report_is_a_line_of_plain_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "reports"
    file.touch()
    monkeypatch.setenv("TUNER_REPORTS_FILE", str(file))

    tuner.report(1, {"val/loss": np.float32(0.5)}, accuracy=1)
    tuner.report(np.int64(2), loss=float("nan"))

    first, second = file.read_text().splitlines()
    assert json.loads(first) == {"step": 1, "metrics": {"val/loss": 0.5, "accuracy": 1.0}}
    assert json.loads(second)["step"] == 2


def test_a_report_that_makes_no_sense_is_refused_where_it_is_made() -> None:
    with pytest.raises(TypeError):
        tuner.report(1.5, loss=1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        tuner.report(1, loss=[1.0])  # type: ignore[arg-type]


def test_it_needs_the_standard_library_alone(tmp_path: Path) -> None:
    file = tmp_path / "reports"
    file.touch()
    script = f"import sys; sys.path.append({str(ROOT)!r}); import tuner; tuner.report(3, loss=0.25)"
    # -S: without site-packages
    environment = {"TUNER_REPORTS_FILE": str(file)}
    subprocess.run([sys.executable, "-S", "-c", script], check=True, env=environment, cwd=tmp_path)

    assert json.loads(file.read_text()) == {"step": 3, "metrics": {"loss": 0.25}}


def test_alone_a_script_reports_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNER_REPORTS_FILE", raising=False)

    tuner.report(1, loss=1.0)


def test_there_is_nothing_else_in_the_package() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'train'"):
        tuner.train  # type: ignore[attr-defined]  # noqa: B018
