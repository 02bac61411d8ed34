"""Row 3: real trials of 0.3 s with everything tracked and a model each, against Optuna + MLflow and Ray Tune + MLflow.

All sides call the same train function with the same data and epochs, two trials at once. The peers log params, every
metric of every epoch and the model to a real MLflow server; we also keep logs, curves and four figures of the ten best.
"""

from __future__ import annotations

import uuid

from benchmarks import mlflow_server, peer_optuna, peer_ray, service, workload
from benchmarks.result import Row, Side

ROUNDS = 3
TRIALS = 12
EPOCHS = workload.EPOCHS_OF_0_3_S
PEERS = {  # name: the peer and its column
    "Optuna + MLflow as documented": (peer_optuna, "documented"),
    "Ray Tune + MLflow as documented": (peer_ray, "documented"),
    "Optuna + MLflow tuned": (peer_optuna, "tuned"),
    "Ray Tune + MLflow tuned": (peer_ray, "tuned"),
    "Optuna + MLflow tuned, pickle": (peer_optuna, "pickle"),
}


def measure(rounds: int, *, quick: bool) -> Row:
    trials = 6 if quick else TRIALS
    ours = Side("this service", "s a trial", [])
    accepted = Side("this service, until the last result is accepted", "s a trial", [])
    training = Side("training alone within this service's trials", "s a trial", [])
    peers = {name: Side(name, "s a trial", []) for name in PEERS}
    with mlflow_server.running() as server:
        for _ in range(rounds):
            for name, side in peers.items():
                side.values.append(_peer(server, name, trials) / trials)
            with service.running() as running:
                timed = running.run(trials=trials, epochs=EPOCHS)
                running.check(timed.study, trials=trials, epochs=EPOCHS)
            ours.values.append(timed.shown_s / trials)
            accepted.values.append(timed.trials_s / trials)
            training.values.append(timed.train_s / trials)
    processes_text = (
        f"{workload.SLOTS} trials at once on all sides; peers: an MLflow server of MLflow's default size on PostgreSQL"
    )
    row = Row(3, "real trials of 0.3 s, everything tracked, a model each", processes_text)
    row.sides = [ours, *peers.values(), accepted, training]
    for name, side in peers.items():
        target = 10.0 if "documented" in name else 1.3
        row.compare(f"{name} / this service", side, ours, None if "pickle" in name else target)
    row.notes += [
        f"{trials} trials of {EPOCHS} epochs a round; wall divided by trials, two at a time",
        "our clock stops when tracking is idle and the ten best trials' figures can be read; peers draw no figures",
        "peers' imports and first trials are on nobody's clock; our worker is warm",
        "pickle: not judged, since it is another product: loading such a model runs code",
    ]
    return row


def _peer(server: mlflow_server.Server, name: str, trials: int) -> float:
    peer, column = PEERS[name]
    study = f"{name} {uuid.uuid4().hex[:6]}"
    if peer is peer_optuna:
        wall_s = peer_optuna.measure(server, column=column, name=study, trials=trials, epochs=EPOCHS)
    else:
        wall_s = peer_ray.measure(column=column, kind="train", trials=trials, epochs=EPOCHS, server=server, name=study)
    server.check(study, trials=trials, epochs=EPOCHS, metric=workload.METRIC)
    return wall_s
