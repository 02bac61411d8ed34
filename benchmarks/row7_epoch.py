"""Row 7: one training epoch, data in memory, CPU, against the usual DataLoader loop with the same model and batch.

Both sides in one fresh process of one torch thread, in turn; validation is on neither clock. The usual loop is the one of
PyTorch's tutorials: TensorDataset, DataLoader with shuffle, AdamW, cross-entropy, `loss.item()` for the running loss.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

from benchmarks import processes, workload
from benchmarks.result import Row, Side

ROUNDS = 7
EPOCHS = 20


def measure(rounds: int, *, quick: bool) -> Row:
    with processes.folder("row7") as scratch:
        task = {"rounds": rounds, "epochs": 5 if quick else EPOCHS}
        peer = processes.Peer("benchmarks.row7_epoch", task, scratch / "log", OMP_NUM_THREADS="1")
        try:
            peer.wait_until_ready()
            peer.go()
            found = peer.answer()
        finally:
            peer.close()
    ours = Side("trainers.loop", "ms an epoch", found["ours"])
    usual = Side("DataLoader loop", "ms an epoch", found["usual"])
    fused = Side("DataLoader loop, fused AdamW, no loss.item()", "ms an epoch", found["fused"])
    row = Row(7, "one training epoch, data in memory, CPU", "1 process, 1 thread on both sides", [ours, usual, fused])
    row.compare("DataLoader loop / trainers.loop", usual, ours, 1.7)
    row.compare("fused DataLoader loop / trainers.loop", fused, ours, None)
    row.notes.append(
        f"{found['rows']} rows of digits, batch {found['batch']}; median of {task['epochs']} epochs a round"
    )
    return row


def main() -> None:
    """The process in which both loops run."""
    task = processes.task()
    import torch  # noqa: PLC0415

    torch.set_num_threads(1)
    _ours(3)
    _usual(3, fused=False)
    processes.say_ready(task)
    found: dict[str, Any] = {"ours": [], "usual": [], "fused": []}
    for _ in range(task["rounds"]):
        found["usual"].append(_usual(task["epochs"], fused=False))
        found["fused"].append(_usual(task["epochs"], fused=True))
        found["ours"].append(_ours(task["epochs"]))
    data, config = _data()
    processes.say_answer(task, {**found, "rows": len(data.x_train), "batch": config.batch_size})


def _data() -> tuple[Any, Any]:
    from trainers import catalog  # noqa: PLC0415
    from trainers.data import on_device  # noqa: PLC0415

    train, validation = workload.parts()
    return on_device.prepare(train, validation, "cpu"), catalog.build_config(
        catalog.get(workload.TRAINER), {}, "classification"
    )


def _ours(epochs: int) -> float:
    """Milliseconds, by the trainer's own `samples_per_s`, which is of training alone."""
    speeds = []

    def report(_step: int, metrics: Mapping[str, float]) -> None:
        speeds.append(metrics["samples_per_s"])

    workload.train({}, epochs=epochs, seed=0, report=report)
    rows = len(_data()[0].x_train)
    return statistics.median(1000 * rows / speed for speed in speeds)


def _usual(epochs: int, *, fused: bool) -> float:
    import torch  # noqa: PLC0415
    from torch import nn  # noqa: PLC0415
    from torch.utils.data import DataLoader, TensorDataset  # noqa: PLC0415

    from trainers import networks  # noqa: PLC0415

    torch.manual_seed(0)
    data, config = _data()
    _, channels, height, width = data.x_train.shape
    model = networks.mlp(channels * height * width, data.outputs, config)
    loader = DataLoader(TensorDataset(data.x_train, data.y_train), batch_size=config.batch_size, shuffle=True)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused
    )
    times = []
    for _ in range(epochs):
        began = time.perf_counter()
        model.train()
        running = torch.zeros(()) if fused else 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            running += (loss.detach() if fused else loss.item()) * len(x)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


if __name__ == "__main__":
    main()
