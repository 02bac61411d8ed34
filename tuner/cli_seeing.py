"""The commands for seeing what happens: `tuner logs`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tuner import terminal

TrialName = Annotated[
    str, typer.Argument(help="The study's name or number, and the trial's number: digits/3.", metavar="STUDY/TRIAL")
]


def logs(
    trial: TrialName,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the trial has ended.")] = False,
    attempt: Annotated[int | None, typer.Option(min=1, help="Which attempt at it; left out: the last.")] = None,
) -> None:
    """Print what a trial prints, while it runs and afterwards."""
    from tuner import follow as following

    study, slash, number = trial.rpartition("/")
    if not slash or not number.isdecimal():
        raise typer.BadParameter(f"{trial!r}: write STUDY/TRIAL, for example digits/3")
    with terminal.client() as client:
        found = client.study(study)
        if follow:
            pieces = following.logs(client, found.id, int(number), attempt, say=_say)
        else:
            pieces = following.log(client, found.id, int(number), attempt)
        for piece in pieces:
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()


def _say(text: str) -> None:
    typer.echo(f"tuner: {text}", err=True)
