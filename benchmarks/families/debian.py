"""Which package depends on which: Debian's own list, as interactions, read from the machine at run time.

A package is a user, each of its dependencies an item. Owns how `apt-cache dumpavail` becomes such a table.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pandas as pd

SECTIONS = ("games", "graphics", "sound", "video", "net", "utils", "x11", "editors", "text", "web")
FEWEST = 5  # dependencies of a package, and packages that depend on it, below which it is left out
FEWEST_RECORDS = 10_000  # of a whole list; an image without one has some hundred


def why_not() -> str | None:
    """Why this machine has no such list, or None."""
    if shutil.which("apt-cache") is None:
        return "this machine has no apt-cache"
    if sum(1 for _ in _records()) < FEWEST_RECORDS:
        return "apt-cache knows few packages: run apt-get update"
    return None


def dependencies(sections: tuple[str, ...] = SECTIONS) -> pd.DataFrame:
    """A row for each dependency: `package`, `dependency`, and of the package its `section` and `maintainer`."""
    rows = {
        (record["Package"], dependency, record["Section"], record.get("Maintainer", ""))
        for record in _records()
        if record.get("Section") in sections
        for dependency in _names(record.get("Depends", ""))
    }
    frame = pd.DataFrame(sorted(rows), columns=["package", "dependency", "section", "maintainer"])
    frame = frame.drop_duplicates(["package", "dependency"])
    first = frame.groupby("package")[["section", "maintainer"]].transform("first")  # of several versions
    frame[["section", "maintainer"]] = first
    while True:
        frequent = (frame.groupby("dependency").package.transform("size") >= FEWEST) & (
            frame.groupby("package").dependency.transform("size") >= FEWEST
        )
        if frequent.all():
            return frame.reset_index(drop=True)
        frame = frame[frequent]


def _records() -> Iterator[dict[str, str]]:
    listed = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
    for paragraph in listed.split("\n\n"):
        lines = [line for line in paragraph.splitlines() if line[:1] not in {" ", "\t", ""}]
        if lines:
            yield dict(line.split(": ", 1) for line in lines if ": " in line)


def _names(depends: str) -> list[str]:
    """Names alone: of alternatives the first, without versions and architectures."""
    alternatives = (each.split("|")[0].split("(")[0].strip() for each in depends.split(","))
    return [name.partition(":")[0] for name in alternatives if name]
