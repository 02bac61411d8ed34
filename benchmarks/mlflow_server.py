"""The peers' MLflow server: `mlflow server` on a PostgreSQL of its own, over HTTP, as a team would run it.

Owns starting and ending it, and the look at what the peers logged.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
from sqlalchemy import create_engine, make_url, text

from benchmarks import processes
from tuner import embedded
from tuner.tracking.rest import Mlflow

START_TIMEOUT_S = 90.0


@dataclass(frozen=True)
class Server:
    """What runs.

    Attributes:
        url: of MLflow.
        optuna_url: of a second database of the PostgreSQL behind it, where Optuna keeps its studies.
    """

    url: str
    optuna_url: str

    def make_experiment(self, name: str) -> None:
        """Before processes race for it, which MLflow's client does not bear."""
        with Mlflow(self.url, "none") as mlflow:
            mlflow.post("experiments/create", {"name": name})

    def check(self, experiment: str, *, trials: int, epochs: int, metric: str) -> None:
        """Raises unless every trial has its params, its curve and a model with files."""
        with Mlflow(self.url, "none") as mlflow:
            experiment_id = mlflow.get("experiments/get-by-name", experiment_name=experiment)["experiment"][
                "experiment_id"
            ]
            body = {"experiment_ids": [experiment_id], "max_results": 1000}
            runs = mlflow.post("runs/search", body).get("runs", [])
            models = mlflow.post("logged-models/search", {**body, "max_results": 50}).get("models", [])
            assert len(runs) >= trials, f"{len(runs)} runs of {trials}"
            assert len(models) >= min(trials, 50), f"{len(models)} models of {trials}"
            for run in runs:
                history = mlflow.get("metrics/get-history", run_id=run["info"]["run_id"], metric_key=metric)
                points = len(history.get("metrics", []))
                assert points >= epochs, f"{points} points of {epochs}"
                assert run["data"]["params"]
            for model in models:
                path = f"{experiment_id}/models/{model['info']['model_id']}/artifacts"
                assert any(name.endswith("MLmodel") for name in mlflow.listing(path)), path


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Starts PostgreSQL and MLflow, with as many server processes as MLflow starts by itself."""
    with processes.folder("mlflow") as data, embedded.running(data / "postgres") as postgres:
        port = processes.free_port()
        url = f"http://127.0.0.1:{port}"
        with (data / "mlflow.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
                    *("--backend-store-uri", postgres.url, "--artifacts-destination", (data / "artifacts").as_uri()),
                ],
                env={
                    **os.environ,
                    "MLFLOW_DISABLE_TELEMETRY": "true",
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # fewer idle processes beside the peers
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            _wait(process, url)
            yield Server(url, another_database(postgres.url, "optuna"))
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def another_database(url: str, name: str) -> str:
    """Makes a database beside this one; gives its URL."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"create database {name}"))
    engine.dispose()
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/health", timeout=2.0, trust_env=False).is_success:
                return
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise RuntimeError("the peers' MLflow server did not start")
        time.sleep(0.1)
