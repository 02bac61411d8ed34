"""`python -m trainers.data.preview NAME FOLDER [JSON]`: a look into a data set that was accepted before.

Meant for a process of its own, like `trainers.data.inspect`: the file is a stranger's, and scikit-learn deals the groups.
FOLDER is empty for a built-in data set. With JSON, which has `group` or `time`, and the shares, folds, repeats and seed, it tells
how large the parts are; without, the profile. The answer is one JSON object: `split` or `profile`, or `faults`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from trainers.data import cells, files, keys, load, parts, profile
from trainers.data.faults import Fault, FaultsError


def preview(name: str, folder: Path | None, evaluation: dict[str, Any]) -> dict[str, Any]:
    """The sizes of all parts, as the worker will split them."""
    shares = {key: evaluation[key] for key in ("validation", "test", "folds", "repeats", "seed")}
    group, time = evaluation.get("group"), evaluation.get("time")
    try:
        dataset = load.load(name) if folder is None else files.load(folder, name)
        keyed = keys.attach(dataset, folder, group=group, time=time)
        sizes = parts.sizes(keyed, parts.of(keyed, **shares))
        if time is not None and keys.is_date(dataset, folder, time):
            sizes = _as_dates(sizes)
    except FaultsError as error:
        return {"faults": [asdict(fault) for fault in error.faults]}
    except ValueError as error:  # the rows do not allow such a split
        return {"faults": [asdict(Fault(file="", detail=str(error)))]}
    return {"split": {"by": "time" if group is None else "group", "column": group or time, **sizes}}


def profiled(name: str, folder: Path | None) -> dict[str, Any]:
    """The profile of a data set."""
    return {"profile": profile.of(load.load(name) if folder is None else files.load(folder, name))}


def _as_dates(sizes: dict[str, Any]) -> dict[str, Any]:
    """Where a part begins as a date, not in days since 1970."""
    folds = [_as_dates(fold) for fold in sizes.get("folds", [])]
    told = {key: _date(value) if key.endswith("_from") else value for key, value in sizes.items()}
    return {**told, "folds": folds} if folds else told


def _date(days: float) -> str:
    moment = np.datetime64(round(days * cells.DAY_US), "us")
    return str(np.datetime_as_string(moment, unit="D" if days.is_integer() else "s"))


if __name__ == "__main__":
    named, stored = sys.argv[1], Path(sys.argv[2]) if sys.argv[2] else None
    answer = preview(named, stored, json.loads(sys.argv[3])) if len(sys.argv) > 3 else profiled(named, stored)
    sys.stdout.write(json.dumps(answer, allow_nan=False) + "\n")
