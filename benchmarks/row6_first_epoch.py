"""Row 6: from the submission of a study to its first epoch's report, worker warm and idle, seen by a client over HTTP."""

from __future__ import annotations

import time

from benchmarks import service, workload
from benchmarks.result import Ratio, Row, Side

ROUNDS = 7
POLL_S = 0.01
PROMISED_S = 1.0


def measure(rounds: int, *, quick: bool) -> Row:  # noqa: ARG001 - it is quick
    seen = Side("submit to first epoch, seen by a client", "s", [])
    stamped = Side("submit to first epoch, by the server's stamps", "s", [])
    with service.running() as running:
        for number in range(rounds):
            running.wait_until_idle()
            spec = workload.spec(f"row6 {number}", trials=1, epochs=workload.EPOCHS_OF_0_3_S)
            began = time.perf_counter()
            study = running.client.submit(spec)
            while not (reports := _reports(running, study.id)):
                time.sleep(POLL_S)
            seen.values.append(time.perf_counter() - began)
            stamped.values.append((reports[0].reported_at - study.created_at).total_seconds())
    row = Row(6, "submit to the first epoch reported, warm worker", f"{workload.SLOTS} slots, idle", [seen, stamped])
    row.ratios.append(Ratio(f"{PROMISED_S:g} s / seen", [PROMISED_S / each for each in seen.values], 1.0))
    row.notes.append("reports are gathered for up to 0.1 s by the worker, which `seen` includes and the stamps do not")
    return row


def _reports(running: service.Ours, study_id: int) -> list:  # type: ignore[type-arg]
    if not any(True for _ in running.client.trials(study_id)):
        return []
    return running.client.reports(study_id, 0).items
