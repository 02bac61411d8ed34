"""One process beside ours for samplers that take seconds and load torch.

Owns that process: started when it is first needed, replaced once it died, ended with ours.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import ParamSpec, TypeVar

from tuner.domain.errors import UnavailableError

P = ParamSpec("P")
T = TypeVar("T")

_lock = threading.Lock()
_pool: ProcessPoolExecutor | None = None


def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a function of a module there, and waits for it; calls go one after the other.

    Raises:
        UnavailableError: the process died twice while it ran this.
    """
    for _ in range(2):
        pool = _running()
        try:
            return pool.submit(function, *args, **kwargs).result()
        except BrokenProcessPool:
            _discard(pool)
    raise UnavailableError("the process that samples died, perhaps for want of memory: choose another sampler than gp")


def stop() -> None:
    """Ends the process, if there is one; the next call starts another."""
    with _lock:
        pool = _pool
    if pool is not None:
        _discard(pool)


def _running() -> ProcessPoolExecutor:
    global _pool  # noqa: PLW0603 - the one process is the module's state
    with _lock:
        if _pool is None:
            # spawned, not forked: the copy of a process with threads may hold locks that nobody releases
            context = multiprocessing.get_context("spawn")
            _pool = ProcessPoolExecutor(max_workers=1, mp_context=context, initializer=_end_with_parent)
        return _pool


def _discard(pool: ProcessPoolExecutor) -> None:
    global _pool  # noqa: PLW0603
    with _lock:
        if _pool is pool:
            _pool = None
    pool.shutdown(wait=True, cancel_futures=True)


def _end_with_parent() -> None:
    """Runs in the new process: a parent that was killed cannot tell it to stop."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
