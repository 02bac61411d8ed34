"""Stored data sets for tests: a folder as the control plane leaves it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def store(folder: Path, files: Mapping[str, str | bytes | dict[str, np.ndarray]], **source: Any) -> Path:
    """Writes files and `source.json` into a new folder."""
    folder.mkdir(parents=True)
    (folder / "source.json").write_text(json.dumps(source))
    for name, content in files.items():
        if isinstance(content, dict):
            np.savez(folder / name, **content)
        else:
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def lines(header: str, *rows: str) -> str:
    return "\n".join([header, *rows]) + "\n"
