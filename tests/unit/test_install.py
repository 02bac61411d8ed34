"""`make install` where it cannot: one line that tells the cure, and nothing left behind.

The interpreters are this one, told to be another; nothing is installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import small_disk

ROOT = Path(__file__).parents[2]

OLD = """#!/bin/sh
if [ "$1" = -V ]; then echo "Python 3.9.2"; exit; fi
[ "$1" = -c ] && exec {python} -c 'import sys; sys.version_info = (3, 9, 2); exec(sys.argv[1])' "$2"
exit 99
"""
NO_VENV = """#!/bin/sh
[ "$1" = -c ] && exec {python} -c 'import sys; sys.modules["ensurepip"] = None; exec(sys.argv[1])' "$2"
exit 99
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the recipe reads."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def interpreter(folder: Path, script: str) -> Path:
    path = folder / "fake-python"
    path.write_text(script.format(python=sys.executable))
    path.chmod(0o755)
    return path


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("script", "line"),
    [
        (OLD, "tuner needs Python 3.11 or newer, and {python} is Python 3.9.2: make demo PYTHON=python3.12"),
        (NO_VENV, "{python} has no venv module: install it (Debian: apt install python3-venv)"),
    ],
)
def test_an_interpreter_that_will_not_do_is_told_in_one_line(checkout: Path, script: str, line: str) -> None:
    python = interpreter(checkout.parent, script)

    done = run("make", "--no-print-directory", "install", f"PYTHON={python}", folder=checkout)

    assert done.returncode != 0
    assert done.stdout == line.format(python=python) + "\n"
    assert "Traceback" not in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_disk_without_room_is_told_in_one_line(checkout: Path, tmp_path: Path) -> None:
    """A real interpreter, whose venv does not fit onto the disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    copy = f"cp {checkout}/* . && make install PYTHON={sys.executable} TMPDIR={disk}; code=$?; ls -A; exit $code"

    done = run(*small_disk.command("4m", disk, "sh", "-c", f"cd {disk} && {copy}"), folder=tmp_path)

    assert done.returncode != 0, done.stderr
    (line,) = [each for each in done.stdout.splitlines() if each.startswith("no space: ")]
    assert line.startswith(f"no space: {disk} has ")
    assert line.endswith(" MB left, and an installation takes 2500 MB: make room, or set TMPDIR")
    assert ".venv" not in done.stdout.splitlines()
    assert "Traceback" not in done.stderr
