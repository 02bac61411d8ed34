"""Reading a study from a YAML or JSON file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml


class SpecFileError(Exception):
    """The file is not a study; the text says why."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 takes `1e-4` for text, which nobody means here; this reads it as the number that YAML 1.2 says it is."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"), list("-+.0123456789")
)


def read(file: Path) -> dict[str, Any]:
    """The study in a file, as plain values.

    Raises:
        SpecFileError: not YAML, or not a mapping.
    """
    try:
        spec = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecFileError(f"{file} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(spec, dict):
        raise SpecFileError(f"{file} should hold a study as `key: value` lines")
    return spec
