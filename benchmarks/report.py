"""The table as people read it: on a terminal and as `docs/benchmarks.md`."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.result import Ratio, Row

HOW = {
    1: "Both sides run in one process against one embedded PostgreSQL, each in a database of its own: `claims.claim` and "
    "`attempts.complete` here, `study.ask`, five `suggest_float` and `study.tell` there. A fresh study a round; every "
    "trial is committed to disk.",
    2: "Two processes claim, report and complete an external study over HTTP; Ray Tune runs a trainable that reports once. "
    "TPE on both sides. Ray's start, and its first two trials, are not on its clock.",
    3: "Digits, `image-mlp`, 20 epochs, two trials at once. All sides call the same train function. Peers log params, all "
    "metrics of all epochs and the model over HTTP to an `mlflow server` on PostgreSQL. *As documented*: "
    "`MLflowCallback.track_in_mlflow` or `setup_mlflow`, `mlflow.log_metrics` and `trial.report` or `tune.report` an epoch, "
    "`mlflow.pytorch.log_model(model, name=…, input_example=…)`. *Tuned*: one torch thread, one `log_batch` a trial, "
    "explicit `pip_requirements` and `signature`, `reuse_actors=True`, nothing reported between epochs. Peers' processes are "
    "warm before their clock starts. Our clock stops when tracking is idle and the figures of the ten best trials can be "
    "read; afterwards every trial's curve and model are looked at, on all sides.",
    4: "Training seconds of all trials over slots times wall, from submission until everything can be read from MLflow. By "
    "`train_s`, the trial's own clock; and, more strictly, by what one such trial takes alone on the idle machine.",
    5: "The same study with the maintenance process stopped, until the last result, over the study with everything tracked, "
    "until it can be read.",
    6: "A client submits a study of one trial and asks every 10 ms for its reports; worker warm, nothing else runs.",
    7: "One process with one torch thread; the trainer's own training time of an epoch against the loop of PyTorch's "
    "tutorials over a `DataLoader` on the same tensors, the same network, batch and optimizer. No validation on either clock.",
}


def heading(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return (
        f"{about['date']}: {about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB, {about['system']}, "
        f"Python {about['python']}; {versions}; load before the start {about['load_before']}"
    )


def details(row: Row, took_s: float) -> str:
    lines = [f"\nRow {row.number}: {row.what} ({took_s:.0f} s)", f"  {row.processes}"]
    lines += [f"  {side.name}: {_spread(side.values)} {side.unit}" for side in row.sides]
    lines += [f"  {ratio.name}: {_spread(ratio.values)}{_wanted(ratio)}" for ratio in row.ratios]
    lines += [f"  - {note}" for note in row.notes]
    return "\n".join(lines)


def table(rows: list[Row]) -> str:
    lines = ["", f"{'row':<4}{'what':<62}{'median':>9}{'min-max':>18}{'at least':>10}  met"]
    for row in rows:
        lines += [
            f"{row.number:<4}{ratio.name[:60]:<62}{ratio.median:>9.2f}{_range(ratio.values):>18}{_target(ratio):>10}"
            f"  {_met(ratio)}"
            for ratio in row.ratios
        ]
    return "\n".join(lines)


def page(about: dict[str, Any], rows: list[Row]) -> str:
    """`docs/benchmarks.md`."""
    lines = [
        "# Speed",
        "",
        "Written by `make bench`; do not edit. Each row is a ratio of two sides that run in turn in one job; the larger",
        "the better for this service. Medians over rounds, least and greatest in brackets.",
        "",
        heading(about) + ".",
        "",
        "| row | what | ratio | at least | met |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        lines += [
            f"| {row.number} | {row.what}: {ratio.name} | {_spread(ratio.values)} | {_target(ratio)} | {_met(ratio)} |"
            for ratio in row.ratios
        ]
    lines += ["", "A row without a target is shown for honesty and not judged.", "", "## How each row is measured", ""]
    for row in rows:
        lines += [
            f"**Row {row.number}, {row.what}.** {HOW[row.number]} {row.processes[0].upper() + row.processes[1:]}.",
            "",
        ]
        lines += ["| side | median (least-greatest) | rounds |", "|---|---|---|"]
        lines += [f"| {side.name} | {_spread(side.values)} {side.unit} | {len(side.values)} |" for side in row.sides]
        lines += ["", *(f"- {note}" for note in row.notes), ""]
    return "\n".join(lines).rstrip() + "\n"


def _spread(values: list[float]) -> str:
    return f"{_number(statistics.median(values))} ({_range(values)})"


def _range(values: list[float]) -> str:
    return f"{_number(min(values))}-{_number(max(values))}"


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _wanted(ratio: Ratio) -> str:
    return "" if ratio.target is None else f", at least {ratio.target:g}: {_met(ratio)}"


def _target(ratio: Ratio) -> str:
    return "" if ratio.target is None else f"{ratio.target:g}"


def _met(ratio: Ratio) -> str:
    return {None: "", True: "yes", False: "NO"}[ratio.is_met]
