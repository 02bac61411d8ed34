"""Folders of data sets without a row: removed by tidying once they are old; nothing else is."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

import httpx
from sqlalchemy import Engine

from api.app import rest_app
from api.gate import Gate
from tests.serving import serving
from tuner import keys
from tuner.maintenance import tidy
from tuner.settings import Settings

ADMIN = "admin-key-for-this-test-only"
ROWS = "a,y\n" + "".join(f"{i},{'no' if i % 2 else 'yes'}\n" for i in range(20))


def age(folder: Path) -> None:
    before = time.time() - tidy.KEEP_DRAFTS_HOURS * 3600 - 60
    for path in (*folder.iterdir(), folder):
        os.utime(path, (before, before))


def test_drafts_of_a_killed_server_are_removed_once_they_are_old(engine: Engine, tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    ring = keys.ring(admin_key=ADMIN, worker_key="worker-key-for-this-test-only")
    with serving(Gate(rest_app(settings, engine), ring=ring, port=1, max_body_bytes=1_000)) as url:
        answer = httpx.post(
            f"{url}/api/v1/datasets?name=kept",
            files={"data": ("d.csv", ROWS)},
            data={"target": "y"},
            headers={"Authorization": f"Bearer {ADMIN}"},
            trust_env=False,
            timeout=60,
        )
    assert answer.status_code == 201, answer.text
    store = settings.artifacts / "datasets"
    (kept,) = store.iterdir()
    old, young, growing = (store / str(uuid.uuid4()) for _ in range(3))
    for draft in (old, young, growing):
        draft.mkdir()
        (draft / "data.csv").write_text("half a fi")
    foreign = store / "a-backup"
    foreign.mkdir()
    for folder in (kept, old, growing, foreign):
        age(folder)
    (growing / "data.csv").write_text("half a file, and more")

    assert tidy.run_once(engine, settings.artifacts).drafts == 1

    assert set(store.iterdir()) == {kept, young, growing, foreign}
    assert tidy.run_once(engine, tmp_path / "elsewhere").drafts == 0
