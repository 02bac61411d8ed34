"""The commands about studies: submit, watch, list, look into, delete; and the workers that run them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tuner import cli_datasets, cli_seeing, terminal
from tuner.terminal import AsJson, StudyName

SplitGroup = Annotated[
    str | None,
    typer.Option(
        help="A column whose values stay on one side of every split, as patients; evaluation.group of the file.",
        metavar="COLUMN",
    ),
]
SplitTime = Annotated[
    str | None,
    typer.Option(help="A column by whose times rows are split; evaluation.time of the file.", metavar="COLUMN"),
]


def submit(
    file: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, help="The study, YAML or JSON; may be left out with --dataset."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Instead of the name in the file.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Instead of budget.trials in the file.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="A data set's name, or a file to upload.", metavar="NAME|FILE")
    ] = None,
    target: cli_datasets.Target = None,
    text: cli_datasets.Text = None,
    task: cli_datasets.Task = None,
    encoding: cli_datasets.Encoding = None,
    delimiter: cli_datasets.Delimiter = None,
    kind: cli_datasets.Kinds = None,
    split_column: cli_datasets.SplitColumn = None,
    image_size: cli_datasets.ImageSize = None,
    sample_rate: cli_datasets.SampleRate = None,
    user: cli_datasets.User = None,
    item: cli_datasets.Item = None,
    rating: cli_datasets.Rating = None,
    time: cli_datasets.Time = None,
    series: cli_datasets.Series = None,
    user_feature: cli_datasets.UserFeatures = None,
    item_feature: cli_datasets.ItemFeatures = None,
    split_group: SplitGroup = None,
    split_time: SplitTime = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check and complete it; a file is uploaded all the same.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay and watch it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Submit a study: of a file, or of a data set with the trainer's own search space.

    With --watch the exit code is 1 if it failed.
    """
    from tuner import watching

    spec = _spec_from(file, dataset, trials)
    _put(spec, "evaluation", cli_datasets.given(group=split_group, time=split_time))
    source = cli_datasets.source(target, text, task, encoding, delimiter, kind, split_column)
    source |= cli_datasets.given(image_size=image_size, sample_rate=sample_rate)
    source |= cli_datasets.roles(user, item, rating, time, series, user_feature, item_feature)
    with terminal.client() as client:
        if dataset is not None:
            spec["dataset"] = cli_datasets.uploaded(client, dataset, source, quiet=as_json or dry_run)
            spec.setdefault("name", spec["dataset"].partition("@")[0])
        elif source:
            raise typer.BadParameter("what is said of columns is for a file to upload: give it as --dataset FILE")
        if name is not None:
            spec["name"] = name
        if dry_run:
            terminal.print_json(client.dry_run(spec).model_dump(mode="json"))
            return
        study = client.submit(spec)
        if not as_json:
            typer.echo(f"Study {study.id} ({study.name}) is queued: `tuner watch {study.id}`")
        shown = watching.watch(client, study.id, quiet=as_json) if watch else study
        if watch and not as_json:
            watching.summarise(client, shown, cli_seeing.key_in_python())
        if as_json:
            terminal.print_json(shown.model_dump(mode="json"))
    sys.exit(1 if shown.state == "failed" else 0)


def _spec_from(file: Path | None, dataset: str | None, trials: int | None) -> dict[str, Any]:
    """The study as the file has it, or an empty one, with its budget of trials."""
    if file is None and dataset is None:
        raise typer.BadParameter("give a FILE with the study, or a data set with --dataset")
    if file is None and trials is None:
        raise typer.BadParameter("say how many --trials, or give a FILE with the study's budget")
    from tuner import specfile

    spec = {} if file is None else specfile.read(file)
    _put(spec, "budget", cli_datasets.given(trials=trials))
    return spec


def _put(spec: dict[str, Any], part: str, said: dict[str, Any]) -> None:
    """Puts what options say into a part of a study, in the place of what the file says."""
    if said:
        given = spec.get(part) or {}
        spec[part] = {**given, **said} if isinstance(given, dict) else said


def watch(study: StudyName, as_json: AsJson = False) -> None:
    """Watch a study until it ends; exit code 1 if it failed."""
    from tuner import watching

    with terminal.client() as client:
        ended = watching.watch(client, client.study(study).id, quiet=as_json)
        if as_json:
            terminal.print_json(ended.model_dump(mode="json"))
        else:
            watching.summarise(client, ended, cli_seeing.key_in_python())
    sys.exit(1 if ended.state == "failed" else 0)


def studies(
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None, as_json: AsJson = False
) -> None:
    """List studies, newest first."""
    from tuner import show

    with terminal.client() as client:
        found = list(client.studies(**({"state": state} if state else {})))
    if as_json:
        terminal.print_json([study.model_dump(mode="json") for study in found])
    else:
        show.studies(found)


def trials(
    study: StudyName,
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    as_json: AsJson = False,
) -> None:
    """List a study's trials."""
    from tuner import show

    with terminal.client() as client:
        found = client.study(study)
        listed = list(client.trials(found.id, **({"state": state} if state else {})))
    if as_json:
        terminal.print_json([trial.model_dump(mode="json") for trial in listed])
    else:
        show.trials(found, listed)


def best(study: StudyName, as_json: AsJson = False) -> None:
    """Show the best trial, or the Pareto front, and the final model's score on the test part."""
    from tuner import show

    with terminal.client() as client:
        found = client.study(study)
        listed = client.best(found.id)
    if as_json:
        terminal.print_json([trial.model_dump(mode="json") for trial in listed])
    elif not listed:
        terminal.fail(f"no trial of {found.name} is complete yet")
    else:
        show.best(found, listed)
        show.final(found)


def importances(study: StudyName, as_json: AsJson = False) -> None:
    """Show which parameters matter."""
    from tuner import show

    with terminal.client() as client:
        shares = client.importances(client.study(study).id)
    if as_json:
        terminal.print_json(shares)
    else:
        show.importances(shares)


def delete(study: StudyName) -> None:
    """Delete a study that has ended, with its experiment and artifacts."""
    with terminal.client() as client:
        found = client.study(study)
        client.delete(found.id)
    typer.echo(f"Study {found.id} ({found.name}) is deleted.")


def workers(as_json: AsJson = False) -> None:
    """List workers."""
    from tuner import show

    with terminal.client() as client:
        listed = client.workers().items
    if as_json:
        terminal.print_json([worker.model_dump(mode="json") for worker in listed])
    else:
        show.workers(listed)
