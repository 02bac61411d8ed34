"""Watching a study on a terminal: its state, best trial, rate and time left while it runs; what came out when it has ended.

Owns the look of both. Where stdout is no terminal it prints plain lines. The control plane may be restarted meanwhile.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tuner import show
from tuner.patience import until_answered
from tuner.show import console, duration
from tuner.wire import FinalOut, StudyOut, TrialOut

if TYPE_CHECKING:
    from tuner.client import Client

ENDED = ("completed", "failed", "cancelled")
POLL_S = 0.5
LINE_EVERY_S = 5.0
PUBLISH_TIMEOUT_S = 60.0


def watch(client: Client, study_id: int, *, quiet: bool = False) -> StudyOut:
    """Follows a study to its end and returns it; quiet: stdout stays empty."""
    if quiet:
        return _follow(client, study_id, lambda _study: None, Console(stderr=True, highlight=False))
    if not console.is_terminal:
        return _watch_lines(client, study_id)
    with Live(console=console, auto_refresh=False) as live:
        return _follow(client, study_id, lambda study: live.update(_live(study), refresh=True), console)


def _follow(client: Client, study_id: int, look: Callable[[StudyOut], None], told: Console) -> StudyOut:
    while True:
        study = until_answered(lambda: client.study(study_id), lambda text: told.print(text, soft_wrap=True))
        look(study)
        if study.state in ENDED:
            return study
        time.sleep(POLL_S)


def _watch_lines(client: Client, study_id: int) -> StudyOut:
    last = ("", -LINE_EVERY_S)

    def look(study: StudyOut) -> None:
        nonlocal last
        text, now_s = f"{study.name} {study.state}: {_tell(study)}", time.monotonic()
        if study.state in ENDED or (text != last[0] and now_s - last[1] >= LINE_EVERY_S):
            console.print(text, soft_wrap=True, markup=False)
            last = (text, now_s)

    return _follow(client, study_id, look, console)


def _live(study: StudyOut) -> Group:
    progress = study.progress
    left = "" if progress.remaining_s is None or study.state in ENDED else f", {duration(progress.remaining_s)} left"
    table = Table.grid(padding=(0, 2))
    for name, tells in (
        ("study", f"{study.name}: {study.state}"),
        (
            "trials",
            f"{_of_budget(study)}, {progress.running} running, {progress.pruned} pruned, {progress.failed} failed",
        ),
        ("best", _best(study) or "-"),
        ("rate", f"{_rate(study) or '-'} trials/min{left}"),
    ):
        table.add_row(Text(name, style="bold"), Text(tells))
    if progress.budget is None:
        return Group(table)
    return Group(table, ProgressBar(total=progress.budget, completed=progress.finished, width=60))


def _tell(study: StudyOut) -> str:
    progress = study.progress
    parts = [f"{_of_budget(study)} done", f"{progress.pruned} pruned", f"{progress.failed} failed"]
    best, rate = _best(study), _rate(study)
    if best is not None:
        parts.append(f"best {best}")
    if rate is not None:
        parts.append(f"{rate} trials/min")
    if study.state not in ENDED and progress.remaining_s is not None:
        parts.append(f"{duration(progress.remaining_s)} left")
    return ", ".join(parts)


def _of_budget(study: StudyOut) -> str:
    of = "" if study.progress.budget is None else f"/{study.progress.budget}"
    return f"{study.progress.finished}{of}"


def _best(study: StudyOut) -> str | None:
    best = study.best
    return None if best is None else f"{best.metric} {best.value:.4f} (trial {best.number})"


def _rate(study: StudyOut) -> str | None:
    """Finished trials a minute since the first claim."""
    progress = study.progress
    if not progress.elapsed_s or not progress.finished:
        return None
    return f"{60 * progress.finished / progress.elapsed_s:.3g}"


# ---- what came out ---------------------------------------------------------------------------------------------------


def summarise(client: Client, study: StudyOut, key: str) -> None:
    """Prints how a study ended, its best trials, where to see them, and how to use the best model.

    Args:
        client: to ask with.
        study: that has ended.
        key: a Python expression that gives the key: what is printed must not show it.
    """
    progress = study.progress
    after = "" if progress.elapsed_s is None else f" after {duration(progress.elapsed_s)}"
    counts = f"{progress.complete} complete, {progress.pruned} pruned, {progress.failed} failed"
    _print(f"{study.name}: {study.state}{after} ({study.end_reason}), {counts}")
    shown, found = _published(client, study)
    for trial in found[:3]:
        _print(f"best: trial {trial.number}, {_values(study, trial)} with {_params(trial)}")
    show.final(shown)
    _print("see it in a browser; these print a link that logs it in:")
    _print(f"  tuner link {study.links['mlflow']}")
    _print(f"  tuner link {study.links['dashboard']}")
    model = best_model(shown, found)
    if model is not None:
        _print(f"predict with {model.name}: tuner predict {study.id} rows.csv, or in Python, here on example rows:")
        for line in snippet(client.url, model.uri, key):
            _print(f"  {line}")


class BestModel(NamedTuple):
    """What people call it, and MLflow's address of it."""

    name: str
    uri: str


def best_model(study: StudyOut, best: Sequence[TrialOut]) -> BestModel | None:
    """The champion, or else the best trial's model; None while MLflow has neither."""
    if study.final is not None and study.final.model_uri is not None:
        return BestModel("the champion", study.final.model_uri)
    with_model = ((trial.number, trial.model_uri) for trial in best if trial.model_uri is not None)
    return next((BestModel(f"the model of trial {number}", uri) for number, uri in with_model), None)


def snippet(url: str, model_uri: str, key: str) -> list[str]:
    """Three lines of Python that load a model and predict with it."""
    return [
        f'import mlflow, os; os.environ["MLFLOW_TRACKING_TOKEN"] = {key}; mlflow.set_tracking_uri("{url}/mlflow")',
        f"model = mlflow.pyfunc.load_model({json.dumps(model_uri, ensure_ascii=False)})",  # a name may have quotes in it
        "print(model.predict(model.input_example))",
    ]


def _published(client: Client, study: StudyOut) -> tuple[StudyOut, list[TrialOut]]:
    """The study and its best trials, once MLflow has the model to use; or as they are, if it takes a minute or will have none."""
    deadline_s = time.monotonic() + PUBLISH_TIMEOUT_S
    while True:
        shown = until_answered(lambda: client.study(study.id), _print)
        found = until_answered(lambda: client.best(study.id), _print)
        wanted: Sequence[FinalOut | TrialOut] = found[:1]
        if shown.final is not None and shown.final.state == "complete":
            wanted = [shown.final]
        if all(each.model_uri for each in wanted) or shown.tracking == "idle" or time.monotonic() > deadline_s:
            return shown, found
        time.sleep(POLL_S)


def _values(study: StudyOut, trial: TrialOut) -> str:
    metrics = [objective.metric for objective in study.spec.objectives or []]
    return ", ".join(f"{name} {value:.5g}" for name, value in zip(metrics, trial.values or [], strict=False))


def _params(trial: TrialOut) -> str:
    return ", ".join(
        f"{name}={value:.5g}" if isinstance(value, float) else f"{name}={value}" for name, value in trial.params.items()
    )


def _print(text: str) -> None:
    console.print(text, soft_wrap=True, markup=False)
