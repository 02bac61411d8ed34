"""The process beside ours: one, replaced when it dies, gone when we are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tuner.domain.errors import UnavailableError
from tuner.sampling import process


@pytest.fixture(autouse=True)
def _stopped() -> Iterator[None]:
    yield
    process.stop()


def test_calls_share_one_process_that_is_not_ours() -> None:
    pids = {process.call(os.getpid) for _ in range(3)}

    assert len(pids) == 1
    assert os.getpid() not in pids


def test_what_a_call_raises_comes_back_and_the_process_stays() -> None:
    pid = process.call(os.getpid)

    with pytest.raises(ValueError, match="invalid literal"):
        process.call(int, "x")

    assert process.call(os.getpid) == pid


def test_a_process_that_was_killed_is_replaced() -> None:
    pid = process.call(os.getpid)
    os.kill(pid, signal.SIGKILL)

    assert process.call(os.getpid) != pid


def test_a_call_that_kills_it_each_time_is_given_up() -> None:
    with pytest.raises(UnavailableError, match="gp"):
        process.call(os._exit, 1)

    assert process.call(abs, -3) == 3


def test_it_ends_when_its_parent_is_killed() -> None:
    code = "import os\nfrom tuner.sampling import process\nprint(process.call(os.getpid), flush=True)\nos.kill(os.getpid(), 9)"
    parent = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )

    assert parent.returncode == -signal.SIGKILL
    assert _ends(int(parent.stdout))


def _ends(pid: int) -> bool:
    """Whether a process that is no child of ours is gone, or dead and not yet buried, within some seconds."""
    try:
        orphan = psutil.Process(pid)
        orphan.wait(timeout=5)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return orphan.status() == psutil.STATUS_ZOMBIE
    return True
