"""`python -m trainers.data.inspect FOLDER`: what a stored data set is, or what is wrong with it, as one JSON object.

Meant for a process of its own, whose memory and time its caller limits: the file is a stranger's.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainers.data import files
from trainers.data.faults import FaultsError
from trainers.data.info import to_json


def inspect(folder: Path) -> dict[str, Any]:
    """Reads a folder: `info` and `notes` of what is accepted, `faults` of what is not."""
    try:
        info, notes = files.examine(folder)
    except FaultsError as error:
        return {"faults": [asdict(fault) for fault in error.faults]}
    return {"info": to_json(info), "notes": notes}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(inspect(Path(sys.argv[1])), allow_nan=False) + "\n")
