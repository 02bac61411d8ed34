"""The commands that run something here: the service whole or in parts, a script of the user's own; and the way in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tuner import terminal
from tuner.terminal import StudyName

INTERRUPTED = 130  # the exit code of what Ctrl-C ended

WithParent = Annotated[bool, typer.Option("--with-parent", hidden=True, help="End when stdin closes.")]
Slots = Annotated[int | None, typer.Option(min=1, help="Trials at once; left out: one for every GPU, or core.")]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the control plane.")]


def up(port: Port = None, slots: Slots = None) -> None:
    """Run everything on this machine until Ctrl-C."""
    from tuner import parent, show, up

    parent.interrupt_on_signals()
    with up.running(terminal.settings(port=port), slots=slots) as service:
        show.ready(service.settings, service.admin_key)
        show.serve_until_interrupted(service)


def demo(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The study.")] = Path(
        "examples/digits.yaml"
    ),
    port: Port = None,
    slots: Slots = None,
) -> None:
    """Run everything, submit a study, watch it, show what came out."""
    from tuner import demo, parent, specfile

    parent.interrupt_on_signals()
    demo.run(terminal.settings(port=port), specfile.read(file), slots=slots)


def server(
    with_parent: WithParent = False,
    listen_fd: Annotated[int | None, typer.Option(hidden=True, help="An inherited socket that listens.")] = None,
) -> None:
    """Run the control plane alone; needs TUNER_DATABASE_URL."""
    from tuner import logs, server

    _start_process("server", with_parent=with_parent)
    settings = terminal.settings()
    if settings.database_url is None:
        terminal.fail("set TUNER_DATABASE_URL to a PostgreSQL, or use `tuner up`, which brings its own")
    logs.configure("server")
    server.run(settings, listen_fd)


def maintenance(with_parent: WithParent = False) -> None:
    """Run the background duties alone; needs TUNER_DATABASE_URL."""
    from tuner import keys, logs
    from tuner.maintenance import process
    from tuner.store import database

    _start_process("maintenance", with_parent=with_parent)
    settings = terminal.settings()
    if settings.database_url is None:
        terminal.fail("set TUNER_DATABASE_URL to the control plane's PostgreSQL")
    logs.configure("maintenance")
    key = settings.admin_key or settings.key or keys.load_or_make(settings.data, keys.Role.ADMIN)
    process.run(settings, database.connect(settings.database_url), key)


def worker(
    slots: Slots = None,
    name: Annotated[str | None, typer.Option(help="Shown to people; left out: the host's name.")] = None,
    with_parent: WithParent = False,
) -> None:
    """Run trials on this machine; finds the control plane by TUNER_URL and TUNER_KEY."""
    from tuner import keys
    from tuner.worker import agent

    _start_process("worker", with_parent=with_parent)
    settings = terminal.settings()
    file = keys.key_file(settings.data, keys.Role.WORKER)
    key = settings.key or settings.worker_key or (file.read_text().strip() if file.exists() else None)
    if key is None:
        terminal.fail(f"no key: set TUNER_KEY to the worker key ({file} on the machine of the control plane)")
    agent.run(
        settings.base_url, key, slots=slots, name=name, min_free_mb=settings.min_free_mb, weights=settings.weights
    )


def _start_process(name: str, *, with_parent: bool) -> None:
    from tuner import parent

    if with_parent:
        parent.end_with(name)


def link(
    target: Annotated[str, typer.Argument(help="Where the link leads after login.")] = "/",
) -> None:
    """Print a link that logs a browser in."""
    from tuner import keys, show

    settings = terminal.settings()
    key = settings.admin_key or settings.key or keys.load_or_make(settings.data, keys.Role.ADMIN)
    typer.echo(show.login_link(settings.base_url, key, target))


def db_upgrade() -> None:
    """Bring the schema of TUNER_DATABASE_URL up to date; the control plane does so itself when it starts."""
    from tuner.store import database, migrate

    settings = terminal.settings()
    if settings.database_url is None:
        terminal.fail("set TUNER_DATABASE_URL to the PostgreSQL whose schema to upgrade")
    migrate.upgrade(database.connect(settings.database_url))
    typer.echo("The schema is up to date.")


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

    parent.interrupt_on_signals()
    try:
        with terminal.client() as client:
            found = client.study(study)
            if not found.spec.is_external:
                terminal.fail(
                    f"{found.name} is trained by workers: a script of your own needs a study with trainer: external"
                )
            if shutil.which(command[0]) is None:
                terminal.fail(f"there is no command {command[0]!r} here")
            scripts.run(client, found, command, slots=slots, say=typer.echo)
            ended = client.study(found.id)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    typer.echo(f"Study {ended.id} ({ended.name}) is {ended.state}.")
    sys.exit(1 if ended.state == "failed" else 0)
