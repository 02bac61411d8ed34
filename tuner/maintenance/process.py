"""The maintenance process: a thread a duty, each doing its rounds while it holds the duty's row.

Owns who runs what and when. A duty that fails is logged and tried again; a stopped process loses its rows to another.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from sqlalchemy import Engine

from tuner.maintenance import checkpoints, publish, reap, tidy
from tuner.settings import Settings
from tuner.store import duties
from tuner.store.database import transaction
from tuner.tracking.artifacts import Linking, Uploading
from tuner.tracking.rest import Mlflow
from tuner.tracking.trials import Target

HOLD_S = 15.0
NICE = 5

log = structlog.get_logger()


@dataclass(frozen=True)
class Duty:
    """Something to do again and again.

    Attributes:
        name: of its row.
        every_s: pause between rounds.
        run_once: one round; returns whether the next one should come at once.
    """

    name: str
    every_s: float
    run_once: Callable[[], bool]


def run(settings: Settings, engine: Engine, key: str) -> None:
    """Does the duties until a signal says to stop."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    os.nice(NICE)  # on one machine with the workers, training comes first
    everything = _duties(settings, engine, key)
    holder = f"{socket.gethostname()}-{os.getpid()}"
    threads = [threading.Thread(target=_rounds, args=(duty, engine, holder, stop), daemon=True) for duty in everything]
    for thread in threads:
        thread.start()
    stop.wait()
    for thread in threads:
        thread.join(5.0)


def _duties(settings: Settings, engine: Engine, key: str) -> tuple[Duty, ...]:
    mlflow = Mlflow(f"{settings.base_url}/mlflow", key)
    folder = settings.mlflow_artifacts
    target = Target(
        mlflow=mlflow,
        artifacts=Linking(folder) if folder.is_dir() else Uploading(mlflow),
        store=settings.artifacts,
        base_url=settings.base_url,
    )
    memory = publish.Memory()
    return (
        Duty("reap", 1.0, lambda: reap.run_once(engine).did_much),
        Duty("publish", 0.25, lambda: publish.run_once(engine, target, memory).did_something),
        Duty("checkpoints", 5.0, lambda: bool(checkpoints.run_once(engine, settings.artifacts))),
        Duty("tidy", 3600.0, lambda: tidy.run_once(engine, settings.artifacts).did_much),
    )


def _rounds(duty: Duty, engine: Engine, holder: str, stop: threading.Event) -> None:
    while not stop.is_set():
        again = False
        try:
            with transaction(engine) as connection:
                mine = duties.hold(connection, duty.name, holder, HOLD_S + duty.every_s)
            again = mine and duty.run_once()
        except Exception:
            log.exception("duty failed", duty=duty.name)
        if not again:
            stop.wait(duty.every_s)
