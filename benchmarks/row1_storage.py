"""Row 1: claim, ask and complete a trial of five parameters, persisted, against Optuna's RDBStorage on one PostgreSQL.

Both sides in this process, one after the other, each in a database of its own on the same server; a fresh study a round.
"""

from __future__ import annotations

import time
import uuid
import warnings

import optuna
from sqlalchemy import Engine

from benchmarks import processes
from benchmarks.mlflow_server import another_database
from benchmarks.result import Row, Side
from tuner import attempts, claims, embedded, studies
from tuner.domain.spec import StudySpec
from tuner.store import database, migrate
from tuner.wire_attempts import CompleteBody

ROUNDS = 5
TRIALS = 200
WARM_UP = 20
NAMES = ("a", "b", "c", "d", "e")


def measure(rounds: int, *, quick: bool) -> Row:
    trials = 40 if quick else TRIALS
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")
    ours = Side("this service", "ms a trial", [])
    peer = Side("Optuna RDBStorage", "ms a trial", [])
    with processes.folder("row1") as data, embedded.running(data / "postgres") as postgres:
        engine = database.connect(postgres.url)
        migrate.upgrade(engine)
        storage = optuna.storages.RDBStorage(another_database(postgres.url, "optuna"))
        _ours(engine, WARM_UP)
        _optuna(storage, WARM_UP)
        for _ in range(rounds):
            peer.values.append(_optuna(storage, trials))
            ours.values.append(_ours(engine, trials))
        engine.dispose()
        storage.engine.dispose()
    row = Row(1, "claim + ask + complete, five parameters, RandomSampler", "1 process on both sides", [ours, peer])
    row.compare("Optuna RDBStorage / this service", peer, ours, 8.0)
    row.notes.append(f"{trials} trials a round in a fresh study, each committed to disk before the next")
    return row


def _ours(engine: Engine, trials: int) -> float:
    """Milliseconds a trial; `ask` is within `claim`."""
    spec = {
        "name": f"row1 {uuid.uuid4().hex}",
        "trainer": "external",
        "objectives": [{"metric": "y", "direction": "minimize"}],
        "search_space": {name: {"type": "float", "low": 0.0, "high": 1.0} for name in NAMES},
        "sampler": {"name": "random", "seed": 1},
        "budget": {"trials": trials},
    }
    study_id = studies.submit(engine, StudySpec.model_validate(spec))
    began = time.perf_counter()
    for _ in range(trials):
        held = claims.claim(
            engine,
            worker_id="bench",
            request_id=uuid.uuid4().hex,
            slots=1,
            trainers=["external"],
            study_id=study_id,
        )
        assert held
        y = sum(float(held[0].params[name]) for name in NAMES)
        attempts.complete(engine, held[0].attempt_id, CompleteBody(metrics={"y": y}))
    return 1000 * (time.perf_counter() - began) / trials


def _optuna(storage: optuna.storages.RDBStorage, trials: int) -> float:
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=1))
    began = time.perf_counter()
    for _ in range(trials):
        trial = study.ask()
        y = sum(trial.suggest_float(name, 0.0, 1.0) for name in NAMES)
        study.tell(trial, y)
    return 1000 * (time.perf_counter() - began) / trials
