"""Disks that are full: a worker's, and the control plane's. Nothing is half written, and all goes on once there is room.

The disks are small ones in memory, which root may mount; the floor is tried without them, too.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from api.app import rest_app
from api.gate import Gate
from tests.acceptance.waiting import until
from tests.serving import serving
from tests.studying import external
from tuner import keys
from tuner.client import Client
from tuner.settings import Settings, child_environment

ADMIN, WORKER = "admin-key-for-this-test-only", "worker-key-for-this-test-only"
FLOOR_MB = 16
DISK_MB = 64


class Disk:
    """A small file system that can be filled, and emptied again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, but_mb: float = 0.0) -> None:
        """Leaves this much."""
        left = os.statvfs(self.folder)
        with self._filler.open("ab", buffering=0) as filler, contextlib.suppress(OSError):
            filler.write(bytes(max(0, left.f_bavail * left.f_frsize - int(but_mb * 2**20))))
            while not but_mb:
                filler.write(bytes(4096))

    def empty(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def control_plane(engine: Engine, data: Path, min_free_mb: int) -> Iterator[Client]:
    settings = Settings(data=data, min_free_mb=min_free_mb)
    ring = keys.ring(admin_key=ADMIN, worker_key=WORKER)
    gate = Gate(rest_app(settings, engine), ring=ring, port=1, max_body_bytes=4 * 2**20)
    with serving(gate) as url, Client(url, ADMIN) as client:
        yield client


@contextlib.contextmanager
def worker(url: str, log: Path, scratch: Path, min_free_mb: int) -> Iterator[None]:
    environment = child_environment(
        "TUNER_",
        TUNER_URL=url,
        TUNER_KEY=WORKER,
        TUNER_DATA=str(log.parent),
        TUNER_MIN_FREE_MB=str(min_free_mb),
        TMPDIR=str(scratch),
    )
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tuner.cli", "worker", "--slots", "1"],
            env=environment,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def submit(client: Client, **changes: Any) -> int:
    spec = {
        "name": f"digits {uuid.uuid4().hex[:8]}",
        "dataset": "digits",
        "fixed": {"epochs": 5},
        "pruner": {"name": "none"},
        "budget": {"trials": 2},
        "finalize": False,
    }
    return client.submit(spec | changes).id


def has_ended(client: Client, study_id: int) -> bool:
    return client.study(study_id).state in {"completed", "failed"}


def attempts(client: Client, study_id: int) -> list[str]:
    numbers = [trial.number for trial in client.trials(study_id)]
    return [attempt.state for number in numbers for attempt in client.trial(study_id, number).attempts]


# ---- the worker's ----------------------------------------------------------------------------------------------------


def test_a_floor_above_what_is_free_claims_nothing(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with control_plane(engine, tmp_path, 0) as client:
        study_id = submit(client)
        with worker(client.url, log, tmp_path, 10**9):
            until(lambda: "nothing is claimed" in log.read_text(), "it says so")
            assert client.study(study_id).state == "queued"


# ---- the control plane's ---------------------------------------------------------------------------------------------


def tar(size: int) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo("model")
        info.size = size
        archive.addfile(info, io.BytesIO(bytes(size)))
    return packed.getvalue()


@pytest.fixture(params=[0, FLOOR_MB], ids=["no space", "below the floor"])
def full(request: pytest.FixtureRequest, engine: Engine, disk: Disk) -> Iterator[tuple[httpx.Client, Disk]]:
    """REST on a disk that is full, with an attempt that has uploaded once before."""
    with control_plane(engine, disk.folder, request.param) as client:
        headers = {"Authorization": f"Bearer {ADMIN}"}
        with httpx.Client(base_url=f"{client.url}/api/v1", headers=headers, trust_env=False, timeout=60) as http:
            yield http, disk


def claimed(http: httpx.Client) -> str:
    http.post("/studies", json=external()).raise_for_status()
    body = {"request_id": uuid.uuid4().hex, "worker_id": "w", "trainers": ["external"]}
    return str(http.post("/claims", json=body).json()["attempts"][0]["attempt_id"])


def test_a_full_store_refuses_files_and_goes_on_reading(full: tuple[httpx.Client, Disk]) -> None:
    http, disk = full
    path = f"/attempts/{claimed(http)}/artifacts"
    http.post(path, content=tar(1000)).raise_for_status()
    disk.fill(but_mb=2)

    refused = http.post(path, content=tar(4 * 2**20))

    assert refused.status_code == 507
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["type"] == "urn:tuner:problem:no-room"
    assert "make some" in refused.json()["detail"]
    store = disk.folder / "artifacts" / "attempts"
    assert [file.name for file in store.rglob("*") if file.is_file()] == ["model"], "nothing half written"
    assert not list(store.glob(".*"))
    assert len(http.get("/studies/1/trials/0/artifacts/model").content) == 1000
    assert http.get("/studies").status_code == 200

    disk.empty()
    assert http.post(path, content=tar(4 * 2**20)).status_code == 201
    assert len(http.get("/studies/1/trials/0/artifacts/model").content) == 4 * 2**20


def test_a_full_store_refuses_data_sets(full: tuple[httpx.Client, Disk]) -> None:
    http, disk = full
    rows = b"a,y\n" + b"".join(b"%d,%d\n" % (i % 7, i % 2) for i in range(600_000))
    send = {"params": {"name": "d"}, "files": {"data": ("d.csv", rows)}, "data": {"target": "y"}}
    disk.fill(but_mb=1)

    refused = http.post("/datasets", **send)  # type: ignore[arg-type]

    assert refused.status_code == 507, refused.text
    assert [file.name for file in disk.folder.rglob("*") if file.is_file()] == ["filler"]
    disk.empty()
    assert http.post("/datasets", **send).status_code == 201  # type: ignore[arg-type]
