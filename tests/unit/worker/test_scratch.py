"""A worker's folder for files on their way: those of killed workers are cleared away, those of living ones are not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from tests.acceptance.waiting import until
from tuner.worker import agent


def test_it_clears_those_of_the_dead_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(sleep) as living, subprocess.Popen(sleep) as waited_for_by_nobody:
        os.kill(waited_for_by_nobody.pid, signal.SIGKILL)
        until(lambda: psutil.Process(waited_for_by_nobody.pid).status() == psutil.STATUS_ZOMBIE, "it is dead")
        of = {name: tmp_path / f"{agent.PREFIX}{pid}-a" for name, pid in (("living", living.pid), ("gone", 2**30))}
        of["zombie"] = tmp_path / f"{agent.PREFIX}{waited_for_by_nobody.pid}-a"
        of["our number"] = tmp_path / f"{agent.PREFIX}{os.getpid()}-a"
        of["foreign"] = tmp_path / f"{agent.PREFIX}notes"
        for folder in of.values():
            folder.mkdir()

        scratch = agent.new_scratch()
        living.kill()

    assert set(tmp_path.iterdir()) == {scratch, of["living"], of["foreign"]}
