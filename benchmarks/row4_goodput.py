"""Row 4: goodput, the seconds of pure training over slots times wall, for trials of 0.3 s, 1 s and 5 s.

Pure training is told twice: by each trial's own clock (`train_s`), which also runs while a trial waits for a core that
our own processes hold, and as what one such trial takes alone on the idle machine, which forgives us nothing.
"""

from __future__ import annotations

import statistics

from benchmarks import processes, service, workload
from benchmarks.result import Ratio, Row, Side

ROUNDS = 5
SIZES = (  # seconds, epochs, trials, target
    (0.3, workload.EPOCHS_OF_0_3_S, 40, 0.5),
    (1.0, workload.EPOCHS_OF_1_S, 20, 0.8),
    (5.0, workload.EPOCHS_OF_5_S, 8, 0.93),
)


def measure(rounds: int, *, quick: bool) -> Row:
    sizes = [(seconds, epochs, 6, target) for seconds, epochs, _, target in SIZES[:2]] if quick else SIZES
    row = Row(4, "goodput", f"{workload.SLOTS} slots; control plane, maintenance and PostgreSQL on the same cores")
    alone = {epochs: _alone(epochs) for _, epochs, _, _ in sizes}
    timed: dict[int, list[service.Timed]] = {epochs: [] for _, epochs, _, _ in sizes}
    with service.running() as running:
        for _ in range(rounds):
            for _, epochs, trials, _ in sizes:
                timed[epochs].append(running.run(trials=trials, epochs=epochs))
                running.wait_until_idle()
    for seconds, epochs, trials, target in sizes:
        walls = [each.shown_s for each in timed[epochs]]
        by_trials = [each.train_s / (workload.SLOTS * each.shown_s) for each in timed[epochs]]
        by_alone = [trials * alone[epochs] / (workload.SLOTS * wall) for wall in walls]
        accepted = [each.train_s / (workload.SLOTS * each.trials_s) for each in timed[epochs]]
        row.sides.append(Side(f"{trials} trials of {epochs} epochs", "s", walls))
        row.sides.append(
            Side(
                f"one trial's train_s among others ({epochs} epochs)", "s", [e.train_s / trials for e in timed[epochs]]
            )
        )
        row.ratios.append(Ratio(f"{seconds:g} s trials, by train_s", by_trials, target))
        row.ratios.append(Ratio(f"{seconds:g} s trials, by a trial alone ({alone[epochs]:.2f} s)", by_alone, None))
        row.ratios.append(Ratio(f"{seconds:g} s trials, by train_s, until the last result", accepted, None))
    row.notes.append(
        "wall from submission until everything can be read from MLflow, the ten best trials' figures included"
    )
    return row


def _alone(epochs: int) -> float:
    """Seconds of training of one trial in a process of its own with nothing beside it."""
    with processes.folder("alone") as scratch:
        peer = processes.Peer("benchmarks.row4_goodput", {"epochs": epochs}, scratch / "log", OMP_NUM_THREADS="1")
        try:
            peer.wait_until_ready()
            peer.go()
            seconds: float = peer.answer()["train_s"]
            return seconds
        finally:
            peer.close()


def main() -> None:
    """The process that trains alone."""
    task = processes.task()
    import torch  # noqa: PLC0415

    torch.set_num_threads(1)
    workload.train({}, epochs=2, seed=0, report=lambda _step, _metrics: None)
    processes.say_ready(task)
    params = {"dropout": 0.2, "label_smoothing": 0.1}
    runs = [
        workload.train(params, epochs=task["epochs"], seed=seed, report=lambda _step, _metrics: None)
        for seed in range(3)
    ]
    processes.say_answer(task, {"train_s": statistics.median(run.facts["train_s"] for run in runs)})


if __name__ == "__main__":
    main()
