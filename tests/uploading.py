"""Data sets for tests of the REST API: a table, its upload as a form, and the folders that are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import numpy as np


def table(rows: int = 60, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2))
    y = np.where(x[:, 0] + 0.1 * rng.normal(size=rows) > 0, "yes", "no")
    lines = [f"{a:.5f},{b:.5f},{label}" for (a, b), label in zip(x, y, strict=True)]
    return "\n".join(["a,b,y", *lines]) + "\n"


def post(
    http: httpx.Client, name: str, content: str | bytes, *, part: str = "data", file: str = "d.csv", **fields: Any
) -> httpx.Response:
    return http.post("/datasets", params={"name": name}, files={part: (file, content)}, data=fields)


def folders(root: Path) -> list[Path]:
    return sorted((root / "artifacts" / "datasets").glob("*"))
