"""The faults, one function each: it does one thing to the real processes and gives the seconds until all went on.

None is given by races of requests, and where the trial was over before the fault came.
"""

from __future__ import annotations

import contextlib
import random
import signal
import time
import uuid
from collections.abc import Callable

import psutil
import psycopg2
from sqlalchemy.engine import make_url

from tests.chaos.races import cancel_racing_complete, race_for_last_trials, same_key_fifty_times
from tests.chaos.recovery import busy, until_elsewhere, until_more, until_reports_come
from tests.chaos.world import NETWORK_PLACE, Worker, World
from tuner.client import Client, ClientError
from tuner.wire_attempts import CompleteBody, FailBody, ReportBody

HOUR_S = 3600
CHILD_ENDS_S = 10.0  # within which a killed worker's training process is gone

Fault = Callable[[World, random.Random], float | None]


# ---- children and workers --------------------------------------------------------------------------------------------


def kill_child(world: World, chance: random.Random) -> float | None:
    worker, attempt_id = busy(world, chance)
    began_s = time.monotonic()
    for child in worker.family()[1:]:
        child.kill()
    return until_elsewhere(world, attempt_id, began_s)


def kill_worker(world: World, chance: random.Random) -> float | None:
    return _kill(world, *busy(world, chance))


def shift_clock(world: World, chance: random.Random) -> float | None:
    """A worker's clock is an hour off from its next start on, for which it is killed; then it trains, and is not lost."""
    worker, attempt_id = busy(world, chance)
    world.shifts_s[worker.place] = chance.choice((-HOUR_S, HOUR_S))
    took_s = _kill(world, worker, attempt_id)
    busy(world, chance, worker.place)
    return took_s


def _kill(world: World, worker: Worker, attempt_id: uuid.UUID) -> float | None:
    children = worker.family()[1:]
    began_s = time.monotonic()
    worker.process.kill()
    world.until(lambda: not any(map(_is_alive, children)), "a killed worker leaves no child behind", CHILD_ENDS_S)
    return until_elsewhere(world, attempt_id, began_s)


def stop_worker(world: World, chance: random.Random) -> float | None:
    """Past its lease; let go on, it writes as a zombie. Its reports are counted again at the end."""
    worker, attempt_id = busy(world, chance)
    family = worker.family()
    began_s = time.monotonic()
    for process in family:
        process.suspend()
    try:
        took_s = until_elsewhere(world, attempt_id, began_s)
        if took_s is None:
            return None
        world.asleep[attempt_id] = world.number(
            "select count(*) from tuner.reports where attempt_id = :attempt_id", attempt_id=attempt_id
        )
        assert all(_is_refused(write) for write in _writes(world.client, attempt_id)), "a zombie's write is refused"
    finally:
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
    return took_s


def _is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _writes(client: Client, attempt_id: uuid.UUID) -> list[Callable[[], object]]:
    return [
        lambda: client.report(attempt_id, []),
        lambda: client.report(attempt_id, [ReportBody(step=1_000, metrics={"val/accuracy": 2.0})]),
        lambda: client.complete(attempt_id, CompleteBody(metrics={"val/accuracy": 2.0})),
        lambda: client.fail(attempt_id, FailBody(reason="child-died")),
        lambda: client.release(attempt_id),
    ]


def _is_refused(write: Callable[[], object]) -> bool:
    try:
        write()
    except ClientError as error:
        return error.type == "stale-attempt"
    return False


# ---- server and database ---------------------------------------------------------------------------------------------


def kill_server(world: World, chance: random.Random) -> float:
    busy(world, chance)
    world.service.processes["server"].kill()
    return until_reports_come(world)


def kill_maintenance(world: World, chance: random.Random) -> float | None:
    """While it publishes or reaps; a worker dies with it, so that a lease must be reaped by its successor."""
    world.service.processes["maintenance"].kill()
    return kill_worker(world, chance)


def stop_postgres(world: World, chance: random.Random) -> float:
    busy(world, chance)
    postgres = world.service.postgres
    assert postgres is not None
    with world.keeping:
        postgres.process.send_signal(signal.SIGINT)
        postgres.process.wait()
        time.sleep(chance.uniform(1.0, 5.0))
        postgres.restart_if_dead()
    return until_reports_come(world)


def terminate_backends(world: World, chance: random.Random) -> float:
    busy(world, chance)
    for _ in range(5):
        query = """
            select pg_terminate_backend(pid) from pg_stat_activity
            where datname = 'tuner' and pid <> pg_backend_pid() and random() < 0.6
        """
        world.until(lambda: world.rows(query) is not None, "backends are terminated")  # noqa: B023 - called here
        time.sleep(chance.uniform(0.05, 0.3))
    return until_reports_come(world)


def use_up_connections(world: World, chance: random.Random) -> float:
    busy(world, chance)
    url = make_url(world.service.settings.database_url or "")
    held = []
    try:
        until_s = time.monotonic() + chance.uniform(1.0, 4.0)
        while time.monotonic() < until_s:
            try:
                held.append(psycopg2.connect(host=url.query["host"], user=url.username, dbname=url.database))
            except psycopg2.OperationalError:
                time.sleep(0.05)  # all are taken; take those, too, that others give back
    finally:
        for connection in held:
            connection.close()
    assert held
    return until_reports_come(world)


# ---- MLflow and network ----------------------------------------------------------------------------------------------


def kill_mlflow(world: World, chance: random.Random) -> float:
    """Training does not wait for it; how long until the next report is stored while it is away."""
    busy(world, chance)
    world.mlflow.kill()
    took_s = until_reports_come(world)
    time.sleep(chance.uniform(1.0, 5.0))
    world.mlflow.launch()
    return took_s


def slow_network(world: World, chance: random.Random) -> float:
    """Everything arrives 2 s later, in both directions."""
    _, attempt_id = busy(world, chance, NETWORK_PLACE)
    world.network.latency_s = 2.0
    time.sleep(chance.uniform(2.0, 5.0))
    world.network.latency_s = 0.0
    return until_more(world, attempt_id)


def cut_network(world: World, chance: random.Random) -> float:
    _, attempt_id = busy(world, chance, NETWORK_PLACE)
    world.network.is_cut = True
    time.sleep(chance.uniform(2.0, 8.0))
    world.network.is_cut = False
    return until_more(world, attempt_id)


def reset_network(world: World, chance: random.Random) -> float:
    _, attempt_id = busy(world, chance, NETWORK_PLACE)
    world.network.reset()
    return until_more(world, attempt_id)


def half_open_network(world: World, chance: random.Random) -> float:
    _, attempt_id = busy(world, chance, NETWORK_PLACE)
    world.network.half_open()
    return until_more(world, attempt_id)


# after these a worker finds out by itself that nothing comes: promised is that nothing hangs for over a minute
NETWORK: dict[str, Fault] = {
    "network slow by 2 s": slow_network,
    "network cut for seconds": cut_network,
    "connections reset": reset_network,
    "connections half-open": half_open_network,
}
KINDS: dict[str, Fault] = {
    "child killed": kill_child,
    "worker killed": kill_worker,
    "worker stopped past its lease": stop_worker,
    "worker killed, its clock an hour off": shift_clock,
    "server killed": kill_server,
    "maintenance killed, and a worker": kill_maintenance,
    "PostgreSQL stopped for seconds": stop_postgres,
    "backends terminated": terminate_backends,
    "connections used up": use_up_connections,
    "MLflow killed, away for seconds": kill_mlflow,
    **NETWORK,
    "one key fifty times": same_key_fifty_times,
    "cancel racing complete": cancel_racing_complete,
    "sixteen racing for the last trials": race_for_last_trials,
}
