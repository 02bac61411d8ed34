"""Who comes too late gets 409, and who come at once get each thing once: zombies, last trials, cancel against complete."""

from __future__ import annotations

import io
import tarfile
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from tests.auditor import audit
from tests.integration.conftest import ADMIN, rest_service
from tests.studying import external
from tuner.maintenance import reap
from tuner.store import database

STALE = "urn:tuner:problem:stale-attempt"
ROUNDS = 200


@pytest.fixture(autouse=True)
def _audited(engine: Engine) -> Iterator[None]:
    yield
    audit(engine)


def submit(http: httpx.Client, **changes: Any) -> int:
    return int(http.post("/studies", json=external(**changes)).raise_for_status().json()["id"])


def claim(http: httpx.Client, worker: str, study_id: int, **changes: Any) -> list[dict[str, Any]]:
    body = {"request_id": uuid.uuid4().hex, "worker_id": worker, "study_id": study_id} | changes
    attempts: list[dict[str, Any]] = http.post("/claims", json=body).raise_for_status().json()["attempts"]
    return attempts


def at_once(*moves: Callable[[], httpx.Response]) -> list[httpx.Response]:
    """The answers to requests that start at the same moment."""
    barrier = threading.Barrier(len(moves))

    def run(move: Callable[[], httpx.Response]) -> httpx.Response:
        barrier.wait()
        return move()

    with ThreadPoolExecutor(len(moves)) as pool:
        return list(pool.map(run, moves))


# ---- zombies ---------------------------------------------------------------------------------------------------------


def expire(engine: Engine, attempt_id: str) -> None:
    with engine.begin() as connection:
        shift = text("update tuner.attempts set lease_until = now() - interval '1 s' where id = :id")
        connection.execute(shift, {"id": attempt_id})


def packed(name: str, content: bytes) -> bytes:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return tar.getvalue()


def zombie_writes(http: httpx.Client, attempt_id: str) -> list[httpx.Response]:
    """Everything that a worker can send for an attempt."""
    place = f"/attempts/{attempt_id}"
    log = {"position": 0, "text": "from the grave"}
    return [
        http.post(f"{place}/reports", json={}),
        http.post(f"{place}/reports", json={"reports": [{"step": 7, "metrics": {"y": -7.0}}], "log": log}),
        http.post(f"{place}/artifacts", content=packed("model", b"a zombie's")),
        http.post(f"{place}/complete", json={"metrics": {"y": -7.0}}),
        http.post(f"{place}/complete", json={"metrics": {"z": -7.0}}),
        http.post(f"{place}/fail", json={"reason": "child-died"}),
        http.post(f"{place}/release"),
    ]


def test_nothing_of_two_hundred_zombies_is_taken(http: httpx.Client, engine: Engine, tmp_path: Path) -> None:
    """Each writes when its trial waits, when another worker runs it, or when that one has completed it."""
    study_id = submit(http, budget={"trials": ROUNDS})
    answers: list[httpx.Response] = []
    for i in range(ROUNDS):
        zombie = claim(http, "zombie", study_id)[0]
        http.post(f"/attempts/{zombie['attempt_id']}/reports", json={"reports": [{"step": 1, "metrics": {"y": 1.0}}]})
        expire(engine, zombie["attempt_id"])
        assert reap.run_once(engine).expired == 1
        if i % 3 == 0:
            answers += zombie_writes(http, zombie["attempt_id"])
        heir = claim(http, "heir", study_id)[0]
        assert heir["trial"] == zombie["trial"] == i
        assert heir["params"] == zombie["params"]
        if i % 3 == 1:
            answers += zombie_writes(http, zombie["attempt_id"])
        http.post(f"/attempts/{heir['attempt_id']}/complete", json={"metrics": {"y": float(i)}}).raise_for_status()
        if i % 3 == 2:
            answers += zombie_writes(http, zombie["attempt_id"])

    assert len(answers) == 7 * ROUNDS
    assert {(answer.status_code, answer.json()["type"]) for answer in answers} == {(409, STALE)}
    study = http.get(f"/studies/{study_id}").json()
    assert (study["end_reason"], study["progress"]["complete"], study["best"]["value"]) == ("trials", ROUNDS, 0.0)
    with engine.begin() as connection:
        for table, taken in (("reports", "step <> 1"), ("artifacts", "true"), ("log_chunks", "true")):
            assert connection.execute(text(f"select count(*) from tuner.{table} where {taken}")).scalar_one() == 0
    assert list(tmp_path.rglob("*")) == []  # neither files nor drafts


def test_a_result_racing_the_reaper_is_taken_whole_or_not_at_all(http: httpx.Client, engine: Engine) -> None:
    study_id = submit(http, budget={"trials": ROUNDS}, limits={"max_attempts": 100})
    outcomes: Counter[tuple[int, int]] = Counter()
    while held := claim(http, "late", study_id):
        attempt_id = held[0]["attempt_id"]
        expire(engine, attempt_id)
        with ThreadPoolExecutor(1) as pool:
            reaped = pool.submit(reap.run_once, engine)
            answer = http.post(f"/attempts/{attempt_id}/complete", json={"metrics": {"y": 1.0}})
        outcomes[answer.status_code, reaped.result().expired] += 1

    assert set(outcomes) <= {(200, 0), (409, 1)}
    assert outcomes[200, 0] == ROUNDS


# ---- races -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_servers(database_url: str, tmp_path: Path) -> Iterator[list[str]]:
    """Two control planes on one database, each with connections of its own."""
    engines = [database.connect(database_url) for _ in range(2)]
    with rest_service(engines[0], tmp_path) as first, rest_service(engines[1], tmp_path) as second:
        yield [first, second]
    for engine in engines:
        engine.dispose()


def test_sixteen_workers_race_for_the_last_trials(two_servers: list[str]) -> None:
    """Every third attempt is given back and every fifth dies: the counts are exact all the same."""
    headers = {"Authorization": f"Bearer {ADMIN}"}
    with (
        httpx.Client(base_url=two_servers[0], headers=headers, trust_env=False, timeout=60) as first,
        httpx.Client(base_url=two_servers[1], headers=headers, trust_env=False, timeout=60) as second,
    ):
        for i in range(20):
            budget = {"trials": 9, "max_parallel": (None, 3)[i % 2]}
            study_id = submit(first, budget=budget, limits={"max_attempts": 100})
            done = race(study_id, [first, second] * 8)

            assert sorted(done) == list(range(9))
            study = first.get(f"/studies/{study_id}").json()
            assert (study["state"], study["end_reason"], study["progress"]["complete"]) == ("completed", "trials", 9)
            assert study["progress"]["created"] == 9


def race(study_id: int, clients: list[httpx.Client]) -> list[int]:
    """The trials that were completed by workers that all start at once and go on until the study has ended."""
    barrier = threading.Barrier(len(clients))

    def work(number: int) -> list[int]:
        http, done, n = clients[number], [], number
        barrier.wait()
        while http.get(f"/studies/{study_id}").json()["state"] != "completed":
            for attempt in claim(http, f"worker-{number}", study_id, wait_s=0.2):
                n += 1
                place = f"/attempts/{attempt['attempt_id']}"
                if n % 3 == 0:
                    http.post(f"{place}/release").raise_for_status()
                elif n % 5 == 0:
                    http.post(f"{place}/fail", json={"reason": "child-died"}).raise_for_status()
                else:
                    http.post(f"{place}/complete", json={"metrics": {"y": 1.0}}).raise_for_status()
                    done.append(attempt["trial"])
        return done

    with ThreadPoolExecutor(len(clients)) as pool:
        return [trial for each in pool.map(work, range(len(clients))) for trial in each]


def test_cancel_racing_complete_leaves_one_final_state(http: httpx.Client) -> None:
    outcomes: Counter[tuple[int, int]] = Counter()
    for _ in range(ROUNDS):
        study_id = submit(http, budget={"trials": 1})
        attempt_id = claim(http, "w", study_id)[0]["attempt_id"]

        completed, cancelled = at_once(
            lambda place=f"/attempts/{attempt_id}/complete": http.post(place, json={"metrics": {"y": 1.0}}),
            lambda place=f"/studies/{study_id}/cancel": http.post(place),
        )

        outcome = (completed.status_code, cancelled.status_code)
        outcomes[outcome] += 1
        study = http.get(f"/studies/{study_id}").json()
        progress = study["progress"]
        assert (study["state"], progress["complete"], progress["cancelled"]) == {
            (200, 409): ("completed", 1, 0),
            (409, 200): ("cancelled", 0, 1),
        }[outcome]
    assert sum(outcomes.values()) == ROUNDS


def test_every_write_racing_cancel_is_whole_or_refused(http: httpx.Client, engine: Engine) -> None:
    """A report, a log and files that come with the cancel are stored with 2xx, or not at all."""
    study_id = submit(http, budget={"trials": 30})
    held = claim(http, "w", study_id, slots=30)

    answers = at_once(
        *[
            lambda place=f"/attempts/{attempt['attempt_id']}/reports": http.post(
                place, json={"reports": [{"step": 1, "metrics": {"y": 1.0}}]}
            )
            for attempt in held
        ],
        lambda: http.post(f"/studies/{study_id}/cancel"),
    )

    assert answers[-1].status_code == 200
    taken = {held[i]["attempt_id"] for i, answer in enumerate(answers[:-1]) if answer.status_code == 200}
    assert {answer.status_code for answer in answers} <= {200, 409}
    with engine.begin() as connection:
        stored = connection.execute(text("select attempt_id from tuner.reports")).scalars()
        assert {str(attempt_id) for attempt_id in stored} == taken
