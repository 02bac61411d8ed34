"""The command line: every command parses, calls one function, prints.

Owns names of commands, exit codes, and errors as one line with the cure. Each command imports what it needs itself, so
that `tuner --help` stays under 0.3 s.

Exit codes: 0 done; 1 refused or failed, with the reason on stderr; 2 wrong usage; 3 the control plane is not there;
130 interrupted: `tuner run` gave back what ran.
"""

from __future__ import annotations

import errno
import sys
from typing import NoReturn

import typer

from tuner import cli_datasets, cli_lifecycle, cli_seeing, cli_service, cli_studies, cli_transfer, terminal

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
app.add_typer(cli_datasets.app, name="data", hidden=True)  # the same, shorter to type

UNREACHABLE = 3

for command in (
    cli_service.up,
    cli_service.demo,
    cli_service.server,
    cli_service.maintenance,
    cli_service.worker,
    cli_service.link,
    cli_studies.submit,
    cli_studies.watch,
    cli_studies.studies,
    cli_studies.trials,
    cli_seeing.trial,
    cli_seeing.logs,
    cli_studies.best,
    cli_studies.importances,
    cli_seeing.predict,
    cli_lifecycle.pause,
    cli_lifecycle.resume,
    cli_lifecycle.cancel,
    cli_lifecycle.finalize,
    cli_lifecycle.extend,
    cli_lifecycle.retry,
    cli_studies.delete,
):
    app.command()(command)
app.command("set")(cli_lifecycle.change)
app.command("export")(cli_transfer.export_)
app.command("import")(cli_transfer.import_)
app.command("datasets")(cli_datasets.listed)
app.command()(cli_service.run)
app.command()(cli_studies.workers)
db.command("upgrade")(cli_service.db_upgrade)


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
        terminal.fail(
            f"{error.filename or 'the disk'}: {error.strerror}; make room or mend it, or point TUNER_DATA elsewhere"
        )
    if type(error).__module__.startswith("sqlalchemy."):
        terminal.fail(f"the database cannot be used ({str(error).splitlines()[0]}): mend its address, or start it")
    if type(error).__name__ not in expected and not isinstance(error, TunerError):
        raise error
    for line in str(error).splitlines():
        typer.echo(f"tuner: {line}", err=True)
    sys.exit(UNREACHABLE if getattr(error, "status", None) == 0 else 1)


if __name__ == "__main__":
    main()
