"""The command line: every command parses, calls one function, prints.

Owns names of commands, exit codes, and errors as one line with the cure. Each command imports what it needs itself, so
that `tuner --help` stays under 0.3 s.

Exit codes: 0 done; 1 refused or failed, with the reason on stderr; 2 wrong usage; 3 the control plane is not there.
"""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from tuner import cli_datasets, cli_seeing
from tuner.terminal import client as _client
from tuner.terminal import fail as _fail
from tuner.terminal import print_json as _print_json
from tuner.terminal import settings as _settings

app = typer.Typer(
    name="tuner",
    help="Hyperparameter tuning and experiment tracking: Optuna studies, PyTorch trials, MLflow runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
db = typer.Typer(help="The database's schema.", no_args_is_help=True)
app.add_typer(db, name="db")
app.add_typer(cli_datasets.app, name="dataset")

UNREACHABLE = 3
INTERRUPTED = 130

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
StudyName = Annotated[str, typer.Argument(help="The study's name or number.", metavar="STUDY")]
WithParent = Annotated[bool, typer.Option("--with-parent", hidden=True, help="End when stdin closes.")]
Slots = Annotated[int | None, typer.Option(min=1, help="Trials at once; left out: one for every GPU, or core.")]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the control plane.")]


def main() -> None:
    """Runs the command line; turns expected errors into one line."""
    try:
        app(standalone_mode=True)
    except Exception as error:
        _explain(error)


def _explain(error: Exception) -> NoReturn:
    """Prints an expected error and exits; lets any other through with its traceback."""
    from tuner.domain.errors import TunerError

    expected = (
        "ClientError",
        "EmbeddedPostgresError",
        "StartError",
        "InsecureError",
        "SpecFileError",
        "PredictError",
        "DatabaseUrlError",
    )
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS}:
        _fail(f"{error.filename or 'the disk'}: {error.strerror}; make room or mend it, or point TUNER_DATA elsewhere")
    if type(error).__module__.startswith("sqlalchemy."):
        _fail(f"the database cannot be used ({str(error).splitlines()[0]}): mend its address, or start it")
    if type(error).__name__ not in expected and not isinstance(error, TunerError):
        raise error
    for line in str(error).splitlines():
        typer.echo(f"tuner: {line}", err=True)
    sys.exit(UNREACHABLE if getattr(error, "status", None) == 0 else 1)


# ---- the service -----------------------------------------------------------------------------------------------------


@app.command()
def up(port: Port = None, slots: Slots = None) -> None:
    """Run everything on this machine until Ctrl-C."""
    from tuner import parent, show, up

    parent.interrupt_on_signals()
    with up.running(_settings(port=port), slots=slots) as service:
        show.ready(service.settings, service.admin_key)
        show.serve_until_interrupted(service)


@app.command()
def demo(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The study.")] = Path(
        "examples/digits.yaml"
    ),
    port: Port = None,
    slots: Slots = None,
) -> None:
    """Run everything, submit a study, watch it, show what came out."""
    from tuner import demo, parent

    parent.interrupt_on_signals()
    demo.run(_settings(port=port), _read_spec(file), slots=slots)


@app.command()
def server(
    with_parent: WithParent = False,
    listen_fd: Annotated[int | None, typer.Option(hidden=True, help="An inherited socket that listens.")] = None,
) -> None:
    """Run the control plane alone; needs TUNER_DATABASE_URL."""
    from tuner import logs, server

    _start_process("server", with_parent=with_parent)
    settings = _settings()
    if settings.database_url is None:
        _fail("set TUNER_DATABASE_URL to a PostgreSQL, or use `tuner up`, which brings its own")
    logs.configure("server")
    server.run(settings, listen_fd)


@app.command()
def maintenance(with_parent: WithParent = False) -> None:
    """Run the background duties alone; needs TUNER_DATABASE_URL."""
    from tuner import keys, logs
    from tuner.maintenance import process
    from tuner.store import database

    _start_process("maintenance", with_parent=with_parent)
    settings = _settings()
    if settings.database_url is None:
        _fail("set TUNER_DATABASE_URL to the control plane's PostgreSQL")
    logs.configure("maintenance")
    key = settings.admin_key or settings.key or keys.load_or_make(settings.data, keys.Role.ADMIN)
    process.run(settings, database.connect(settings.database_url), key)


@app.command()
def worker(
    slots: Slots = None,
    name: Annotated[str | None, typer.Option(help="Shown to people; left out: the host's name.")] = None,
    with_parent: WithParent = False,
) -> None:
    """Run trials on this machine; finds the control plane by TUNER_URL and TUNER_KEY."""
    from tuner import keys, logs
    from tuner.worker import agent

    _start_process("worker", with_parent=with_parent)
    settings = _settings()
    file = keys.key_file(settings.data, keys.Role.WORKER)
    key = settings.key or settings.worker_key or (file.read_text().strip() if file.exists() else None)
    if key is None:
        _fail(f"no key: set TUNER_KEY to the worker key ({file} on the machine of the control plane)")
    logs.configure("worker")
    agent.run(settings.base_url, key, slots=slots, name=name, min_free_mb=settings.min_free_mb)


def _start_process(name: str, *, with_parent: bool) -> None:
    from tuner import parent

    if with_parent:
        parent.end_with(name)


@app.command()
def link(
    target: Annotated[str, typer.Argument(help="Where the link leads after login.")] = "/",
) -> None:
    """Print a link that logs a browser in."""
    from tuner import keys, show

    settings = _settings()
    key = settings.admin_key or settings.key or keys.load_or_make(settings.data, keys.Role.ADMIN)
    typer.echo(show.login_link(settings.base_url, key, target))


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the schema of TUNER_DATABASE_URL up to date; the control plane does so itself when it starts."""
    from tuner.store import database, migrate

    settings = _settings()
    if settings.database_url is None:
        _fail("set TUNER_DATABASE_URL to the PostgreSQL whose schema to upgrade")
    migrate.upgrade(database.connect(settings.database_url))
    typer.echo("The schema is up to date.")


# ---- studies ---------------------------------------------------------------------------------------------------------


def _read_spec(file: Path) -> dict[str, Any]:
    from tuner import specfile

    return specfile.read(file)


@app.command()
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
    task: cli_datasets.Task = None,
    encoding: cli_datasets.Encoding = None,
    delimiter: cli_datasets.Delimiter = None,
    kind: cli_datasets.Kinds = None,
    split_column: cli_datasets.SplitColumn = None,
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
    source = cli_datasets.source(target, task, encoding, delimiter, kind, split_column)
    with _client() as client:
        if dataset is not None:
            spec["dataset"] = cli_datasets.uploaded(client, dataset, source, quiet=as_json or dry_run)
            spec.setdefault("name", spec["dataset"].partition("@")[0])
        elif source:
            raise typer.BadParameter("what is said of columns is for a file to upload: give it as --dataset FILE")
        if name is not None:
            spec["name"] = name
        if dry_run:
            _print_json(client.dry_run(spec).model_dump(mode="json"))
            return
        study = client.submit(spec)
        if not as_json:
            typer.echo(f"Study {study.id} ({study.name}) is queued: `tuner watch {study.id}`")
        shown = watching.watch(client, study.id, quiet=as_json) if watch else study
        if watch and not as_json:
            watching.summarise(client, shown, cli_seeing.key_in_python())
        if as_json:
            _print_json(shown.model_dump(mode="json"))
    sys.exit(1 if shown.state == "failed" else 0)


def _spec_from(file: Path | None, dataset: str | None, trials: int | None) -> dict[str, Any]:
    """The study as the file has it, or an empty one, with its budget of trials."""
    if file is None and dataset is None:
        raise typer.BadParameter("give a FILE with the study, or a data set with --dataset")
    if file is None and trials is None:
        raise typer.BadParameter("say how many --trials, or give a FILE with the study's budget")
    spec = {} if file is None else _read_spec(file)
    if trials is not None:
        given = spec.get("budget") or {}
        spec["budget"] = {**given, "trials": trials} if isinstance(given, dict) else {"trials": trials}
    return spec


@app.command()
def watch(study: StudyName, as_json: AsJson = False) -> None:
    """Watch a study until it ends; exit code 1 if it failed."""
    from tuner import watching

    with _client() as client:
        ended = watching.watch(client, client.study(study).id, quiet=as_json)
        if as_json:
            _print_json(ended.model_dump(mode="json"))
        else:
            watching.summarise(client, ended, cli_seeing.key_in_python())
    sys.exit(1 if ended.state == "failed" else 0)


@app.command()
def studies(
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None, as_json: AsJson = False
) -> None:
    """List studies, newest first."""
    from tuner import show

    with _client() as client:
        found = list(client.studies(**({"state": state} if state else {})))
    if as_json:
        _print_json([study.model_dump(mode="json") for study in found])
    else:
        show.studies(found)


@app.command()
def trials(
    study: StudyName,
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    as_json: AsJson = False,
) -> None:
    """List a study's trials."""
    from tuner import show

    with _client() as client:
        found = client.study(study)
        listed = list(client.trials(found.id, **({"state": state} if state else {})))
    if as_json:
        _print_json([trial.model_dump(mode="json") for trial in listed])
    else:
        show.trials(found, listed)


app.command("logs")(cli_seeing.logs)


@app.command()
def best(study: StudyName, as_json: AsJson = False) -> None:
    """Show the best trial, or the Pareto front."""
    from tuner import show

    with _client() as client:
        found = client.study(study)
        listed = client.best(found.id)
    if as_json:
        _print_json([trial.model_dump(mode="json") for trial in listed])
    elif not listed:
        _fail(f"no trial of {found.name} is complete yet")
    else:
        show.best(found, listed)


@app.command()
def importances(study: StudyName, as_json: AsJson = False) -> None:
    """Show which parameters matter."""
    from tuner import show

    with _client() as client:
        shares = client.importances(client.study(study).id)
    if as_json:
        _print_json(shares)
    else:
        show.importances(shares)


app.command("predict")(cli_seeing.predict)


@app.command()
def cancel(study: StudyName, as_json: AsJson = False) -> None:
    """Cancel a study; its running trials stop within one epoch."""
    with _client() as client:
        ended = client.cancel(client.study(study).id)
    if as_json:
        _print_json(ended.model_dump(mode="json"))
    else:
        typer.echo(f"Study {ended.id} ({ended.name}) is {ended.state}.")


@app.command()
def delete(study: StudyName) -> None:
    """Delete a study that has ended, with its experiment and artifacts."""
    with _client() as client:
        found = client.study(study)
        client.delete(found.id)
    typer.echo(f"Study {found.id} ({found.name}) is deleted.")


@app.command("export")
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

    with _client() as client:
        found = client.study(study)
        history = [trial.model_dump(mode="json") for trial in client.history(found.id)]
    directions = [str(objective.direction) for objective in found.spec.objectives or []]
    count = transfer.export_trials(url, found.name, directions, history)
    if as_json:
        _print_json({"study": found.name, "url": url, "trials": count})
    else:
        typer.echo(f"{count} trials of {found.name} are in {url}")


@app.command("import")
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
    spec = specfile.external(past, trials=trials) if file is None else _read_spec(file)
    if name is not None:
        spec["name"] = name
    with _client() as client:
        answer = client.import_study(spec, past["trials"])
    if as_json:
        _print_json(answer.model_dump(mode="json"))
    else:
        made = answer.study
        typer.echo(
            f"Study {made.id} ({made.name}) starts with {answer.imported} trials; {answer.skipped} were skipped."
        )


app.command("datasets")(cli_datasets.listed)


@app.command()
def run(
    study: StudyName,
    command: Annotated[list[str], typer.Argument(help="The script, after `--`.", metavar="COMMAND")],
    slots: Slots = None,
) -> None:
    """Run an external study's trials by a script of your own; exit code 1 if the study failed.

    Each trial is one process. It gets its parameters as --NAME=VALUE, as TUNER_PARAM_NAME and as JSON in TUNER_PARAMS_FILE.
    """
    import shutil

    from tuner import parent
    from tuner.worker import scripts

    with _client() as client:
        found = client.study(study)
        if not found.spec.is_external:
            _fail(f"{found.name} is trained by workers: a script of your own needs a study with trainer: external")
        if shutil.which(command[0]) is None:
            _fail(f"there is no command {command[0]!r} here")
        parent.interrupt_on_signals()
        try:
            scripts.run(client, found, command, slots=slots, say=typer.echo)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        ended = client.study(found.id)
    typer.echo(f"Study {ended.id} ({ended.name}) is {ended.state}.")
    sys.exit(1 if ended.state == "failed" else 0)


@app.command()
def workers(as_json: AsJson = False) -> None:
    """List workers."""
    from tuner import show

    with _client() as client:
        listed = client.workers().items
    if as_json:
        _print_json([worker.model_dump(mode="json") for worker in listed])
    else:
        show.workers(listed)


if __name__ == "__main__":
    main()
