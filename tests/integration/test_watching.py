"""Watching a study over real HTTP while the control plane goes away and comes back."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine

from api.app import rest_app
from api.gate import Gate
from tests.acceptance.waiting import until
from tests.integration.conftest import ADMIN
from tests.serving import serving
from tests.studying import claim, complete, submit
from tuner import keys, watching
from tuner.client import Client, ClientError
from tuner.settings import Settings
from tuner.wire import StudyOut


def gate(engine: Engine, data: Path) -> Gate:
    ring = keys.ring(admin_key=ADMIN, worker_key="worker-key-for-this-test-only")
    return Gate(rest_app(Settings(data=data), engine), ring=ring, port=8642, max_body_bytes=2**20)


def test_watching_goes_on_when_the_control_plane_comes_back(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study_id = submit(engine, budget={"trials": 1})
    attempt = claim(engine)[0]
    ended: list[StudyOut] = []
    shown = ""

    def sees(text: str) -> bool:
        nonlocal shown
        shown += capsys.readouterr().out
        return text in shown

    with serving(gate(engine, tmp_path)) as url:
        client = Client(url, ADMIN, retry_for_s=0.1)
        thread = threading.Thread(target=lambda: ended.append(watching.watch(client, study_id)))
        thread.start()
        until(lambda: sees("running: 0/1 done"), "it is watched")
    until(lambda: sees("no answer from http"), "it says so")
    with serving(gate(engine, tmp_path), port=int(url.rpartition(":")[2])):
        until(lambda: sees("the control plane is back"), "it goes on")
        complete(engine, attempt, 0.5)
        thread.join(30)
    client.close()

    assert [study.state for study in ended] == ["completed"]
    assert sees("completed: 1/1 done")
    assert shown.count("no answer") == shown.count("is back") == 1


def test_watching_ends_where_the_control_plane_refuses(engine: Engine, tmp_path: Path) -> None:
    with (
        serving(gate(engine, tmp_path)) as url,
        Client(url, ADMIN) as client,
        pytest.raises(ClientError, match="no study"),
    ):
        watching.watch(client, 10**6)
