"""A stand-in until the reading side is merged: says what a folder holds, as one JSON object."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from trainers.data import files
from trainers.data.info import Column, DatasetInfo, to_json


def inspect(folder: Path) -> dict[str, object]:
    target = json.loads((folder / "source.json").read_text()).get("target")
    table = pd.read_csv(folder / "data.csv")
    if target not in table.columns:
        detail = f"there is no column {target!r}: choose one of {', '.join(table.columns)}"
        return {"faults": [{"file": "data.csv", "row": 1, "column": target, "detail": detail}]}
    for name in table.columns.drop(target):
        wrong = pd.to_numeric(table[name], errors="coerce").isna()
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            detail = f"{table[name][row]!r} is not a number: mend it"
            return {"faults": [{"file": "data.csv", "row": row + 2, "column": name, "detail": detail}]}
    data = files.load(folder, folder.name)
    info = DatasetInfo(
        name=data.name,
        kind=data.kind,
        task=data.task,
        rows=len(data.y),
        shape=data.x.shape[1:],
        feature_names=data.feature_names,
        class_names=data.class_names,
        digest=data.digest,
        columns=tuple(Column(name=name, kind="number") for name in data.feature_names),
        class_counts=tuple(map(int, np.bincount(data.y))),
    )
    return {"info": to_json(info), "notes": []}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(inspect(Path(sys.argv[1]))))
