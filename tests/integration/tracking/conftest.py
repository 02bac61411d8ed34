"""A real MLflow server for the session, and studies written straight into our tables."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

from tests.integration.tracking.rows import Rows
from tests.integration.tracking.shown import Shown
from tests.whole import free_port
from tuner.tracking.artifacts import Linking, Uploading
from tuner.tracking.rest import Mlflow
from tuner.tracking.trials import Target

START_S = 60.0


@dataclass(frozen=True)
class MlflowServer:
    """Where it answers, its database, and the folder of its artifacts."""

    url: str
    database_url: str
    artifacts: Path
    pid: int


@pytest.fixture(scope="session")
def mlflow_server(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """MLflow under /mlflow of a FastAPI app in a process of its own, on a database of its own."""
    admin = create_engine(make_url(postgres).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("create database mlflow_server template tuner"))
    url = make_url(postgres).set(database="mlflow_server").render_as_string(hide_password=False)
    folder = tmp_path_factory.mktemp("mlflow") / "artifacts"  # nobody else writes beside it
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("serve.py")), url, str(folder), str(port)]
    with (folder.parent / "mlflow.log").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=_environment())
    try:
        _wait(f"http://127.0.0.1:{port}/mlflow/health", process)
        yield MlflowServer(f"http://127.0.0.1:{port}/mlflow", url, folder, process.pid)
    finally:
        process.terminate()
        process.wait(20)
        with admin.connect() as connection:
            connection.execute(text("drop database mlflow_server with (force)"))
        admin.dispose()


def _environment() -> dict[str, str]:
    """Without the mark of a test, by which MLflow turns on checks of its own."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"MLflow did not answer at {url}")


@pytest.fixture
def mlflow(mlflow_server: MlflowServer) -> Iterator[Mlflow]:
    with Mlflow(mlflow_server.url, "a-key") as client:
        yield client


@pytest.fixture
def target(mlflow: Mlflow, tmp_path: Path) -> Target:
    return Target(
        mlflow=mlflow, artifacts=Uploading(mlflow), store=tmp_path / "artifacts", base_url="http://tuner.test:8642"
    )


@pytest.fixture
def linking(target: Target, mlflow_server: MlflowServer) -> Target:
    """Puts files into MLflow's folder itself."""
    return replace(target, artifacts=Linking(mlflow_server.artifacts))


@pytest.fixture
def rows(engine: Engine, tmp_path: Path) -> Rows:
    return Rows(engine, tmp_path / "artifacts")


@pytest.fixture
def shown(mlflow_server: MlflowServer, engine: Engine) -> Iterator[Shown]:
    theirs = create_engine(mlflow_server.database_url, connect_args={"options": "-csearch_path=mlflow"})
    yield Shown(engine, theirs, mlflow_server.artifacts)
    theirs.dispose()
