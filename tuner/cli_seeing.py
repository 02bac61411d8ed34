"""The commands for seeing what happens, and for using what came out: `tuner trial`, `tuner logs`, `tuner predict`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuner import cli_datasets, terminal
from tuner.terminal import StudyName

if TYPE_CHECKING:
    from tuner.client import Client

TrialName = Annotated[
    str, typer.Argument(help="The study's name or number, and the trial's number: digits/3.", metavar="STUDY/TRIAL")
]


def _parts(trial: str) -> tuple[str, int]:
    study, slash, number = trial.rpartition("/")
    if not slash or not number.isdecimal():
        raise typer.BadParameter(f"{trial!r}: write STUDY/TRIAL, for example digits/3")
    return study, int(number)


def trial(trial: TrialName, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show one trial: parameters, result, and why it and each attempt at it ended."""
    from tuner import show_trial

    study, number = _parts(trial)
    with terminal.client() as client:
        found = client.study(study)
        shown = client.trial(found.id, number)
    if as_json:
        terminal.print_json(shown.model_dump(mode="json"))
    else:
        show_trial.trial(found, shown)


def logs(
    trial: TrialName,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the trial has ended.")] = False,
    attempt: Annotated[int | None, typer.Option(min=1, help="Which attempt at it; left out: the last.")] = None,
) -> None:
    """Print what a trial prints, while it runs and afterwards."""
    from tuner import follow as following
    from tuner.harmless import Harmless

    study, number = _parts(trial)
    with terminal.client() as client:
        found = client.study(study)
        if follow:
            pieces = following.logs(client, found.id, number, attempt, say=_say)
        else:
            pieces = following.log(client, found.id, number, attempt)
        shown = Harmless() if sys.stdout.isatty() else None
        for piece in pieces:
            sys.stdout.buffer.write(piece if shown is None else shown(piece))
            sys.stdout.buffer.flush()


def predict(
    study: StudyName,
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            help="Rows to predict: CSV, TSV or Parquet with a header; or a zip or folder of images or clips.",
        ),
    ],
    output: Annotated[Path | None, typer.Option(help="A CSV file; left out: stdout.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of a text file; left out: the data set's.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Of a text file; left out: the data set's.")] = None,
) -> None:
    """Predict a file's rows with a study's champion, or else its best trial's model.

    Each class's probability and the likeliest class stand beside them.
    """
    from tuner import watching

    with terminal.client() as client:
        found = client.study(study)
        best = client.best(found.id)
        said = _said_of_data(client, found.spec.dataset) | _given(encoding=encoding, delimiter=delimiter)
        url = client.url
    chosen = watching.best_model(found, best)
    if chosen is None:
        why = "no trial is complete yet" if not best else "MLflow has no model of the best trial (yet)"
        terminal.fail(f"{found.name}: {why}; `tuner studies` tells whether it runs, and whether MLflow is behind")
    from tuner import predict as predicting
    from tuner import predict_files

    model = predicting.load(chosen.uri, f"{url}/mlflow", _key())
    if predict_files.column(model) is not None:
        predicted = predict_files.predict(model, file)
    elif file.is_dir():
        terminal.fail(f"{found.name} predicts rows of a table: give a file and not the folder {file}")
    else:
        predicted = predicting.predict(model, predicting.read(file, predicting.taken(model), **said))
    if output is None:
        predicted.to_csv(sys.stdout, index=False)
        return
    predicted.to_csv(output, index=False)
    typer.echo(f"{len(predicted)} rows with predictions of {chosen.name} are in {output}")


def export_tensorboard(study: str, folder: Path, *, as_json: bool) -> None:
    """Writes a study for TensorBoard into a folder that is empty or not there."""
    try:
        from tuner import tensorboard_files
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("tensorboard"):
            raise
        terminal.fail("TensorBoard's files are written by its own package: pip install tensorboard")
    if folder.exists() and any(folder.iterdir()):
        terminal.fail(
            f"{folder} is not empty, and TensorBoard would mix what is in it with the study: name a new folder"
        )
    with terminal.client() as client:
        found = client.study(study)
        trials = ((trial, client.reports(found.id, trial.number).items) for trial in client.trials(found.id))
        count = tensorboard_files.write(folder, found, trials)
    if as_json:
        terminal.print_json({"study": found.name, "tensorboard": str(folder), "trials": count})
    else:
        typer.echo(f"{count} trials of {found.name} are in {folder}: tensorboard --logdir {shlex.quote(str(folder))}")


def key_in_python() -> str:
    """A Python expression that gives the key that this process uses, and does not show it."""
    from tuner import keys

    known = terminal.settings()
    if known.key is not None:
        return 'os.environ["TUNER_KEY"]'
    file = keys.key_file(known.data, keys.Role.ADMIN).absolute()
    return f"open({str(file)!r}).read().strip()"


def _say(text: str) -> None:
    typer.echo(f"tuner: {text}", err=True)


def _said_of_data(client: Client, dataset: str | None) -> dict[str, str]:
    """What the owner of a study's data set said of how its files are written."""
    if dataset is None:
        return {}
    source = client.dataset(*cli_datasets.split_name(dataset)).source
    return _given(encoding=source.get("encoding"), delimiter=source.get("delimiter"))


def _given(**said: str | None) -> dict[str, str]:
    return {name: value for name, value in said.items() if value is not None}


def _key() -> str:
    from tuner import keys

    known = terminal.settings()
    return known.key or keys.key_file(known.data, keys.Role.ADMIN).read_text().strip()
