"""The commands that change a study after it was submitted: `tuner pause|resume|cancel|finalize|extend|retry|set`.

Each names a study, asks once, and prints the study's state, or with --json the study.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner import terminal
from tuner.terminal import AsJson, StudyName

if TYPE_CHECKING:
    from tuner.wire import StudyOut

UNLIMITED = 0  # typed by people for no limit of trials at once


def pause(study: StudyName, as_json: AsJson = False) -> None:
    """Pause a study: nothing new starts, and what runs is given back."""
    with terminal.client() as client:
        paused = client.pause(client.study(study).id)
    running = paused.progress.running
    more = f"; {running} trials are being given back" if running else ""
    _show(paused, f"is paused{more}: `tuner resume {paused.id}`", as_json=as_json)


def resume(study: StudyName, as_json: AsJson = False) -> None:
    """Let a paused study go on."""
    with terminal.client() as client:
        resumed = client.resume(client.study(study).id)
    _show(resumed, f"is {resumed.state}.", as_json=as_json)


def cancel(study: StudyName, as_json: AsJson = False) -> None:
    """Cancel a study for good; its running trials stop within one epoch."""
    with terminal.client() as client:
        ended = client.cancel(client.study(study).id)
    _show(ended, f"is {ended.state}.", as_json=as_json)


def finalize(study: StudyName, as_json: AsJson = False) -> None:
    """Make a completed study's final model: fitted anew with validation rows, scored on the test part, registered."""
    with terminal.client() as client:
        shown = client.finalize(client.study(study).id)
    more = ", and has its final model." if shown.state == "completed" else f": `tuner watch {shown.id}`"
    _show(shown, f"is {shown.state}{more}", as_json=as_json)


def extend(
    study: StudyName,
    trials: Annotated[int | None, typer.Option(min=1, help="So many more trials.")] = None,
    hours: Annotated[float | None, typer.Option(min=0, help="So many more hours.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add to a study's budget; one that has ended goes on with all it has learnt."""
    if trials is None and hours is None:
        raise typer.BadParameter("say by how many --trials, --hours, or both")
    with terminal.client() as client:
        extended = client.extend(client.study(study).id, trials=trials, hours=hours)
    progress = extended.progress
    limits = [(progress.budget, "trials"), (progress.budget_hours, "hours")]
    budget = " and ".join(f"{limit:g} {unit}" for limit, unit in limits if limit is not None)
    _show(extended, f"is {extended.state}, with a budget of {budget}.", as_json=as_json)


def retry(
    study: StudyName,
    trials: Annotated[
        list[int] | None, typer.Argument(min=0, help="Numbers of failed trials; left out: all.", metavar="TRIAL")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try failed trials again: each as a new trial with the same parameters, beyond the budget."""
    with terminal.client() as client:
        answer = client.retry(client.study(study).id, trials or None)
    if as_json:
        terminal.print_json(answer.model_dump(mode="json"))
        return
    numbers = ", ".join(map(str, answer.numbers))
    _show(answer.study, f"is {answer.study.state}; what failed is tried again as {numbers}.", as_json=False)


def change(
    study: StudyName,
    priority: Annotated[int | None, typer.Option(help="Studies with a higher one are served first.")] = None,
    max_parallel: Annotated[int | None, typer.Option(min=UNLIMITED, help="Trials at once; 0: no limit.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a study's priority or parallelism while it runs; what runs already finishes."""
    changes: dict[str, Any] = {}
    if priority is not None:
        changes["priority"] = priority
    if max_parallel is not None:
        changes["max_parallel"] = None if max_parallel == UNLIMITED else max_parallel
    if not changes:
        raise typer.BadParameter("say what to set: --priority, --max-parallel, or both")
    with terminal.client() as client:
        changed = client.change(client.study(study).id, **changes)
    at_once = (
        "as many trials at once as there are slots"
        if changed.max_parallel is None
        else (f"up to {changed.max_parallel} trials at once")
    )
    _show(changed, f"has priority {changed.priority}, and runs {at_once}.", as_json=as_json)


def _show(study: StudyOut, told: str, *, as_json: bool) -> None:
    if as_json:
        terminal.print_json(study.model_dump(mode="json"))
    else:
        typer.echo(f"Study {study.id} ({study.name}) {told}")
