"""`/studies` over real HTTP: submit, repeat, list, look, and everything that is refused."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from tests.studying import claim, complete, external
from trainers import catalog

DIGITS = {"name": "d", "dataset": "digits", "budget": {"trials": 3}}


def test_a_study_is_submitted_and_found(http: httpx.Client) -> None:
    made = http.post("/studies", json=DIGITS)

    assert made.status_code == 201
    study = made.json()
    assert made.headers["location"] == study["links"]["self"] == f"/api/v1/studies/{study['id']}"
    assert study["state"] == "queued"
    assert study["spec"]["trainer"] == "image-mlp"
    assert study["links"]["dashboard"] == f"/dashboard/studies/{study['id']}"
    assert http.get(f"/studies/{study['id']}").json() == study


def test_a_key_belongs_to_one_body(http: httpx.Client) -> None:
    headers = {"Idempotency-Key": "k"}
    http.post("/studies", json=external(name="a"), headers=headers)

    refused = http.post("/studies", json=external(name="b"), headers=headers)

    assert refused.status_code == 422
    assert refused.json()["type"] == "urn:tuner:problem:idempotency-mismatch"


def test_a_name_is_taken_once(http: httpx.Client) -> None:
    http.post("/studies", json=external(name="a"))

    refused = http.post("/studies", json=external(name="a"))

    assert refused.status_code == 409
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "urn:tuner:problem:name-taken"


def test_a_dry_run_completes_and_stores_nothing(http: httpx.Client) -> None:
    answer = http.post("/studies", json=DIGITS, params={"dry_run": "true"})

    assert answer.status_code == 200
    assert answer.json()["facts"]["task"] == "classification"
    assert answer.json()["facts"]["split"]["test"] == 359
    assert answer.json()["estimate_s"] is None
    assert http.get("/studies").json()["items"] == []


def test_a_dry_run_estimates_time_from_like_trials_and_the_slots_there_are(http: httpx.Client, engine: Engine) -> None:
    study_id = http.post("/studies", json=external()).json()["id"]
    for _ in range(3):
        complete(engine, claim(engine, study_id)[0], 1.0)
    with engine.begin() as connection:
        connection.execute(text("update tuner.trials set started_at = finished_at - interval '10 s'"))
        connection.execute(text("update tuner.studies set trainer = 'image-mlp@1'"))
        like = json.dumps(DIGITS)
        connection.execute(text("update tuner.studies set spec = :spec"), {"spec": like})
    http.put("/workers/w", json={"name": "n", "version": "1", "slots": 2, "devices": ["cpu"], "trainers": []})

    answer = http.post("/studies", json=DIGITS, params={"dry_run": "true"})

    assert answer.json()["estimate_s"] == pytest.approx(3 * 10 / 2)


def test_studies_are_listed_page_by_page_and_filtered(http: httpx.Client) -> None:
    for i in range(5):
        http.post("/studies", json=external(name=f"s{i}", tags={"team": "a" if i % 2 else "b"}))

    seen, cursor = [], None
    while True:
        page = http.get("/studies", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [study["name"] for study in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == ["s4", "s3", "s2", "s1", "s0"]
    assert [s["name"] for s in http.get("/studies", params={"tag": "team:a"}).json()["items"]] == ["s3", "s1"]
    assert [s["name"] for s in http.get("/studies", params={"name": "s2"}).json()["items"]] == ["s2"]
    assert http.get("/studies", params={"state": "running"}).json()["items"] == []
    assert http.get("/studies", params={"cursor": "nonsense"}).status_code == 422
    assert http.get("/studies", params={"state": "nonsense"}).status_code == 422


def test_trials_reports_best_and_importances(http: httpx.Client, engine: Engine) -> None:
    study_id = http.post("/studies", json=external(budget={"trials": 12})).json()["id"]
    for _ in range(12):
        attempt = claim(engine, study_id)[0]
        complete(engine, attempt, float(attempt.params["x"]) ** 2)  # type: ignore[arg-type]  # a float

    base = f"/studies/{study_id}"
    page = http.get(f"{base}/trials", params={"limit": 5}).json()
    assert [trial["number"] for trial in page["items"]] == [0, 1, 2, 3, 4]
    rest = http.get(f"{base}/trials", params={"cursor": page["next_cursor"]}).json()
    assert [trial["number"] for trial in rest["items"]] == [5, 6, 7, 8, 9, 10, 11]
    best = http.get(f"{base}/best").json()["items"][0]
    assert best["values"][0] == min(t["values"][0] for t in page["items"] + rest["items"])
    trial = http.get(f"{base}/trials/{best['number']}").json()
    assert trial["attempts"][0]["state"] == "succeeded"
    shares = http.get(f"{base}/importances").json()["importances"]
    assert sum(shares.values()) == pytest.approx(1.0)
    assert max(shares, key=shares.__getitem__) == "x"
    assert http.get(f"{base}/trials/99").status_code == 404
    assert http.get(f"{base}/trials/0/reports").json()["items"] == []
    assert http.get(f"{base}/trials/0/artifacts").json()["items"] == []


def test_cancel_and_delete(http: httpx.Client) -> None:
    study_id = http.post("/studies", json=external()).json()["id"]

    assert http.delete(f"/studies/{study_id}").status_code == 409
    assert http.post(f"/studies/{study_id}/cancel").json()["state"] == "cancelled"
    assert http.delete(f"/studies/{study_id}").status_code == 204
    assert http.get(f"/studies/{study_id}").status_code == 404
    assert http.delete(f"/studies/{study_id}").status_code == 404


def test_points_are_enqueued_into_a_running_study(http: httpx.Client) -> None:
    study_id = http.post("/studies", json=external()).json()["id"]

    assert http.post(f"/studies/{study_id}/points", json={"points": [{"x": 0.5}]}).json() == {"numbers": [0]}
    refused = http.post(f"/studies/{study_id}/points", json={"points": [{"x": 5.0}]})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/points/0/x"


def test_catalog(http: httpx.Client) -> None:
    trainers = {trainer["name"]: trainer for trainer in http.get("/trainers").json()["items"]}

    assert set(trainers) == set(catalog.TRAINERS)
    rate = next(h for h in trainers["image-mlp"]["hyperparameters"] if h["name"] == "learning_rate")
    assert rate["doc"]
    assert rate["low"] < rate["default"] < rate["high"]
    assert {d["name"] for d in http.get("/datasets").json()["items"]} >= {"digits", "wine"}


def with_(**changes: Any) -> bytes:
    return json.dumps(DIGITS | changes).encode()


SPACE = {"learning_rate": {"type": "float", "low": 0.1, "high": 0.2}}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"", ""),
        (b"{", ""),
        (b"nonsense", ""),
        (b"\xff\xfe", ""),
        (b"[1, 2]", ""),
        (b"null", ""),
        (b"[" * 10_000, ""),
        (b'{"a":' * 10_000, ""),
        (with_(name=5), "/name"),
        (with_(name=""), "/name"),
        (with_(name="x" * 10_000), "/name"),
        (with_(name="a\0b"), "/name"),
        (with_(name="12"), "/name"),
        (with_(name="a/b"), "/name"),
        (with_(budget={}), "/budget"),
        (with_(budget={"trials": "many"}), "/budget/trials"),
        (with_(budget={"trials": 1.5}), "/budget/trials"),
        (with_(budget={"trials": 0}), "/budget/trials"),
        (with_(budget={"trials": 10**30}), "/budget/trials"),
        (with_(budget={"trials": 3, "hours": float("inf")}), "/budget/hours"),
        (with_(budget={"trials": 3, "hours": float("nan")}), "/budget/hours"),
        (with_(dataset="mnist"), "/dataset"),
        (with_(dataset=["digits"]), "/dataset"),
        (with_(trainer="nothing"), "/trainer"),
        (with_(objectives=[{"metric": "speed"}]), "/objectives/0/metric"),
        (with_(objectives=[]), "/objectives"),
        (with_(surprise=1), "/surprise"),
        (with_(search_space={"learning_rate": {"type": "float", "low": 2, "high": 1}}), "/search_space/learning_rate"),
        (
            with_(search_space={"learning_rate": {"type": "float", "low": 0, "high": 1, "log": True}}),
            "/search_space/learning_rate",
        ),
        (with_(search_space={"width": {"type": "int", "low": "a", "high": 1}}), "/search_space/width/low"),
        (with_(search_space={"width": {"type": "spline"}}), "/search_space/width"),
        (with_(search_space={"width": {"type": "categorical", "choices": list(range(10**6))}}), ""),
        (
            with_(search_space={"width": {"type": "categorical", "choices": list(range(2_000))}}),
            "/search_space/width/choices",
        ),
        (with_(search_space={"a\0": SPACE["learning_rate"]}), "/search_space/a\0"),
        (with_(search_space={}), "/search_space"),
        (with_(sampler={"name": "magic"}), "/sampler"),
        (with_(sampler={"name": "tpe", "gamma": 1}), "/sampler/gamma"),
        (with_(sampler={"name": "tpe", "seed": -1}), "/sampler/seed"),
        (with_(pruner={"name": "threshold"}), "/pruner"),
        (with_(pruner={"name": "percentile", "percentile": 200}), "/pruner/percentile"),
        (with_(evaluation={"validation": 0.6, "test": 0.6}), "/evaluation"),
        (with_(evaluation={"folds": 0}), "/evaluation/folds"),
        (with_(dataset="wine", evaluation={"folds": 45}), "/evaluation/folds"),
        (with_(limits={"lease_s": 0}), "/limits/lease_s"),
        (with_(fixed={"epochs": "many"}), "/fixed/epochs"),
        (with_(notes="x" * 30_000), "/notes"),
        (with_(tags={"a": 1}), "/tags/a"),
        (with_(enqueue=[{"learning_rate": 99.0}]), "/enqueue/0/learning_rate"),
    ],
)
def test_bad_input_is_refused_with_a_pointer_and_stores_nothing(
    http: httpx.Client, engine: Engine, body: bytes, pointer: str | None
) -> None:
    refused = http.post("/studies", content=body, headers={"Content-Type": "application/json"})

    assert 400 <= refused.status_code < 500
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert problem["request_id"] == refused.headers["x-request-id"]
    if pointer is not None:
        assert pointer in [error["pointer"] for error in problem["errors"]], problem
        assert all(error["detail"] for error in problem["errors"])
    with engine.begin() as connection:
        assert connection.execute(text("select count(*) from tuner.studies")).scalar_one() == 0


@pytest.mark.parametrize(
    "path",
    ["/studies/0", "/studies/x", f"/studies/{10**30}", "/studies/1/trials/-1", "/studies/1/trials/x", "/nothing"],
)
def test_odd_paths_are_problems_too(http: httpx.Client, path: str) -> None:
    refused = http.get(path)

    assert refused.status_code in {404, 422}
    assert refused.headers["content-type"] == "application/problem+json"


def test_a_wrong_method_is_a_problem(http: httpx.Client) -> None:
    refused = http.patch("/studies")

    assert refused.status_code == 405
    assert refused.headers["content-type"] == "application/problem+json"


def test_the_openapi_document_describes_every_operation(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()

    operations = [op for path in document["paths"].values() for op in path.values()]
    assert len(operations) > 20
    assert all(operation["summary"] and operation["responses"] for operation in operations)
    assert "4XX" in operations[0]["responses"]
    assert document["security"] == [{"key": []}]
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
