"""The maintenance process: a thread a duty, each doing its rounds while it holds the duty's row.

Owns who runs what and when. A duty that fails is logged and tried again; a stopped process loses its rows to another.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from sqlalchemy import Engine

from tuner.maintenance import leftovers, publish, reap, tidy
from tuner.settings import Settings
from tuner.store import duties
from tuner.store.database import TRANSIENT, transaction
from tuner.tracking.artifacts import Linking, Uploading
from tuner.tracking.rest import Mlflow
from tuner.tracking.trials import Target

# how much longer than its pause a duty stays with a process that is heard of no more; a round that takes longer is joined
# by another process, which does no harm
QUICK_S = 3.0  # after a crash of everything a lost trial goes on within its lease and 10 s
LONG_S = 15.0
AWAY_PAUSE_S = 1.0  # after a round in which the database, or MLflow, did not answer
NICE = 5

log = structlog.get_logger()


@dataclass(frozen=True)
class Duty:
    """Something to do again and again.

    Attributes:
        name: of its row.
        every_s: pause between rounds.
        round_s: that a round may take before another process joins in; a dead process keeps its duty as long.
        run_once: one round; returns whether the next one should come at once.
    """

    name: str
    every_s: float
    round_s: float
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
    target = _target(settings, key)
    memory = publish.Memory()
    return (
        Duty("reap", 1.0, QUICK_S, lambda: reap.run_once(engine).did_much),
        Duty("publish", 0.25, LONG_S, lambda: _publish(engine, target, memory)),
        Duty("leftovers", 5.0, LONG_S, lambda: bool(leftovers.run_once(engine, settings.artifacts))),
        Duty("tidy", 3600.0, LONG_S, lambda: tidy.run_once(engine, settings.artifacts).did_much),
    )


def _target(settings: Settings, key: str) -> Target:
    """The MLflow that the control plane mounts, or one of the user's own."""
    mlflow = Mlflow(settings.tracking_url, key if settings.mlflow_url is None else settings.mlflow_token)
    folder = settings.mlflow_artifacts
    is_ours = settings.mlflow_url is None and folder.is_dir()
    artifacts = Linking(folder) if is_ours else Uploading(mlflow)
    return Target(mlflow=mlflow, artifacts=artifacts, store=settings.artifacts, base_url=settings.base_url)


def _publish(engine: Engine, target: Target, memory: publish.Memory) -> bool:
    counts = publish.run_once(engine, target, memory)
    if counts.failures and not counts.did_something:
        time.sleep(AWAY_PAUSE_S)  # an MLflow that is away for a day is asked and told of once a second, not four times
    return counts.did_something


def _rounds(duty: Duty, engine: Engine, holder: str, stop: threading.Event) -> None:
    while not stop.is_set():
        again = False
        try:
            with transaction(engine) as connection:
                mine = duties.hold(connection, duty.name, holder, duty.every_s + duty.round_s)
            again = mine and duty.run_once()
        except TRANSIENT as error:
            log.warning("the database does not answer", duty=duty.name, error=str(error).splitlines()[0])
            stop.wait(AWAY_PAUSE_S)
        except Exception:
            log.exception("duty failed", duty=duty.name)
        if not again:
            stop.wait(duty.every_s)
