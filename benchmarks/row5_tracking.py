"""Row 5: the wall of a study without tracking over the wall with it, for trials of 1 s.

Without: the maintenance process is stopped, so nothing is published and nothing drawn. With: everything can be read from
MLflow when the clock stops.
"""

from __future__ import annotations

from benchmarks import service, workload
from benchmarks.result import Ratio, Row, Side

ROUNDS = 5
TRIALS = 20
EPOCHS = workload.EPOCHS_OF_1_S


def measure(rounds: int, *, quick: bool) -> Row:
    trials = 6 if quick else TRIALS
    without = Side("without tracking", "s", [])
    tracked = Side("with tracking, until everything can be read", "s", [])
    accepted = Side("with tracking, until the last result", "s", [])
    with service.running() as running:
        for _ in range(rounds):
            timed = running.run(trials=trials, epochs=EPOCHS)
            tracked.values.append(timed.shown_s)
            accepted.values.append(timed.trials_s)
            running.wait_until_idle()
            running.stop_maintenance()
            without.values.append(running.run(trials=trials, epochs=EPOCHS, until_shown=False).trials_s)
            running.start_maintenance()
            running.wait_until_idle()
    row = Row(5, "wall without tracking / with", f"{workload.SLOTS} slots", [without, tracked, accepted])
    pairs = zip(without.values, tracked.values, strict=True)
    row.ratios.append(Ratio("without / with, until everything can be read", [a / b for a, b in pairs], 0.85))
    pairs = zip(without.values, accepted.values, strict=True)
    row.ratios.append(Ratio("without / with, until the last result", [a / b for a, b in pairs], None))
    row.notes.append(f"{trials} trials of {EPOCHS} epochs")
    return row
