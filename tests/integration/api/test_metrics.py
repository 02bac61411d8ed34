"""`/metrics` as Prometheus reads it: what the rows say, and what this process has answered."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text

from tests.studying import claim, complete, fail, report, submit
from tuner.wire import WorkerBody


def scrape(http: httpx.Client) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels."""
    answer = http.get(str(http.base_url).removesuffix("/api/v1/") + "/metrics")
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_rows_are_counted_by_state(http: httpx.Client, engine: Engine) -> None:
    study_id = submit(engine, budget={"trials": 6})
    submit(engine)
    ended, failed, lost, running = claim(engine, study_id, slots=4)
    report(engine, ended, 1, 0.5)
    complete(engine, ended, 0.5)
    fail(engine, failed)
    with engine.begin() as connection:
        connection.execute(
            text("update tuner.attempts set state = 'lost', ended_at = now() where id = :id"), {"id": lost.attempt_id}
        )
    report(engine, running, 1, 0.5, **{"system/gpu_memory_mb": 100.0})
    report(engine, running, 2, 0.4, **{"system/gpu_memory_mb": 250.0})

    found = scrape(http)

    assert found["tuner_studies", "queued"] == found["tuner_studies", "running"] == 1
    assert [found["tuner_trials", state] for state in ("waiting", "running", "complete", "failed")] == [0, 2, 1, 1]
    assert [found["tuner_attempts", state] for state in ("running", "succeeded", "failed", "lost")] == [1, 1, 1, 1]
    assert found["tuner_publishing_backlog", "trials"] == 2
    assert found["tuner_publishing_backlog", "reports"] == 3
    assert found["tuner_gpu_memory_mb", "tester"] == 250


def test_slots_are_those_of_workers_that_are_there(http: httpx.Client) -> None:
    body = WorkerBody(name="here", version="1", slots=3, devices=["cpu"] * 3, trainers=[])
    for worker in ("stays", "leaves"):
        http.put(f"/workers/{worker}", json=body.model_dump()).raise_for_status()
    http.delete("/workers/leaves").raise_for_status()

    slots = {labels[1]: number for labels, number in scrape(http).items() if labels[0] == "tuner_slots"}

    assert slots == {"stays": 3}


def test_answers_are_counted(http: httpx.Client, engine: Engine) -> None:
    study_id = submit(engine)
    asked = {"worker_id": "w", "trainers": [], "study_id": study_id, "wait_s": 0}
    attempt = http.post("/claims", json=asked | {"request_id": "one"}).json()["attempts"][0]["attempt_id"]
    http.post("/claims", json=asked | {"request_id": "two", "study_id": None})
    for _ in range(3):
        http.post(f"/attempts/{attempt}/reports", json={}).raise_for_status()

    found = scrape(http)

    assert found["tuner_claims_total", "trials"] == 1
    assert found["tuner_claims_total", "none"] == 1
    assert found["tuner_report_seconds_count",] == 3


def test_it_needs_the_admin_key(http: httpx.Client) -> None:
    url = str(http.base_url).removesuffix("/api/v1/") + "/metrics"

    assert httpx.get(url, trust_env=False).status_code == 401
    worker = {"Authorization": "Bearer worker-key-for-this-test-only"}
    assert httpx.get(url, headers=worker, trust_env=False).status_code == 403
