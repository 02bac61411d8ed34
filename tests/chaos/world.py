"""The service that faults are done to: PostgreSQL, server, maintenance, an MLflow and three workers, in processes of their own.

Owns starting again whatever has died, as `tuner up` does, and what faults ask of the database. Workers live in different time
zones; one has a network between itself and the server that can be made bad.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from tests.network import Proxy, proxied
from tests.own_mlflow import Mlflow
from tuner import up
from tuner.client import Client
from tuner.settings import Settings
from tuner.store import database

LEASE_S = 5.0
EPOCHS = 15
ZONES = ("UTC", "Asia/Tokyo", "America/New_York")
NETWORK_PLACE = 1  # of the worker behind the network
RESTART_EVERY_S = 0.2
ROOT = Path(__file__).parents[2]
SHIFTED_CLOCK = ROOT / "tests/acceptance/shifted_clock"
DEADLINE_S = 120.0  # within which whatever a fault waits for has happened


class StuckError(AssertionError):
    """Something that should have happened after a fault has not."""


@dataclass
class Worker:
    """A worker's process; `name` is new with every start, so the database knows which of them an attempt is on."""

    place: int
    name: str
    process: subprocess.Popen[bytes]

    def family(self) -> list[psutil.Process]:
        """The agent and its training processes."""
        with contextlib.suppress(psutil.NoSuchProcess):
            agent = psutil.Process(self.process.pid)
            return [agent, *agent.children(recursive=True)]
        return []


@dataclass
class World:
    """What runs, and what is remembered of it for the verdict.

    Attributes:
        keeping: held while something must not be started again.
        shifts_s: by place, how far the clock of a worker that is started next is off.
        submitted: ids of the studies whose submission was acknowledged, with their budgets.
        asleep: attempts that were lost while their worker was stopped, and how many reports they had then.
    """

    service: up.Service
    client: Client
    engine: Engine
    mlflow: Mlflow
    network: Proxy
    workers: list[Worker] = field(default_factory=list)
    keeping: threading.Lock = field(default_factory=threading.Lock)
    stopped: threading.Event = field(default_factory=threading.Event)
    submitted: dict[int, int] = field(default_factory=dict)
    asleep: dict[uuid.UUID, int] = field(default_factory=dict)
    shifts_s: dict[int, int] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    # ---- processes -----------------------------------------------------------------------------------------------

    def start_worker(self, place: int) -> Worker:
        name = f"chaos-{place}-{next(self.numbers)}"
        log = self.service.settings.data / "logs" / f"worker-{place}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "tuner.cli", "worker", "--with-parent", "--slots", "1", "--name", name],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env=up._worker_environment(self.service.settings) | self._abroad(place),
                start_new_session=True,
            )
        return Worker(place, name, process)

    def _abroad(self, place: int) -> dict[str, str]:
        """Where the worker of this place is."""
        return {
            "TUNER_URL": self.network.url if place == NETWORK_PLACE else self.service.settings.base_url,
            "TZ": ZONES[place % len(ZONES)],
            "CLOCK_SHIFT_S": str(self.shifts_s.get(place, 0)),
            "PYTHONPATH": f"{SHIFTED_CLOCK}:{ROOT}",
        }

    def keep(self) -> None:
        """Starts again what has died, until the end."""
        while not self.stopped.wait(RESTART_EVERY_S):
            with self.keeping:
                self.service.restart_dead()
                for place, worker in enumerate(self.workers):
                    if worker.process.poll() is not None:
                        up._stop(worker.process)
                        self.workers[place] = self.start_worker(place)

    # ---- studies -------------------------------------------------------------------------------------------------

    def submit(self, trials: int, **changes: Any) -> int:
        """A study of short trials on digits, a second each on a core of one's own."""
        spec = {
            "name": f"chaos {uuid.uuid4().hex[:8]}",
            "dataset": "digits",
            "fixed": {"epochs": EPOCHS, "batch_size": 16, "width": 64},
            "search_space": {"learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}},
            "sampler": {"name": "tpe", "seed": 1},
            "budget": {"trials": trials, "max_failures": None},
            "finalize": False,  # trials are counted here
            "limits": {"lease_s": LEASE_S, "max_attempts": 100},
        } | changes
        study_id = self.client.submit(spec).id
        self.submitted[study_id] = trials
        return study_id

    def submit_external(self, trials: int) -> int:
        """A study that only a fault claims from."""
        space = {"x": {"type": "float", "low": 0.0, "high": 1.0}}
        objectives = [{"metric": "y", "direction": "minimize"}]
        return self.submit(
            trials, trainer="external", dataset=None, fixed={}, search_space=space, objectives=objectives
        )

    def has_open_studies(self) -> bool:
        return (
            self.number("""
            select count(*) from tuner.studies where trainer <> 'external' and state in ('queued', 'running')
        """)
            > 0
        )

    # ---- what the database says ----------------------------------------------------------------------------------

    def rows(self, query: str, **values: Any) -> list[Any]:
        with self.engine.begin() as connection:
            return list(connection.execute(text(query), values))

    def number(self, query: str, **values: Any) -> int:
        return int(self.rows(query, **values)[0][0])

    def until(self, condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> float:
        """Waits, through a database that is away; gives the seconds that it took."""
        began_s = time.monotonic()
        while True:
            with contextlib.suppress(OperationalError):
                if condition():
                    return time.monotonic() - began_s
            if time.monotonic() - began_s > deadline_s:
                raise StuckError(f"not after {deadline_s:g} s: {what}")
            time.sleep(0.02)

    def n_reports(self) -> int:
        return self.number("select count(*) from tuner.reports")


@contextlib.contextmanager
def running(data: Path, port: int, *, workers: int = 3) -> Iterator[World]:
    """Everything, ready, until the block ends."""
    mlflow = Mlflow(data / "own-mlflow")
    with (
        _published_to(mlflow),
        up.running(Settings(data=data, port=port), slots=1) as service,
        proxied(port) as network,
        Client(service.settings.base_url, service.admin_key, retry_for_s=60) as client,
    ):
        up._stop(service.processes.pop("worker"))  # ours have names and time zones
        assert service.settings.database_url is not None
        engine = create_engine(database.normalise(service.settings.database_url), poolclass=NullPool)
        world = World(service, client, engine, mlflow, network)
        world.workers += [world.start_worker(place) for place in range(workers)]
        keeper = threading.Thread(target=world.keep, daemon=True)
        keeper.start()
        try:
            yield world
        finally:
            world.stopped.set()
            keeper.join()
            for worker in world.workers:
                up._stop(worker.process)
            engine.dispose()


@contextlib.contextmanager
def _published_to(mlflow: Mlflow) -> Iterator[None]:
    """What is started meanwhile publishes there."""
    before = os.environ.get("TUNER_MLFLOW_URL")
    os.environ["TUNER_MLFLOW_URL"] = mlflow.url
    mlflow.launch()
    try:
        yield
    finally:
        mlflow.kill()
        if before is None:
            del os.environ["TUNER_MLFLOW_URL"]
        else:
            os.environ["TUNER_MLFLOW_URL"] = before
