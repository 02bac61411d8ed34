"""An MLflow of the user's own that is late, and goes away in the middle: studies go on, and afterwards it has all of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.waiting import ended, until
from tests.auditor import audit, audit_files, audit_mlflow
from tests.own_mlflow import Mlflow
from tests.whole import whole_service
from tuner import up
from tuner.client import Client
from tuner.store import database
from tuner.wire import StudyOut


@pytest.fixture
def mlflow(tmp_path: Path) -> Iterator[Mlflow]:
    server = Mlflow(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def service(mlflow: Mlflow, monkeypatch: pytest.MonkeyPatch) -> Iterator[up.Service]:
    monkeypatch.setenv("TUNER_MLFLOW_URL", mlflow.url)
    with whole_service() as running:
        yield running


def submit(client: Client, **changes: object) -> int:
    spec = {
        "name": f"digits {uuid.uuid4().hex[:8]}",
        "dataset": "digits",
        "fixed": {"epochs": 5},
        "sampler": {"name": "random", "seed": 3},
        "budget": {"trials": 4},
        "finalize": False,
    }
    return client.submit(spec | changes).id


def over(client: Client, study_id: int) -> StudyOut:
    until(lambda: client.study(study_id).state == "completed", "the study ends")
    return client.study(study_id)


def test_an_mlflow_of_ones_own_may_be_away(service: up.Service, client: Client, mlflow: Mlflow) -> None:
    study = over(client, submit(client))
    assert (study.progress.complete, study.tracking) == (4, "behind"), "it ended while MLflow had not begun"

    mlflow.start()
    first = ended(client, study.id)
    _assert_all_there(service, mlflow)

    longer = submit(client, fixed={"epochs": 100})
    until(lambda: client.study(longer).progress.running > 0, "it trains")
    mlflow.kill()
    study = over(client, longer)
    assert (study.progress.complete, study.tracking) == (4, "behind"), "it ended while MLflow was away"

    mlflow.start()
    ended(client, longer)
    _assert_all_there(service, mlflow)
    _assert_links_lead_there(service, client, mlflow, first)


def _assert_all_there(service: up.Service, mlflow: Mlflow) -> None:
    assert service.settings.database_url is not None
    engine = database.connect(service.settings.database_url)
    try:
        audit(engine)
        audit_files(engine, service.settings.artifacts)
        audit_mlflow(engine, mlflow.url, "none", base="")
    finally:
        engine.dispose()
    assert not service.settings.mlflow_artifacts.exists(), "nothing was put where our own MLflow would look"


def _assert_links_lead_there(service: up.Service, client: Client, mlflow: Mlflow, study: StudyOut) -> None:
    headers = {"Authorization": f"Bearer {service.admin_key}"}
    with httpx.Client(base_url=service.settings.base_url, headers=headers, trust_env=False) as http:
        assert http.get(study.links["mlflow"]).headers["Location"].startswith(f"{mlflow.url}/#/experiments/")
        best = client.best(study.id)[0]
        assert http.get(best.links["mlflow"]).headers["Location"].startswith(f"{mlflow.url}/#/experiments/")
        assert http.get("/mlflow/ajax?a=b").headers["Location"] == f"{mlflow.url}/ajax?a=b"
        assert httpx.get(f"{service.settings.base_url}/mlflow/", trust_env=False).status_code == 401
    run_id = client.trial(study.id, best.number).run_id
    assert run_id is not None
    assert client.mlflow_run(run_id)["info"]["status"] == "FINISHED", "our client goes on to where MLflow is"
    files = {file.name for file in mlflow.artifacts.rglob("*") if run_id in file.parts}
    assert {"curves.json", "log.txt"} <= files
    assert best.model_uri is not None
    models = {file.name for file in mlflow.artifacts.rglob("*") if best.model_uri.rpartition("/")[2] in file.parts}
    assert "MLmodel" in models
