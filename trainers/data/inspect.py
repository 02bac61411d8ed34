"""`python -m trainers.data.inspect FOLDER`: what a stored data set is, or what is wrong with it, as one JSON object.

Meant for a process of its own, whose memory and time its caller limits: the file is a stranger's. The answer is bounded.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainers.data import files, profile
from trainers.data.faults import Fault, FaultsError
from trainers.data.info import to_json

LARGEST_ANSWER_BYTES = 8 * 2**20  # kept with the data set and read whenever that is listed


def inspect(folder: Path) -> dict[str, Any]:
    """Reads a folder: `info`, `notes` and `profile` of what is accepted, `faults` of what is not."""
    try:
        dataset, notes = files.read_new(folder)
    except FaultsError as error:
        return {"faults": [asdict(fault) for fault in error.faults]}
    return {"info": to_json(files.describe(dataset)), "notes": notes, "profile": profile.of(dataset)}


def bounded(answer: dict[str, Any]) -> str:
    """The answer as JSON; more than is kept of a data set is a fault of it."""
    text = json.dumps(answer, allow_nan=False)
    if len(text) <= LARGEST_ANSWER_BYTES:  # in ASCII
        return text
    detail = (
        f"what is to be kept of its columns and categories takes {len(text) / 2**20:.0f} MB, and "
        f"{LARGEST_ANSWER_BYTES // 2**20} MB are allowed: leave columns out, or say of some that they are to be ignored"
    )
    return json.dumps({"faults": [asdict(Fault(file="", detail=detail))]})


if __name__ == "__main__":
    sys.stdout.write(bounded(inspect(Path(sys.argv[1]))) + "\n")
