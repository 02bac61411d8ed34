"""Ray Tune with OptunaSearch, and with MLflow by `setup_mlflow`: one `Tuner.fit()` in a Ray of its own.

Owns both columns, for trials that do nothing and for trials that train. As documented: an actor a trial, `tune.report`
an epoch, `mlflow.log_metrics` an epoch, `mlflow.pytorch.log_model`. Tuned: `reuse_actors=True`, as many trials at once
as our slots, no loggers of Ray's own, one report and one `log_batch` a trial, explicit requirements and signature.
"""

from __future__ import annotations

import os
import signal
import time
import uuid
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import processes, workload
from benchmarks.mlflow_server import Server
from benchmarks.peer_optuna import TunedLog, log_model_tuned, model_input

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONWARNINGS": "ignore",
}
TUNED = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "TUNE_GLOBAL_CHECKPOINT_S": "3600"}


def measure(
    *, column: str, kind: str, trials: int, epochs: int = 0, server: Server | None = None, name: str = "trivial"
) -> float:
    """Wall seconds of `trials` trials within `Tuner.fit()`.

    As many trials as there are slots come first and are not counted: the clock starts when the last of them has ended,
    so that neither Ray's start nor the imports of reused actors are on it.
    """
    if server is not None:
        server.make_experiment(name)
    with processes.folder("ray") as scratch:
        task = {
            "column": column,
            "kind": kind,
            "trials": trials,
            "epochs": epochs,
            "name": name,
            "folder": str(scratch),
            "url": None if server is None else server.url,
        }
        more = TUNED if column == "tuned" else {}
        peer = processes.Peer("benchmarks.peer_ray", task, scratch / "log", **QUIET, **more)
        try:
            peer.wait_until_ready()
            peer.go()
            wall_s: float = peer.answer()["wall_s"]
            return wall_s
        finally:
            peer.close()


def main() -> None:
    """Ray's driver."""
    task = processes.task()
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # unwinds, and so shuts Ray down
    import ray  # noqa: PLC0415

    folder = Path(task["folder"])
    (folder / "ended").mkdir()
    ray.init(
        num_cpus=workload.SLOTS,
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=str(folder / "ray"),
        runtime_env={"env_vars": {"PYTHONPATH": str(Path.cwd())}},
    )
    try:
        processes.say_ready(task)
        processes.say_answer(task, {"wall_s": _fit(task, folder)})
    finally:
        ray.shutdown()


def _fit(task: dict[str, Any], folder: Path) -> float:
    from ray import tune  # noqa: PLC0415
    from ray.tune.search.optuna import OptunaSearch  # noqa: PLC0415

    is_tuned = task["column"] == "tuned"
    metric, mode = ("y", "min") if task["kind"] == "trivial" else (workload.OBJECTIVE[0], "max")
    more = {"max_concurrent_trials": workload.SLOTS, "reuse_actors": True} if is_tuned else {}
    tuner = tune.Tuner(
        {"trivial": _trivial, "documented": _documented, "tuned": _tuned}[
            "trivial" if task["kind"] == "trivial" else task["column"]
        ],
        param_space=_space(task["kind"]) | {"_task": {key: task[key] for key in ("folder", "url", "name", "epochs")}},
        tune_config=tune.TuneConfig(
            metric=metric,
            mode=mode,
            search_alg=OptunaSearch(seed=workload.SEED),
            num_samples=task["trials"] + workload.SLOTS,
            **more,
        ),
        run_config=tune.RunConfig(storage_path=str(folder / "results"), verbose=0),
    )
    found = tuner.fit()
    done = time.time()
    assert not found.errors, found.errors[0]
    ended = sorted(float(file.read_text()) for file in (folder / "ended").iterdir())
    assert len(ended) == task["trials"] + workload.SLOTS
    return done - ended[workload.SLOTS - 1]


def _space(kind: str) -> dict[str, Any]:
    from ray import tune  # noqa: PLC0415

    if kind == "trivial":
        return {"x": tune.uniform(-1.0, 1.0), "n": tune.randint(1, 10)}
    return {
        name: tune.loguniform(low, high) if log else tune.uniform(low, high)
        for name, (low, high, log) in workload.SPACE.items()
    }


def _ended(task: Mapping[str, Any]) -> None:
    (Path(task["folder"]) / "ended" / uuid.uuid4().hex).write_text(repr(time.time()))


# ---- the trials, in actors -------------------------------------------------------------------------------------------


def _trivial(config: dict[str, Any]) -> None:
    from ray import tune  # noqa: PLC0415

    tune.report({"y": config["x"] ** 2 + config["n"]})
    _ended(config["_task"])


def _documented(config: dict[str, Any]) -> None:
    from ray import tune  # noqa: PLC0415
    from ray.air.integrations.mlflow import setup_mlflow  # noqa: PLC0415

    config = dict(config)
    task = config.pop("_task")
    mlflow = setup_mlflow(config, experiment_name=task["name"], tracking_uri=task["url"])

    def report(step: int, metrics: Mapping[str, float]) -> None:
        mlflow.log_metrics(dict(metrics), step=step)
        tune.report({workload.OBJECTIVE[0]: metrics[workload.METRIC]})

    result = workload.train(config, epochs=task["epochs"], seed=0, report=report)
    mlflow.pytorch.log_model(result.network, name="model", input_example=model_input(result))
    mlflow.end_run()
    _ended(task)


def _tuned(config: dict[str, Any]) -> None:
    import mlflow  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from ray import tune  # noqa: PLC0415

    torch.set_num_threads(1)
    config = dict(config)
    task = config.pop("_task")
    mlflow.set_tracking_uri(task["url"])
    mlflow.set_experiment(task["name"])
    log = TunedLog()
    with mlflow.start_run() as run:
        result = workload.train(config, epochs=task["epochs"], seed=0, report=log.report)
        log.send(run.info.run_id, config)
        log_model_tuned(result)
    _ended(task)
    tune.report({workload.OBJECTIVE[0]: result.metrics[workload.METRIC]})


if __name__ == "__main__":
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    main()
