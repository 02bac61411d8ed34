"""PostgreSQL taken away from the whole service in three ways: training goes on, nothing is lost, nothing hangs.

The outages are shorter than a person would meet, 7 s instead of 30, and the leases with them: two of them pass meanwhile.
"""

from __future__ import annotations

import random
import signal
import time
import uuid
from collections.abc import Iterator

import httpx
import psutil
import pytest
from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from tests.acceptance.waiting import ended, until
from tests.auditor import audit, audit_acknowledged, audit_files, audit_mlflow
from tests.whole import whole_service
from tuner import embedded, up
from tuner.client import Client
from tuner.store import database

DOWN_S = 30.0
TERMINATING_S = 60.0
LEASE_S = 3
EPOCHS = 300
PATHS = ("/api/v1/studies", "/readyz", "/mlflow/api/2.0/mlflow/experiments/get?experiment_id=0", "/api/studies/")


@pytest.fixture(scope="module")
def service() -> Iterator[up.Service]:
    """A service of this file's own, whose PostgreSQL nobody else needs."""
    with whole_service() as running:
        yield running


@pytest.fixture
def http(service: up.Service) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {service.admin_key}"}
    with httpx.Client(base_url=service.settings.base_url, headers=headers, trust_env=False, timeout=60) as opened:
        yield opened


@pytest.fixture
def admin(service: up.Service) -> Iterator[Engine]:
    """Connections that stay nobody's."""
    assert service.settings.database_url is not None
    engine = create_engine(service.settings.database_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@pytest.fixture
def study_id(client: Client) -> int:
    """A study of which two trials train."""
    spec = {
        "name": f"digits {uuid.uuid4().hex[:8]}",
        "dataset": "digits",
        "fixed": {"epochs": EPOCHS},
        "sampler": {"name": "random", "seed": 3},
        "pruner": {"name": "none"},
        "budget": {"trials": 4},
        "finalize": False,
        "limits": {"lease_s": LEASE_S},
    }
    study = client.submit(spec)
    for number in (0, 1):
        until(lambda n=number: bool(_reports(client, study.id, n)), "it trains")  # type: ignore[misc]
    return study.id


def _reports(client: Client, study_id: int, number: int) -> list[int]:
    trials = [trial.number for trial in client.trials(study_id)]
    return [report.step for report in client.reports(study_id, number).items] if number in trials else []


def test_training_goes_on_while_postgresql_is_down(
    service: up.Service, client: Client, http: httpx.Client, study_id: int
) -> None:
    postgres = _postgres(service)
    postgres.process.send_signal(signal.SIGINT)
    postgres.process.wait(30)
    try:
        worked_s = _training_s(service)
        refused = {path: http.get(path) for path in PATHS}
        assert http.get("/healthz").status_code == 200
        time.sleep(DOWN_S)
        assert _training_s(service) > worked_s, "children trained meanwhile"
    finally:
        postgres.restart_if_dead()

    for path, answer in refused.items():
        assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "2"), path
    until(lambda: http.get("/readyz").status_code == 200, "it is healthy", 10)
    _assert_nothing_lost(service, client, study_id)


def test_training_goes_on_while_backends_are_terminated(
    service: up.Service, client: Client, admin: Engine, study_id: int
) -> None:
    random_ = random.Random(11)
    end_s = time.monotonic() + TERMINATING_S
    terminated = 0
    with admin.connect() as connection:
        while time.monotonic() < end_s:
            pids = connection.execute(
                text("select pid from pg_stat_activity where datname = 'tuner' and pid <> pg_backend_pid()")
            ).scalars()
            for pid in random_.sample(found := list(pids), min(3, len(found))):
                terminated += bool(connection.execute(text("select pg_terminate_backend(:pid)"), {"pid": pid}).scalar())
            time.sleep(0.1)

    assert terminated > 20
    _assert_nothing_lost(service, client, study_id)


def test_the_api_answers_while_all_connections_are_taken(
    service: up.Service, client: Client, http: httpx.Client, admin: Engine, study_id: int
) -> None:
    taken: list[Connection] = []
    try:
        until(lambda: _takes_all(admin, taken), "every connection is ours")
        refused = [http.get(path) for path in PATHS]
        assert {answer.status_code for answer in refused} == {503}
        time.sleep(2 * LEASE_S)
    finally:
        for connection in taken:
            connection.close()

    until(lambda: http.get("/readyz").status_code == 200, "it is healthy", 10)
    _assert_nothing_lost(service, client, study_id)


def _takes_all(admin: Engine, taken: list[Connection]) -> bool:
    """Takes what connections there are, and ends those of others; whether all are ours."""
    try:
        while True:
            taken.append(admin.connect())
    except OperationalError:
        ours = [connection.execute(text("select pg_backend_pid()")).scalar_one() for connection in taken]
        end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'tuner' and pid <> all(:ours)"
        taken[0].execute(text(end), {"ours": ours})
    return len(taken) == int(taken[0].execute(text("show max_connections")).scalar_one())


def _postgres(service: up.Service) -> embedded.EmbeddedPostgres:
    assert service.postgres is not None
    return service.postgres


def _training_s(service: up.Service) -> float:
    """Seconds of CPU that the training processes have used."""
    children = psutil.Process(service.processes["worker"].pid).children()
    assert len(children) == 2
    return sum(child.cpu_times().user for child in children)


def _assert_nothing_lost(service: up.Service, client: Client, study_id: int) -> None:
    study = ended(client, study_id)
    assert (study.state, study.end_reason, study.progress.complete) == ("completed", "trials", 4)
    for trial in client.trials(study_id):
        attempts = client.trial(study_id, trial.number).attempts
        *before, last = [attempt.state for attempt in attempts]
        assert last == "succeeded", trial.number
        assert set(before) <= {"lost"}, "a lease of 3 s may run out on a busy machine; the trial goes on"
        assert _reports(client, study_id, trial.number) == list(range(1, EPOCHS + 1)), "every report, once, in order"
    assert service.settings.database_url is not None
    engine = database.connect(service.settings.database_url)
    try:
        audit(engine)
        audit_acknowledged(engine, [study_id])
        audit_files(engine, service.settings.artifacts)
        audit_mlflow(engine, service.settings.base_url, service.admin_key)
    finally:
        engine.dispose()
