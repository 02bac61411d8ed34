"""Our service as a user runs it on one machine: embedded PostgreSQL, control plane, maintenance, a worker of two slots.

Owns starting it warm, running a study to the point where everything can be read from MLflow, and reading it there.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks import processes, workload
from tuner import up
from tuner.client import Client
from tuner.settings import Settings
from tuner.tracking import artifacts, names
from tuner.tracking.rest import Mlflow, MlflowRefusedError
from tuner.wire import StudyOut

POLL_S = 0.05
TIMEOUT_S = 300.0
FIGURES = {"roc.png", "precision_recall.png", "confusion_matrix.png", "calibration.png"}
ENDED = {"completed", "failed", "cancelled"}


@dataclass(frozen=True)
class Timed:
    """A study's wall times since its submission.

    Attributes:
        study: when it had ended.
        trials_s: until the last trial's result was accepted.
        shown_s: until tracking was idle and the ten best trials' figures could be read.
        train_s: of every trial, by its own clock, summed.
    """

    study: StudyOut
    trials_s: float
    shown_s: float
    train_s: float


class Ours:
    """The running service."""

    def __init__(self, service: up.Service, client: Client, mlflow: Mlflow) -> None:
        self.service = service
        self.client = client
        self.mlflow = mlflow
        self._numbers = itertools.count()

    def run(self, *, trials: int, epochs: int, until_shown: bool = True) -> Timed:
        """Submits a study of the workload and waits for it."""
        spec = workload.spec(f"bench-{next(self._numbers)}", trials=trials, epochs=epochs)
        began = time.perf_counter()
        study = self.client.submit(spec)
        self._wait_for(lambda: self.client.study(study.id).state in ENDED)
        trials_s = time.perf_counter() - began
        shown_s = 0.0
        if until_shown:
            self._wait_for(lambda: self.client.study(study.id).tracking == "idle")
            for run_id in self._best_runs(study):
                self._wait_for(lambda run_id=run_id: self._figures(study, run_id) >= FIGURES)  # type: ignore[misc]
            shown_s = time.perf_counter() - began
        found = list(self.client.trials(study.id))
        assert [trial.state for trial in found] == ["complete"] * trials, [trial.error for trial in found]
        train_s = sum((trial.metrics or {})["train_s"] for trial in found)
        return Timed(self.client.study(study.id), trials_s, shown_s, train_s)

    def check(self, study: StudyOut, *, trials: int, epochs: int) -> None:
        """Raises unless MLflow has of every trial its params, a whole curve and a model with files."""
        experiment_id = self._experiment_id(study)
        runs = self._runs(study, max_results=1000)
        assert len(runs) == trials, f"{len(runs)} runs of {trials}"
        body = {"experiment_ids": [experiment_id], "max_results": 50}
        models = self.mlflow.post("logged-models/search", body).get("models", [])
        assert len(models) == min(trials, 50), f"{len(models)} models of {trials}"
        for run in runs:
            history = self.mlflow.get("metrics/get-history", run_id=run["info"]["run_id"], metric_key=workload.METRIC)[
                "metrics"
            ]
            assert len(history) == epochs, f"{len(history)} points of {epochs}"
            assert set(workload.SPACE) <= {param["key"] for param in run["data"]["params"]}
        for model in models:
            listed = self.mlflow.listing(artifacts.of_model(experiment_id, model["info"]["model_id"], ""))
            assert "MLmodel" in listed, listed

    def stop_maintenance(self) -> None:
        """From here on nothing is published."""
        process = self.service.processes.pop("maintenance")
        process.terminate()
        process.wait(20)

    def start_maintenance(self) -> None:
        self.service.start("maintenance", "--with-parent")

    def wait_until_idle(self) -> None:
        """Until whatever ran before is in MLflow, figures of the trials that are not among the best included."""
        for study in self.client.studies():
            self._wait_for(lambda study=study: self.client.study(study.id).tracking == "idle")  # type: ignore[misc]
            drawn = [] if study.spec.is_external else self._runs(study, max_results=1000)
            for run in drawn:
                run_id = run["info"]["run_id"]
                self._wait_for(lambda run_id=run_id: self._figures(study, run_id) >= FIGURES)  # type: ignore[misc]  # noqa: B023

    def _best_runs(self, study: StudyOut) -> list[str]:
        return [run["info"]["run_id"] for run in self._runs(study, max_results=10)]

    def _runs(self, study: StudyOut, *, max_results: int) -> list[dict[str, Any]]:
        """Of trials, the best first."""
        body = {
            "experiment_ids": [self._experiment_id(study)],
            "filter": "tags.`tuner.kind` = 'trial'",
            "order_by": ["metrics.`objective` DESC"],
            "max_results": max_results,
        }
        runs: list[dict[str, Any]] = self.mlflow.post("runs/search", body).get("runs", [])
        return runs

    def _experiment_id(self, study: StudyOut) -> str:
        name = names.experiment(study.name, study.id)
        found: str = self.mlflow.get("experiments/get-by-name", experiment_name=name)["experiment"]["experiment_id"]
        return found

    def _figures(self, study: StudyOut, run_id: str) -> set[str]:
        try:
            return set(self.mlflow.listing(artifacts.of_run(self._experiment_id(study), run_id, "figures")))
        except MlflowRefusedError:
            return set()

    @staticmethod
    def _wait_for(is_so: Any) -> None:
        deadline_s = time.monotonic() + TIMEOUT_S
        while not is_so():
            if time.monotonic() > deadline_s:
                raise TimeoutError("the service did not get there: see its logs")
            time.sleep(POLL_S)


@contextlib.contextmanager
def running() -> Iterator[Ours]:
    """Starts the service and warms it with a small study; its data is removed afterwards."""
    with processes.folder("ours") as data:
        settings = Settings(data=data, port=processes.free_port(), database_url=None, url=None, host="127.0.0.1")
        with (
            up.running(settings, slots=workload.SLOTS) as service,
            Client(settings.base_url, service.admin_key) as client,
            Mlflow(f"{settings.base_url}/mlflow", service.admin_key) as mlflow,
        ):
            ours = Ours(service, client, mlflow)
            ours.run(trials=2 * workload.SLOTS, epochs=5)
            yield ours
