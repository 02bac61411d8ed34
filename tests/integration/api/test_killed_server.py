"""The server is SIGKILLed in the middle of a request, started again, and the request comes again: nothing is half or double.

"In the middle" is a lock of the test's own in PostgreSQL, which the request waits for at the chosen statement.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import Connection, Engine, text

from tests.acceptance.waiting import until
from tests.auditor import audit
from tests.integration.conftest import ADMIN
from tests.studying import external
from tuner.maintenance import reap
from tuner.settings import child_environment

LOCK = 4711


class Server:
    """A process that can be killed and started again on the same port."""

    def __init__(self, nursery: subprocess.Popen[str], listener: socket.socket, database_url: str, data: Path) -> None:
        self._nursery = nursery
        self._command = f"{database_url} {data}\n"
        headers = {"Authorization": f"Bearer {ADMIN}"}
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"
        self.http = httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60)
        self.start()

    def start(self) -> None:
        """A request that comes before it is ready waits for it."""
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(self._command)
        self._nursery.stdin.flush()
        self._process = psutil.Process(int(self._nursery.stdout.readline()))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(20)

    def close(self) -> None:
        self.kill()
        self.http.close()


@pytest.fixture(scope="module")
def nursery() -> Iterator[tuple[subprocess.Popen[str], socket.socket]]:
    """Where servers come from, and the socket on which they listen."""
    root = Path(__file__).parents[3]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, str(Path(__file__).with_name("serve.py")), str(listener.fileno())]
        with subprocess.Popen(
            command,
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=child_environment(PYTHONPATH=str(root)),
        ) as process:
            yield process, listener
            assert process.stdin is not None
            process.stdin.close()


@pytest.fixture
def server(nursery: tuple[subprocess.Popen[str], socket.socket], database_url: str, tmp_path: Path) -> Iterator[Server]:
    started = Server(*nursery, database_url, tmp_path)
    yield started
    started.close()


@pytest.fixture(autouse=True)
def _audited(engine: Engine) -> Iterator[None]:
    yield
    audit(engine)


Hold = Callable[[Connection], None]


def table(name: str, mode: str = "exclusive") -> Hold:
    """Statements that write to the table wait (those that read it, too, for `access exclusive`)."""
    return lambda connection: _run(connection, f"lock table tuner.{name} in {mode} mode")


def update_of(name: str) -> Hold:
    """Updates of the table's rows wait, once the statement has come that far; inserts do not."""

    def hold(connection: Connection) -> None:
        _run(
            connection,
            f"""
            create or replace function tuner.wait_for_test() returns trigger language plpgsql as
            $$ begin perform pg_advisory_xact_lock_shared({LOCK}); return new; end $$;
            create or replace trigger waits after update on tuner.{name}
            for each row execute function tuner.wait_for_test();
            """,
        )
        connection.commit()
        connection.begin()
        _run(connection, f"select pg_advisory_xact_lock({LOCK})")

    return hold


def _run(connection: Connection, statement: str) -> None:
    connection.execute(text(statement))


@contextmanager
def killed_in_the_middle(engine: Engine, server: Server, hold: Hold, request: Callable[[], Any]) -> Iterator[None]:
    """Sends the request, kills the server once the request waits for what is held, and starts it again."""
    with engine.connect() as holding:
        holding.begin()
        hold(holding)
        sending = threading.Thread(target=_expecting_no_answer, args=(request,))
        sending.start()
        until(lambda: _somebody_waits(engine), "the request has come to what is held", 30)
        server.kill()
        sending.join()
        holding.rollback()
    server.start()
    yield


def _expecting_no_answer(request: Callable[[], Any]) -> None:
    with pytest.raises(httpx.TransportError):
        request()


def _somebody_waits(engine: Engine) -> bool:
    with engine.begin() as connection:
        waiting = text(
            "select count(*) from pg_locks where not granted and database = (select oid from pg_database "
            "where datname = current_database())"
        )
        return bool(connection.execute(waiting).scalar_one())


def count(engine: Engine, table_name: str) -> int:
    with engine.begin() as connection:
        return int(connection.execute(text(f"select count(*) from tuner.{table_name}")).scalar_one())


# ---- submit ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hold", "n_stored"),
    [
        pytest.param(table("trials"), 0, id="the study is in, its enqueued points are not"),
        pytest.param(table("idempotency_keys"), 0, id="all is in but the key"),
        pytest.param(table("reports", "access exclusive"), 1, id="committed, and not answered"),
    ],
)
def test_a_submit_is_whole_or_not_at_all_and_once(engine: Engine, server: Server, hold: Hold, n_stored: int) -> None:
    spec = external(enqueue=[{"x": 0.5}, {"x": 0.25}])
    headers = {"Idempotency-Key": "once"}

    def submit() -> httpx.Response:
        return server.http.post("/studies", json=spec, headers=headers)

    with killed_in_the_middle(engine, server, hold, submit):
        assert (count(engine, "studies"), count(engine, "trials")) == (n_stored, 2 * n_stored)

        answers = [submit(), submit()]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (count(engine, "studies"), count(engine, "trials")) == (1, 2)


# ---- claim -----------------------------------------------------------------------------------------------------------


ASKED_LATER = {"name": "tpe", "seed": 1}  # random draws within the claim


def _claim(server: Server, request_id: str) -> list[dict[str, Any]]:
    body = {"request_id": request_id, "worker_id": "w", "trainers": ["external"], "slots": 1}
    held: list[dict[str, Any]] = server.http.post("/claims", json=body).raise_for_status().json()["attempts"]
    return held


@pytest.mark.parametrize(
    ("hold", "n_stored"),
    [
        pytest.param(table("attempts"), 0, id="in the claim"),
        pytest.param(update_of("trials"), 1, id="between the claim and the sampled parameters"),
    ],
)
def test_a_claim_that_was_cut_off_is_answered_when_it_comes_again(
    engine: Engine, server: Server, hold: Hold, n_stored: int
) -> None:
    server.http.post("/studies", json=external(budget={"trials": 2}, sampler=ASKED_LATER)).raise_for_status()

    with killed_in_the_middle(engine, server, hold, lambda: _claim(server, "r")):
        assert (count(engine, "trials"), count(engine, "attempts")) == (n_stored, n_stored)
        audit(engine)

        again, other = _claim(server, "r"), _claim(server, "another")

    assert [attempt["trial"] for attempt in again + other] == [0, 1]
    assert {"x", "n"} == set(again[0]["params"])
    for attempt in again + other:
        done = {"metrics": {"y": 1.0}}
        server.http.post(f"/attempts/{attempt['attempt_id']}/complete", json=done).raise_for_status()
    assert server.http.get("/studies/1").json()["progress"]["complete"] == 2


def test_a_claim_that_nobody_repeats_costs_no_attempt(engine: Engine, server: Server) -> None:
    limits = {"max_attempts": 1}
    server.http.post(
        "/studies", json=external(budget={"trials": 1}, limits=limits, sampler=ASKED_LATER)
    ).raise_for_status()
    with killed_in_the_middle(engine, server, update_of("trials"), lambda: _claim(server, "lost")):
        assert _claim(server, "other") == []
    with engine.begin() as connection:
        _run(connection, "update tuner.attempts set lease_until = now() - interval '1 s'")

    assert reap.run_once(engine).expired == 1

    assert [attempt["trial"] for attempt in _claim(server, "other")] == [0]


# ---- report and complete ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hold", [table("reports"), table("log_chunks")], ids=["reports", "log"])
def test_a_report_that_was_cut_off_is_stored_once(engine: Engine, server: Server, hold: Hold) -> None:
    server.http.post("/studies", json=external()).raise_for_status()
    attempt_id = _claim(server, "r")[0]["attempt_id"]
    body = {"reports": [{"step": 1, "metrics": {"y": 1.0}}], "log": {"position": 0, "text": "one epoch"}}

    def report() -> httpx.Response:
        return server.http.post(f"/attempts/{attempt_id}/reports", json=body)

    with killed_in_the_middle(engine, server, hold, report):
        assert (count(engine, "reports"), count(engine, "log_chunks")) == (0, 0)
        assert [report().status_code, report().status_code] == [200, 200]

    assert (count(engine, "reports"), count(engine, "log_chunks")) == (1, 1)


@pytest.mark.parametrize("name", ["attempts", "trials", "studies"])
def test_a_result_that_was_cut_off_is_accepted_once(engine: Engine, server: Server, name: str) -> None:
    study = server.http.post("/studies", json=external(budget={"trials": 1})).raise_for_status().json()
    attempt_id = _claim(server, "r")[0]["attempt_id"]

    def complete() -> httpx.Response:
        return server.http.post(f"/attempts/{attempt_id}/complete", json={"metrics": {"y": 1.0}})

    with killed_in_the_middle(engine, server, update_of(name), complete):
        assert server.http.get(f"/studies/{study['id']}").json()["progress"]["running"] == 1
        audit(engine)
        assert [complete().status_code, complete().status_code] == [200, 200]

    ended = server.http.get(f"/studies/{study['id']}").json()
    assert (ended["state"], ended["progress"]["complete"]) == ("completed", 1)


# ---- cancel ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["attempts", "trials"])
def test_a_cancel_that_was_cut_off_has_done_nothing(engine: Engine, server: Server, name: str) -> None:
    study_id = server.http.post("/studies", json=external()).raise_for_status().json()["id"]
    for number in range(3):
        _claim(server, f"r{number}")

    def cancel() -> httpx.Response:
        return server.http.post(f"/studies/{study_id}/cancel")

    with killed_in_the_middle(engine, server, update_of(name), cancel):
        assert server.http.get(f"/studies/{study_id}").json()["progress"]["running"] == 3
        audit(engine)
        assert cancel().json()["progress"]["cancelled"] == 3
