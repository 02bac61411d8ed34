"""Scripts as a stranger runs them: MLflow, torch and pandas are there, this project is not, however it is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tuner.settings import child_environment

WITHOUT_US = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"api", "trainers", "tuner"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
"""


def run(script: str, *arguments: str | Path, folder: Path, **environment: str) -> str:
    """What a script prints that runs in a folder, isolated from ours."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", WITHOUT_US + script, *map(str, arguments)],
        cwd=folder,
        env=child_environment(**environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
