"""Optuna with MLflow: a script of several processes that share a study on PostgreSQL.

Owns both columns. As documented: `MLflowCallback` with its decorator, `log_metrics` an epoch, `trial.report`, and
`mlflow.pytorch.log_model` as its guide has it. Tuned: one torch thread, one `log_batch` a trial, explicit requirements
and signature, nothing reported to Optuna between epochs. Tuned with pickle: the same, and the model in the format that
is quicker to write than MLflow's default (pt2, which is ours, too) and runs code when it is loaded.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from benchmarks import processes, workload
from benchmarks.mlflow_server import Server

STORAGE_TIMEOUT_S = 60.0


def measure(server: Server, *, column: str, name: str, trials: int, epochs: int) -> float:
    """Wall seconds from the first ask to the last process's end; processes are warm before."""
    import optuna  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.create_study(storage=server.optuna_url, study_name=name, direction="maximize")
    task = {"column": column, "name": name, "trials": trials // workload.SLOTS, "epochs": epochs}
    server.make_experiment(name)
    for seed in range(workload.SLOTS):
        server.make_experiment(f"{name} warm-up {seed}")
    with processes.folder("optuna") as scratch:
        peers = [
            processes.Peer(
                "benchmarks.peer_optuna",
                {**task, "seed": seed, "url": server.url, "storage": server.optuna_url},
                scratch / f"{seed}.log",
                MLFLOW_DISABLE_TELEMETRY="true",
            )
            for seed in range(workload.SLOTS)
        ]
        try:
            for peer in peers:
                peer.wait_until_ready()
            began = time.perf_counter()
            for peer in peers:
                peer.go()
            for peer in peers:
                peer.answer()
            return time.perf_counter() - began
        finally:
            for peer in peers:
                peer.close()


def main() -> None:
    """One process of the script."""
    task = processes.task()
    warnings.simplefilter("ignore")
    import mlflow  # noqa: PLC0415
    import optuna  # noqa: PLC0415
    import torch  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mlflow.set_tracking_uri(task["url"])
    run = _documented if task["column"] == "documented" else _tuned
    if run is _tuned:
        torch.set_num_threads(1)
    warm_up = optuna.create_study(study_name=f"{task['name']} warm-up {task['seed']}", direction="maximize")
    run(warm_up, {**task, "trials": 1})
    sampler = optuna.samplers.TPESampler(seed=task["seed"])
    study = optuna.load_study(study_name=task["name"], storage=task["storage"], sampler=sampler)
    processes.say_ready(task)
    run(study, task)
    processes.say_answer(task, {"trials": task["trials"]})


def _params(trial: Any) -> dict[str, float]:
    return {name: trial.suggest_float(name, low, high, log=log) for name, (low, high, log) in workload.SPACE.items()}


def _documented(study: Any, task: dict[str, Any]) -> None:
    import mlflow  # noqa: PLC0415
    from optuna_integration.mlflow import MLflowCallback  # noqa: PLC0415

    callback = MLflowCallback(tracking_uri=task["url"], metric_name=workload.OBJECTIVE[0])

    @callback.track_in_mlflow()
    def objective(trial: Any) -> float:
        def report(step: int, metrics: Mapping[str, float]) -> None:
            mlflow.log_metrics(dict(metrics), step=step)
            trial.report(metrics[workload.METRIC], step)

        result = workload.train(_params(trial), epochs=task["epochs"], seed=trial.number, report=report)
        mlflow.pytorch.log_model(result.network, name="model", input_example=model_input(result))
        return result.metrics[workload.METRIC]

    study.optimize(objective, n_trials=task["trials"], callbacks=[callback])


def _tuned(study: Any, task: dict[str, Any]) -> None:
    import mlflow  # noqa: PLC0415

    mlflow.set_experiment(study.study_name)

    def objective(trial: Any) -> float:
        params = _params(trial)
        log = TunedLog()
        with mlflow.start_run(run_name=str(trial.number)) as run:
            result = workload.train(params, epochs=task["epochs"], seed=trial.number, report=log.report)
            log.send(run.info.run_id, params)
            log_model_tuned(result, pickle=task["column"] == "pickle")
        return result.metrics[workload.METRIC]

    study.optimize(objective, n_trials=task["trials"])


class TunedLog:
    """Keeps a trial's epochs and sends them in one request."""

    def __init__(self) -> None:
        self._points: list[tuple[str, float, int, int]] = []

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        self._points += [(name, value, now, step) for name, value in metrics.items()]

    def send(self, run_id: str, params: Mapping[str, Any]) -> None:
        from mlflow import MlflowClient  # noqa: PLC0415
        from mlflow.entities import Metric, Param  # noqa: PLC0415

        client = MlflowClient()
        first, rest = self._points[:900], self._points[900:]
        client.log_batch(
            run_id, metrics=[Metric(*each) for each in first], params=[Param(k, str(v)) for k, v in params.items()]
        )
        for start in range(0, len(rest), 1000):
            client.log_batch(run_id, metrics=[Metric(*each) for each in rest[start : start + 1000]])


def log_model_tuned(result: Any, *, pickle: bool = False) -> None:
    """With all that MLflow would otherwise find out by itself."""
    import mlflow  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415
    from mlflow.models import infer_signature  # noqa: PLC0415

    x = model_input(result)
    mlflow.pytorch.log_model(
        result.network,
        name="model",
        serialization_format="pickle" if pickle else "pt2",
        input_example=None if pickle else x,  # to trace the network with
        signature=infer_signature(x, np.zeros((len(x), 10), np.float32)),
        pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in ("mlflow", "torch")],
    )


def model_input(result: Any) -> Any:
    """Two or more synthetic rows as the network takes them."""
    from trainers import preprocessing  # noqa: PLC0415

    return preprocessing.apply(result.preprocessing, result.example)


if __name__ == "__main__":
    main()
