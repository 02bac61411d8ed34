"""What people see on a terminal: tables and links.

Owns the look. Takes what the client gives; prints.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tuner.wire import FinalOut, StudyOut, TrialOut, WorkerOut

if TYPE_CHECKING:
    from tuner.settings import Settings
    from tuner.up import Service

console = Console(highlight=False, markup=False)  # what is shown has names in it that other people chose


def login_link(base_url: str, key: str, target: str = "/") -> str:
    """A link that logs the browser in and goes on to `target`, a path on this service."""
    return f"{base_url}/login?key={quote(key)}&next={quote(target, safe='/')}"


def ready(settings: Settings, key: str) -> None:
    ready_at = Text.assemble(("tuner is ready", "bold"), f" at {settings.base_url}, data in {settings.data.absolute()}")
    console.print(ready_at)
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
    table = new_table("trial", "state", *metrics, *names, "duration", "end")
    for trial in listed:
        values = [f"{value:.4f}" for value in trial.values or []] or [""] * len(metrics)
        params = [shown_value(trial.params.get(name, "")) for name in names]
        took = "" if trial.duration_s is None else f"{trial.duration_s:.1f} s"
        table.add_row(str(trial.number), trial.state, *values, *params, took, _end(trial))
    console.print(table)


def _end(trial: TrialOut) -> Text:
    """Why it ended, where its state alone does not tell; as it stands, since it may hold brackets."""
    tells_more = trial.end is not None and trial.end.text != trial.state
    return Text(trial.end.text if tells_more and trial.end is not None else "")


def best(study: StudyOut, listed: Sequence[TrialOut]) -> None:
    """The best trials side by side: parameters above, metrics below."""
    compare([(f"trial {trial.number}", trial) for trial in listed], title=study.name)


def final(study: StudyOut) -> None:
    """The final model on the test part, beside the trivial answer; nothing for a study that has none."""
    if study.final is None:
        return
    console.print(Text(final_line(study.final)), soft_wrap=True)
    if study.final.metrics is None:
        return
    table = new_table("on the test part", "final model", "95 % interval", "trivial answer")
    for name, score in study.final.metrics.items():
        trivial = (study.final.baseline or {}).get(name, "")
        table.add_row(
            name,
            shown_value(score.value),
            f"{shown_value(score.low)} to {shown_value(score.high)}",
            shown_value(trivial),
        )
    console.print(table)


def final_line(final: FinalOut) -> str:
    """What there is of it, in one line."""
    of = f"of trial {final.trial}" + ("" if final.epochs is None else f", {final.epochs} epochs")
    if final.state == "failed":
        first = (final.reason or "").partition("\n")[0]
        return f"The final model {of} could not be made ({first}): `tuner finalize` tries again"
    if final.state != "complete":
        return f"The final model {of} is {final.state}"
    where = (
        "MLflow does not show it yet"
        if final.model is None
        else f"{final.model_uri} (version {final.model_version} of {final.model})"
    )
    return f"The final model {of}: {where}"


def compare(named: Sequence[tuple[str, TrialOut]], title: str) -> None:
    """Trials as columns."""
    table = new_table(title, *(name for name, _trial in named))
    params = sorted({name for _name, trial in named for name in trial.params})
    for name in params:
        table.add_row(name, *(shown_value(trial.params.get(name, "")) for _name, trial in named))
    table.add_section()
    metrics = [with_spread(trial.metrics or {}) for _name, trial in named]
    for name in sorted({name for shown in metrics for name in shown}):
        table.add_row(name, *(shown.get(name, "") for shown in metrics))
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


def with_spread(metrics: Mapping[str, float]) -> dict[str, str]:
    """Metrics as they are shown: with the standard deviation over folds behind the mean, where there are folds."""
    spread = {name: metrics.get(f"{name}_std") for name in metrics}
    return {
        name: shown_value(value) if spread[name] is None else f"{shown_value(value)} ± {spread[name]:.2g}"
        for name, value in metrics.items()
        if name.removesuffix("_std") == name or name.removesuffix("_std") not in metrics
    }


def shown_value(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
