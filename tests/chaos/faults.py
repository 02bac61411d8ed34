"""The faults, one function each: it does one thing to the real processes and gives the seconds until all went on.

Owns what "went on" means: the trial that was hit runs again elsewhere or has ended; after a fault of server or database, the
API is ready and a new report is stored. Faults that are races of requests check their outcome, and give None.
"""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
import psycopg2
from sqlalchemy.engine import make_url

from tests.chaos.world import Worker, World
from tuner.client import Client, ClientError
from tuner.wire_attempts import ClaimBody, ClaimedAttempt, CompleteBody, FailBody, ReportBody

MORE_TRIALS = 20  # when all that were submitted have ended
CHILD_ENDS_S = 10.0  # within which a killed worker's training process is gone

Fault = Callable[[World, random.Random], float | None]


# ---- children and workers --------------------------------------------------------------------------------------------


def kill_child(world: World, chance: random.Random) -> float:
    worker, attempt_id = _busy(world, chance)
    began_s = time.monotonic()
    for child in worker.family()[1:]:
        child.kill()
    return _until_elsewhere(world, attempt_id, began_s)


def kill_worker(world: World, chance: random.Random) -> float:
    worker, attempt_id = _busy(world, chance)
    children = worker.family()[1:]
    began_s = time.monotonic()
    worker.process.kill()
    world.until(lambda: not any(map(_is_alive, children)), "a killed worker leaves no child behind", CHILD_ENDS_S)
    return _until_elsewhere(world, attempt_id, began_s)


def stop_worker(world: World, chance: random.Random) -> float:
    """Past its lease; let go on, it writes as a zombie. Its reports are counted again at the end."""
    worker, attempt_id = _busy(world, chance)
    family = worker.family()
    began_s = time.monotonic()
    for process in family:
        process.suspend()
    try:
        took_s = _until_elsewhere(world, attempt_id, began_s)
        world.asleep[attempt_id] = world.number(
            "select count(*) from tuner.reports where attempt_id = :attempt_id", attempt_id=attempt_id
        )
        assert all(_is_refused(write) for write in _writes(world.client, attempt_id)), "a zombie's write is refused"
    finally:
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
    return took_s


def _busy(world: World, chance: random.Random) -> tuple[Worker, uuid.UUID]:
    """A worker that trains, and the attempt; there is always something to train."""
    query = """
        select a.id, w.name from tuner.attempts a join tuner.workers w on w.id = a.worker_id
        join tuner.trials t on t.id = a.trial_id
        where a.state = 'running' and t.state = 'running' and a.lease_until > now() + interval '1 s'
        and exists (select 1 from tuner.reports r where r.attempt_id = a.id)
    """
    found: list[tuple[Worker, uuid.UUID]] = []

    def look() -> bool:
        if not world.has_open_studies():
            world.submit(MORE_TRIALS)
        by_name = {worker.name: worker for worker in world.workers}
        found[:] = [(by_name[row.name], row.id) for row in world.rows(query) if row.name in by_name]
        found[:] = [each for each in found if len(each[0].family()) > 1]
        return bool(found)

    world.until(look, "a worker trains")
    return chance.choice(found)


def _until_elsewhere(world: World, attempt_id: uuid.UUID, began_s: float) -> float:
    """Seconds until the attempt's trial has a later attempt that has started, or has ended."""
    query = """
        select t.state from tuner.attempts a join tuner.trials t on t.id = a.trial_id
        where a.id = :attempt_id and (
            t.finished_at is not null
            or t.state = 'running' and exists (
                select 1 from tuner.attempts b where b.trial_id = t.id and b.number > a.number and b.state = 'running'
            )
        )
    """
    world.until(lambda: bool(world.rows(query, attempt_id=attempt_id)), "the trial goes on")
    return time.monotonic() - began_s


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
    _busy(world, chance)
    world.service.processes["server"].kill()
    return _until_reports_come(world)


def kill_maintenance(world: World, chance: random.Random) -> float:
    """While it publishes or reaps; a worker dies with it, so that a lease must be reaped by its successor."""
    world.service.processes["maintenance"].kill()
    return kill_worker(world, chance)


def stop_postgres(world: World, chance: random.Random) -> float:
    _busy(world, chance)
    postgres = world.service.postgres
    assert postgres is not None
    with world.keeping:
        postgres.process.send_signal(signal.SIGINT)
        postgres.process.wait()
        time.sleep(chance.uniform(1.0, 5.0))
        postgres.restart_if_dead()
    return _until_reports_come(world)


def terminate_backends(world: World, chance: random.Random) -> float:
    _busy(world, chance)
    for _ in range(5):
        query = """
            select pg_terminate_backend(pid) from pg_stat_activity
            where datname = 'tuner' and pid <> pg_backend_pid() and random() < 0.6
        """
        world.until(lambda: world.rows(query) is not None, "backends are terminated")  # noqa: B023 - called here
        time.sleep(chance.uniform(0.05, 0.3))
    return _until_reports_come(world)


def use_up_connections(world: World, chance: random.Random) -> float:
    _busy(world, chance)
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
    return _until_reports_come(world)


def _until_reports_come(world: World) -> float:
    """Seconds until the API is ready and has stored a report that it had not when this was called."""
    began_s = time.monotonic()
    world.until(world.client.is_ready, "the API is ready")
    before: list[int] = []

    def has_more() -> bool:
        before[:] = before or [world.n_reports()]
        return world.n_reports() > before[0] or not world.has_open_studies()

    world.until(has_more, "reports come in")
    return time.monotonic() - began_s


# ---- races of requests -----------------------------------------------------------------------------------------------


def same_key_fifty_times(world: World, chance: random.Random) -> None:
    spec = {
        "name": f"once {chance.randrange(10**9)}",
        "trainer": "external",
        "objectives": [{"metric": "y", "direction": "minimize"}],
        "search_space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
        "budget": {"trials": 1},
    }
    key = uuid.uuid4().hex
    with ThreadPoolExecutor(25) as pool:
        ids = set(pool.map(lambda _: world.client.submit(spec, key).id, range(50)))
    assert len(ids) == 1, f"one key made the studies {ids}"
    world.submitted[ids.pop()] = 1


def cancel_racing_complete(world: World, chance: random.Random) -> None:
    study_id = world.submit_external(1)
    attempt = _claim(world, study_id)[0]
    body = CompleteBody(metrics={"y": chance.random()})
    answers = _at_once(lambda: world.client.complete(attempt.attempt_id, body), lambda: world.client.cancel(study_id))
    assert sorted(answer is None for answer in answers) == [False, True], f"one of two is refused: {answers}"
    assert world.client.study(study_id).state == ("completed" if answers[0] is None else "cancelled")


def race_for_last_trials(world: World, chance: random.Random) -> None:
    study_id = world.submit_external(9)

    def work() -> None:
        while held := _claim(world, study_id):
            world.client.complete(held[0].attempt_id, CompleteBody(metrics={"y": chance.random()}))

    refused = [error for error in _at_once(*[work] * 16) if error is not None]
    study = world.client.study(study_id)
    assert not refused, refused
    assert (study.state, study.progress.complete, study.progress.created) == ("completed", 9, 9), study.progress


def _claim(world: World, study_id: int) -> list[ClaimedAttempt]:
    body = ClaimBody(request_id=uuid.uuid4().hex, worker_id=f"racer-{uuid.uuid4().hex[:6]}", study_id=study_id)
    return world.client.claim(body)


def _at_once(*moves: Callable[[], object]) -> list[ClientError | None]:
    """What each was refused with; all start at the same moment."""
    barrier = threading.Barrier(len(moves))

    def run(move: Callable[[], object]) -> ClientError | None:
        barrier.wait()
        try:
            move()
        except ClientError as error:
            return error
        return None

    with ThreadPoolExecutor(len(moves)) as pool:
        return list(pool.map(run, moves))


# Where they belong once there is something to do them to: MLflow away (needs an external one), and a slow or cut network
# (needs a proxy between a worker and the server).
KINDS: dict[str, Fault] = {
    "child killed": kill_child,
    "worker killed": kill_worker,
    "worker stopped past its lease": stop_worker,
    "server killed": kill_server,
    "maintenance killed, and a worker": kill_maintenance,
    "PostgreSQL stopped for seconds": stop_postgres,
    "backends terminated": terminate_backends,
    "connections used up": use_up_connections,
    "one key fifty times": same_key_fifty_times,
    "cancel racing complete": cancel_racing_complete,
    "sixteen racing for the last trials": race_for_last_trials,
}
