"""Row 2: trials that do nothing, through REST and PostgreSQL with two workers, against Ray Tune with OptunaSearch.

Our workers are two processes that claim, report and complete over HTTP; Ray's are its actors. TPE on both sides, one
float and one integer. Ray tracks nothing; our maintenance runs beside, as always, and publishes each trial to MLflow, and
is stopped for a second measurement that is shown and not judged.
"""

from __future__ import annotations

import time
import uuid

from benchmarks import peer_ray, processes, service, workload
from benchmarks.result import Row, Side
from tuner.client import Client
from tuner.wire_attempts import ClaimBody, CompleteBody, ReportBody

ROUNDS = 5
TRIALS = 40


def measure(rounds: int, *, quick: bool) -> Row:
    trials = 10 if quick else TRIALS
    ours = Side("this service", "ms a trial", [])
    untracked = Side("this service, maintenance stopped", "ms a trial", [])
    documented = Side("Ray Tune as documented", "ms a trial", [])
    tuned = Side("Ray Tune tuned", "ms a trial", [])
    for _ in range(rounds):
        for side in (documented, tuned):
            column = side.name.split()[-1]
            wall_s = peer_ray.measure(column=column, kind="trivial", trials=trials)
            side.values.append(1000 * wall_s / trials)
        with service.running() as running:
            ours.values.append(1000 * _ours(running, trials) / trials)
            running.wait_until_idle()
            running.stop_maintenance()
            untracked.values.append(1000 * _ours(running, trials) / trials)
    processes_text = (
        f"{workload.SLOTS} workers on all sides; ours: control plane, maintenance and PostgreSQL beside them"
    )
    row = Row(2, "trivial trials through REST and PostgreSQL", processes_text, [ours, documented, tuned, untracked])
    row.compare("Ray Tune as documented / this service", documented, ours, 20.0)
    row.compare("Ray Tune tuned / this service", tuned, ours, 1.0)
    row.compare("Ray Tune tuned / this service, maintenance stopped", tuned, untracked, None)
    row.notes.append(f"{trials} trials a round; Ray's clock starts when its first two trials have ended")
    return row


def _ours(running: service.Ours, trials: int) -> float:
    """Wall seconds; the two clients are connected before."""
    spec = {
        "name": f"row2 {uuid.uuid4().hex}",
        "trainer": "external",
        "objectives": [{"metric": "y", "direction": "minimize"}],
        "search_space": {
            "x": {"type": "float", "low": -1.0, "high": 1.0},
            "n": {"type": "int", "low": 1, "high": 9},
        },
        "sampler": {"name": "tpe", "seed": workload.SEED},
        "budget": {"trials": trials},
    }
    study = running.client.submit(spec)
    task = {"url": running.client.url, "key": running.service.admin_key, "study": study.id}
    with processes.folder("row2") as scratch:
        clients = [processes.Peer("benchmarks.row2_trivial", task, scratch / str(i)) for i in range(workload.SLOTS)]
        try:
            for client in clients:
                client.wait_until_ready()
            began = time.perf_counter()
            for client in clients:
                client.go()
            done = sum(client.answer()["trials"] for client in clients)
            wall_s = time.perf_counter() - began
        finally:
            for client in clients:
                client.close()
    assert done == trials == running.client.study(study.id).progress.complete
    return wall_s


def main() -> None:
    """One of the two workers."""
    task = processes.task()
    done = 0
    with Client(task["url"], task["key"]) as client:
        client.study(task["study"])
        processes.say_ready(task)
        while True:
            body = ClaimBody(request_id=uuid.uuid4().hex, worker_id=f"bench-{id(task)}", study_id=task["study"])
            held = client.claim(body)
            if not held:
                break
            y = float(held[0].params["x"]) ** 2 + float(held[0].params["n"])
            client.report(held[0].attempt_id, [ReportBody(step=1, metrics={"y": y})])
            client.complete(held[0].attempt_id, CompleteBody(metrics={"y": y}))
            done += 1
    processes.say_answer(task, {"trials": done})


if __name__ == "__main__":
    main()
