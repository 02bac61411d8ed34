"""What every command needs: settings, a client of the control plane, JSON on stdout, one line and an exit code on refusal.

Each function imports what it needs itself, so that `tuner --help` stays under 0.3 s.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from tuner.client import Client
    from tuner.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
StudyName = Annotated[str, typer.Argument(help="The study's name or number.", metavar="STUDY")]


def fail(text: str) -> NoReturn:
    typer.echo(f"tuner: {text}", err=True)
    sys.exit(1)


def settings(**changes: Any) -> Settings:
    """Those of this process, with changes that are not None; ends it where they make no sense."""
    from pydantic import ValidationError

    from tuner.settings import Settings

    try:
        return Settings(**{name: value for name, value in changes.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        fail(f"TUNER_{'_'.join(map(str, first['loc'])).upper()}: {first['msg']}")


def client() -> Client:
    """A client with the key that is set, or lies in the data folder; ends the process where there is none."""
    from tuner import keys
    from tuner.client import Client

    known = settings()
    key = known.key
    if key is None:
        file = keys.key_file(known.data, keys.Role.ADMIN)
        if not file.exists():
            fail(f"no key: set TUNER_KEY, or TUNER_DATA to the folder of the service ({file} is not there)")
        key = file.read_text().strip()
    if not key.isascii() or not key.isprintable() or not key:
        fail("TUNER_KEY is not a key: it has characters that no key has, or none")
    if not known.base_url.startswith(("http://", "https://")):
        fail(f"TUNER_URL is {known.base_url!r}: it begins with http:// or https://")
    return Client(known.base_url, key, retry_for_s=3.0)


def print_json(value: Any) -> None:
    """Readable JSON; what else would control a terminal is escaped, as JSON itself escapes what is below the space."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    typer.echo(re.sub("[\x7f-\x9f]", lambda found: f"\\u{ord(found.group()):04x}", text))
