"""The commands that carry studies between the service and elsewhere: `tuner export`, `tuner import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tuner import cli_seeing, terminal
from tuner.terminal import AsJson, StudyName


def export_(
    study: StudyName,
    url: Annotated[
        str | None, typer.Argument(help="An Optuna storage, for example sqlite:///digits.db.", metavar="URL")
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(file_okay=False, help="A new folder for TensorBoard, in place of URL.", metavar="DIR")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a study's finished trials into an Optuna storage, or its curves and hyperparameters for TensorBoard."""
    if tensorboard is not None and url is None:
        cli_seeing.export_tensorboard(study, tensorboard, as_json=as_json)
        return
    if url is None or tensorboard is not None:
        raise typer.BadParameter("give either the URL of an Optuna storage, or --tensorboard DIR")
    from tuner.sampling import transfer

    with terminal.client() as client:
        found = client.study(study)
        history = [trial.model_dump(mode="json") for trial in client.history(found.id)]
    directions = [str(objective.direction) for objective in found.spec.objectives or []]
    count = transfer.export_trials(url, found.name, directions, history)
    if as_json:
        terminal.print_json({"study": found.name, "url": url, "trials": count})
    else:
        typer.echo(f"{count} trials of {found.name} are in {url}")


def import_(
    url: Annotated[str, typer.Argument(help="An Optuna storage, for example sqlite:///old.db.", metavar="URL")],
    file: Annotated[
        Path | None, typer.Argument(exists=True, dir_okay=False, help="The study that goes on; left out: external.")
    ] = None,
    study: Annotated[str | None, typer.Option(help="Which study of the storage, if it has several.")] = None,
    name: Annotated[str | None, typer.Option(help="The new study's name.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="New trials, where there is no file.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Submit a study that starts with the history of an Optuna study."""
    from tuner import specfile
    from tuner.sampling import transfer

    past = transfer.read_history(url, study)
    spec = specfile.external(past, trials=trials) if file is None else specfile.read(file)
    if name is not None:
        spec["name"] = name
    with terminal.client() as client:
        answer = client.import_study(spec, past["trials"])
    if as_json:
        terminal.print_json(answer.model_dump(mode="json"))
    else:
        made = answer.study
        typer.echo(
            f"Study {made.id} ({made.name}) starts with {answer.imported} trials; {answer.skipped} were skipped."
        )
