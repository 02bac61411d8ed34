"""What people see on a terminal: tables, a live progress line, links.

Owns the look. Takes what the client gives; prints; where stdout is no terminal it prints plain lines instead of a live view.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from tuner.wire import StudyOut, TrialOut, WorkerOut

if TYPE_CHECKING:
    from tuner.client import Client
    from tuner.settings import Settings
    from tuner.up import Service

ENDED = ("completed", "failed", "cancelled")
POLL_S = 0.5
LINE_EVERY_S = 5.0

console = Console(highlight=False)


def login_link(base_url: str, key: str, target: str = "/") -> str:
    """A link that logs the browser in and goes on to `target`, a path on this service."""
    return f"{base_url}/login?key={quote(key)}&next={quote(target, safe='/')}"


def ready(settings: Settings, key: str) -> None:
    console.print(f"[bold]tuner is ready[/] at {settings.base_url}, data in {settings.data.absolute()}")
    console.print("Open it in a browser (the link logs you in):")
    console.print(f"  {login_link(settings.base_url, key)}", soft_wrap=True)
    console.print("Submit a study from another terminal: tuner submit examples/digits.yaml --watch")
    console.print("Ctrl-C stops everything; the data stays.")


def serve_until_interrupted(service: Service) -> None:
    try:
        while True:
            time.sleep(1.0)
            service.restart_dead()
    except KeyboardInterrupt:
        console.print("\nStopping …")


# ---- watching --------------------------------------------------------------------------------------------------------


def watch(client: Client, study_id: int, *, quiet: bool = False) -> StudyOut:
    """Follows a study to its end and returns it."""
    if quiet:
        return _follow(client, study_id, lambda _study: None)
    if console.is_terminal:
        return _watch_live(client, study_id)
    return _watch_lines(client, study_id)


def _follow(client: Client, study_id: int, look: object) -> StudyOut:
    while True:
        study = client.study(study_id)
        look(study)  # type: ignore[operator]
        if study.state in ENDED:
            return study
        time.sleep(POLL_S)


def _watch_live(client: Client, study_id: int) -> StudyOut:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[tells]}"))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=None, tells="")

        def look(study: StudyOut) -> None:
            progress.update(
                task,
                description=f"[bold]{study.name}[/] {study.state}",
                total=study.progress.budget,
                completed=study.progress.finished,
                tells=_tell(study),
            )

        return _follow(client, study_id, look)


def _watch_lines(client: Client, study_id: int) -> StudyOut:
    last = ("", -LINE_EVERY_S)

    def look(study: StudyOut) -> None:
        nonlocal last
        text, now_s = f"{study.name} {study.state}: {_tell(study)}", time.monotonic()
        if study.state in ENDED or (text != last[0] and now_s - last[1] >= LINE_EVERY_S):
            console.print(text, soft_wrap=True)
            last = (text, now_s)

    return _follow(client, study_id, look)


def _tell(study: StudyOut) -> str:
    progress = study.progress
    of = f"/{progress.budget}" if progress.budget is not None else ""
    parts = [f"{progress.finished}{of} done", f"{progress.pruned} pruned", f"{progress.failed} failed"]
    if study.best is not None:
        parts.append(f"best {study.best.metric} {study.best.value:.4f} (trial {study.best.number})")
    if study.state not in ENDED and progress.remaining_s is not None:
        parts.append(f"{duration(progress.remaining_s)} left")
    if study.state in ENDED and progress.elapsed_s is not None:
        parts.append(f"ended after {duration(progress.elapsed_s)}: {study.end_reason}")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


# ---- tables ----------------------------------------------------------------------------------------------------------


def studies(found: Sequence[StudyOut]) -> None:
    table = new_table("id", "name", "state", "trials", "best", "data set", "trainer", "tracking")
    for study in found:
        progress = study.progress
        best_value = "" if study.best is None else f"{study.best.metric} {study.best.value:.4f}"
        of = "" if progress.budget is None else f"/{progress.budget}"
        table.add_row(
            str(study.id),
            study.name,
            study.state,
            f"{progress.finished}{of}",
            best_value,
            study.spec.dataset or "",
            study.spec.trainer or "",
            study.tracking,
        )
    console.print(table)


def trials(study: StudyOut, listed: Sequence[TrialOut]) -> None:
    names = list(study.spec.search_space or {})
    metrics = [objective.metric for objective in study.spec.objectives or []]
    table = new_table("trial", "state", *metrics, *names, "duration")
    for trial in listed:
        values = [f"{value:.4f}" for value in trial.values or []] or [""] * len(metrics)
        params = [_value(trial.params.get(name, "")) for name in names]
        took = "" if trial.duration_s is None else f"{trial.duration_s:.1f} s"
        table.add_row(str(trial.number), trial.state, *values, *params, took)
    console.print(table)


def best(study: StudyOut, listed: Sequence[TrialOut]) -> None:
    """The best trials side by side: parameters above, metrics below."""
    compare([(f"trial {trial.number}", trial) for trial in listed], title=study.name)


def compare(named: Sequence[tuple[str, TrialOut]], title: str) -> None:
    """Trials as columns."""
    table = new_table(title, *(name for name, _trial in named))
    params = sorted({name for _name, trial in named for name in trial.params})
    for name in params:
        table.add_row(name, *(_value(trial.params.get(name, "")) for _name, trial in named))
    table.add_section()
    metrics = sorted({name for _name, trial in named for name in trial.metrics or {}})
    for name in metrics:
        table.add_row(name, *(_value((trial.metrics or {}).get(name, "")) for _name, trial in named))
    console.print(table)


def importances(shares: dict[str, float]) -> None:
    table = new_table("parameter", "share", "")
    for name, share in shares.items():
        table.add_row(name, f"{share:.3f}", "█" * round(share * 30))
    console.print(table)


def workers(listed: Sequence[WorkerOut]) -> None:
    table = new_table("id", "name", "alive", "busy", "slots", "devices", "version")
    for worker in listed:
        alive = "yes" if worker.alive else "no"
        devices = ", ".join(sorted(set(worker.devices)))
        table.add_row(worker.id, worker.name, alive, str(worker.busy), str(worker.slots), devices, worker.version)
    console.print(table)


def new_table(*columns: str) -> Table:
    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column)
    return made


def _value(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
