"""The dashboard over real rows and real HTTP: what it shows, and that it writes notes alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from a2wsgi import WSGIMiddleware
from sqlalchemy import Engine, insert, text, update

from tests.integration.sampling import rows
from tests.serving import serving
from tuner.domain.states import TrialState
from tuner.sampling import board_page, dashboard
from tuner.sampling.storage import TunerStorage
from tuner.store import tables as t
from tuner.store.database import transaction

PRUNED_AT = 3


@pytest.fixture(scope="module")
def http(engine: Engine) -> Iterator[httpx.Client]:
    app: Any = WSGIMiddleware(dashboard.wsgi_app(engine), workers=2)
    with serving(_WithoutLifespan(app)) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


class _WithoutLifespan:
    """Answers the server's start and stop, which a2wsgi does not know."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self._app(scope, receive, send)
            return
        for moment in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{moment}.complete"})


@pytest.fixture(scope="module")
def study_id(engine: Engine) -> int:
    """Eight complete trials, then one pruned, failed, cancelled before it was sampled, running and waiting."""
    study_id = rows.study(
        engine,
        rows.FIVE,
        {"name": "random", "seed": 1},
        name="seen on the board",
        constraints=[{"metric": "latency_ms", "max": 5}],
    )
    for i in range(8):
        trial_id, asked = rows.start(engine, study_id)
        _attempt(engine, trial_id, f"worker-{i % 2}")
        for step in (1, 2):
            rows.report(engine, study_id, trial_id, step, asked.params["dropout"] / step)
        metrics = {"y": asked.params["dropout"], "latency_ms": 9.0 if asked.params["dropout"] < 0.2 else 1.0}
        rows.finish(engine, study_id, trial_id, [metrics["y"]], metrics=metrics)
    trial_id, _ = rows.start(engine, study_id)
    rows.report(engine, study_id, trial_id, PRUNED_AT, float("nan"))
    rows.finish(engine, study_id, trial_id, None, state=TrialState.PRUNED)
    trial_id, _ = rows.start(engine, study_id)
    rows.finish(engine, study_id, trial_id, None, state=TrialState.FAILED)
    with transaction(engine) as connection:
        trial_id = rows.trial(connection, study_id)
    rows.finish(engine, study_id, trial_id, None, state=TrialState.CANCELLED)
    trial_id, _ = rows.start(engine, study_id)
    rows.report(engine, study_id, trial_id, 1, 0.5)
    rows.enqueue(engine, study_id, {"dropout": 0.5})
    return study_id


def _attempt(engine: Engine, trial_id: int, worker: str) -> None:
    row = {
        "id": uuid.uuid4(),
        "trial_id": trial_id,
        "number": 1,
        "state": "succeeded",
        "worker_id": worker,
        "request_id": "r",
        "lease_s": 30,
        "lease_until": text("now()"),
        "ended_at": text("now()"),
    }
    with transaction(engine) as connection:
        connection.execute(insert(t.attempts).values(**row))


def _detail(http: httpx.Client, study_id: int) -> Any:
    answer = http.get(f"/api/studies/{study_id}", params={"after": 0})
    assert answer.status_code == 200
    return answer.json()


def _attrs(shown: dict[str, Any]) -> dict[str, str]:
    return {attr["key"]: attr["value"] for attr in shown["user_attrs"]}


def test_the_list_shows_the_study_and_its_state(http: httpx.Client, study_id: int) -> None:
    listed = {each["study_id"]: each for each in http.get("/api/studies").json()["study_summaries"]}

    assert listed[study_id]["study_name"] == "seen on the board"
    assert listed[study_id]["directions"] == ["minimize"]
    assert _attrs(listed[study_id]) == {"state": "running"}


def test_every_trial_is_shown_in_its_place_and_state(http: httpx.Client, study_id: int) -> None:
    trials = _detail(http, study_id)["trials"]

    assert [trial["number"] for trial in trials] == list(range(13))
    others = ["Pruned", "Fail", "Fail", "Running", "Waiting"]
    assert [trial["state"] for trial in trials] == ["Complete"] * 8 + others
    assert trials[0]["intermediate_values"][1]["step"] == 2
    assert trials[8]["intermediate_values"] == [{"step": PRUNED_AT, "value": "nan"}]
    assert trials[11]["intermediate_values"] == [{"step": 1, "value": 0.5}]
    assert trials[12]["fixed_params"] == [{"name": "dropout", "param_external_value": "0.5"}]


def test_a_trial_tells_its_worker_metrics_reason_and_run(http: httpx.Client, study_id: int) -> None:
    trials = _detail(http, study_id)["trials"]

    told = _attrs(trials[3])
    assert told["mlflow"] == f"/api/v1/studies/{study_id}/trials/3/mlflow"
    assert (told["state"], told["end reason"], told["worker"]) == ("complete", "complete", "worker-1")
    assert float(told["y"]) == trials[3]["values"][0]
    assert _attrs(trials[10])["state"] == "cancelled"


def test_the_best_trial_keeps_the_constraints(http: httpx.Client, study_id: int) -> None:
    detail = _detail(http, study_id)

    (best,) = detail["best_trials"]
    complete = [trial for trial in detail["trials"] if trial["state"] == "Complete"]
    feasible = [trial for trial in complete if trial["constraints"][0] <= 0]
    assert best["values"][0] == min(trial["values"][0] for trial in feasible)
    assert len(feasible) < len(complete)


def test_importances_and_csv_are_there(http: httpx.Client, study_id: int) -> None:
    (importances,) = http.get(f"/api/studies/{study_id}/param_importances").json()["param_importances"]
    csv = http.get(f"/csv/{study_id}")

    assert {each["name"] for each in importances} == set(rows.FIVE)
    assert csv.status_code == 200
    assert csv.text.count("\n") == 14


@pytest.mark.parametrize("target", ["", "/trial"])
def test_notes_are_written_and_read_back(http: httpx.Client, engine: Engine, study_id: int, target: str) -> None:
    trial = TunerStorage(engine).get_all_trials(study_id)[2]
    path = f"/api/studies/{study_id}/{trial._trial_id}/note" if target else f"/api/studies/{study_id}/note"
    body = "**bold** \x00 and ünïcode " * 200

    answers = [http.put(path, json={"version": version, "body": body}).status_code for version in (1, 1, 2)]

    assert answers == [204, 409, 204]
    detail = _detail(http, study_id)
    shown = detail["trials"][2] if target else detail
    assert shown["note"] == {"version": 2, "body": body}
    assert http.put("/api/studies/999999/note", json={"version": 1, "body": ""}).status_code == 404
    assert http.put(f"/api/studies/{study_id}/999999/note", json={"version": 1, "body": ""}).status_code == 404


def test_a_study_that_ended_says_so_and_new_trials_appear(http: httpx.Client, engine: Engine) -> None:
    study_id = rows.study(engine, {"x": rows.UNIT}, {"name": "random", "seed": 1}, name="ended")
    first, _ = rows.start(engine, study_id)
    board = dashboard.BoardStorage(engine)
    before = [trial.state.name for trial in board.get_all_trials(study_id)]
    rows.finish(engine, study_id, first, [0.5])
    rows.start(engine, study_id)
    with transaction(engine) as connection:
        ended = {"state": "completed", "end_reason": "trials", "ended_at": text("now()")}
        connection.execute(update(t.studies).where(t.studies.c.id == study_id).values(**ended))

    after = [trial.state.name for trial in board.get_all_trials(study_id)]
    listed = {each["study_id"]: each for each in http.get("/api/studies").json()["study_summaries"]}

    assert (before, after) == (["RUNNING"], ["COMPLETE", "RUNNING"])
    assert listed[study_id]["study_name"] == "ended (completed)"
    assert _attrs(listed[study_id]) == {"state": "completed", "end reason": "trials"}


def test_every_route_that_is_not_open_is_refused(http: httpx.Client, engine: Engine, study_id: int) -> None:
    """Also those that a newer dashboard may bring: what nobody listed is closed."""
    before = [(row.id, row.name) for row in _studies(engine)]
    opened = set()
    for method, rule in [*dashboard.routes(), ("DELETE", "/api/studies/<study_id:int>/brand_new")]:
        path = _filled(rule, study_id)
        body = {"study_name": "x", "directions": ["minimize"], "state": "Fail"}
        answer = http.request(method, path, json=None if method == "GET" else body)
        if answer.status_code != 403:
            opened.add((method, rule))
        else:
            assert "REST" in answer.json()["reason"]

    assert {method for method, _ in opened} == {"GET", "PUT"}
    assert sorted(rule for method, rule in opened if method == "PUT") == [
        "/api/studies/<study_id:int>/<trial_id:int>/note",
        "/api/studies/<study_id:int>/note",
    ]
    assert [(row.id, row.name) for row in _studies(engine)] == before
    assert not any(rule.startswith(("/artifacts", "/incompatible")) for _, rule in opened)


def _studies(engine: Engine) -> list[Any]:
    with transaction(engine) as connection:
        return list(connection.execute(t.studies.select().order_by(t.studies.c.id)))


def _filled(rule: str, study_id: int) -> str:
    for placeholder, value in {
        "<:re:(/.*)?>": "/studies/1",
        "<study_id:int>": str(study_id),
        "<trial_id:int>": "1",
        "<artifact_id:re:[0-9a-fA-F-]+>": "ab",
        "<history_id>": "1",
        "<plot_type>": "edf",
        "<filename:path>": "bundle.js",
    }.items():
        rule = rule.replace(placeholder, value)
    assert "<" not in rule
    return rule


@pytest.mark.parametrize("encoding", [None, "gzip", "identity"])
@pytest.mark.parametrize("path", ["/favicon.ico", "/static/bundle.js", "/dashboard", "/api/meta"])
def test_files_are_served_with_and_without_an_accept_encoding_header(
    http: httpx.Client, path: str, encoding: str | None
) -> None:
    request = http.build_request("GET", path)
    request.headers.pop("Accept-Encoding", None)
    if encoding is not None:
        request.headers["Accept-Encoding"] = encoding

    answer = http.send(request)

    assert answer.status_code == 200
    assert len(answer.content) > 100


def test_the_page_loads_what_hides_the_refused_buttons(http: httpx.Client) -> None:
    page = http.get("/dashboard/studies/1", headers={"If-None-Match": "*"})
    head = http.head("/dashboard")

    assert page.status_code == head.status_code == 200
    assert int(page.headers["Content-Length"]) == len(page.content) == int(head.headers["Content-Length"])
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    for path, kind in ((board_page.STYLE_PATH, "text/css"), (board_page.SCRIPT_PATH, "text/javascript")):
        assert f'"{path}"' in page.text
        file = http.get(path)
        assert file.status_code == 200
        assert file.headers["Content-Type"].startswith(kind)
    # the bundle still names its buttons as our two files do
    bundle = http.get("/static/bundle.js").text
    for label in ("rename study", "delete study", "skip trial", "delete artifact"):
        assert f'"aria-label":"{label}"' in bundle
        assert label in board_page.STYLE
    for label in ("Create", "Fail Trial"):
        assert f'children:"{label}"' in bundle
        assert label in board_page.SCRIPT


def test_a_study_of_an_optuna_script_is_shown_as_it_is(http: httpx.Client, engine: Engine) -> None:
    import optuna  # noqa: PLC0415 - the one test in which a user's script writes

    study = optuna.create_study(study_name="a script's own", storage=TunerStorage(engine))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)

    detail = _detail(http, study._study_id)

    assert detail["name"] == "a script's own"
    assert [trial["state"] for trial in detail["trials"]] == ["Complete"] * 3
    assert detail["trials"][0]["user_attrs"] == []
