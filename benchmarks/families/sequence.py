"""`sequence` beside seasonal naive: series that statsmodels ships, forecast a season ahead from every origin of the test part.

Where others have a split's seed, the series has so many seasons less at its end. Run as `python -m benchmarks.families.sequence`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from statsmodels import datasets

from benchmarks.families import problem, run
from benchmarks.families.problem import Candidate, Family, Problem, Scores, Usual
from trainers import metrics, windows
from trainers.contract import Part

METRICS = ("rmse", "mae")


def problems(seed: int, folder: Path) -> Iterator[Problem]:
    for name, (values, season) in _series().items():
        shorter = values[: len(values) - season * seed]
        table = pd.DataFrame({"time": np.arange(len(shorter)), "value": shorter})
        yield problem.uploaded(
            name,
            seed,
            METRICS,
            folder,
            {"data.csv": table.to_csv(index=False)},
            study={"fixed": {"horizon": season}},
            time="time",
            target="value",
        )


def _series() -> dict[str, tuple[np.ndarray, int]]:
    """Values, and how many make a season."""
    co2 = datasets.co2.load_pandas().data.co2.resample("MS").mean().interpolate()
    elnino = datasets.elnino.load_pandas().data.set_index("YEAR").to_numpy().ravel()
    sunspots = datasets.sunspots.load_pandas().data.SUNACTIVITY
    nile = datasets.nile.load_pandas().data.volume
    return {
        "co2, months": (co2.to_numpy(), 12),
        "El Niño, months": (elnino, 12),
        "sunspots, years": (sunspots.to_numpy(), 11),
        "Nile, years": (nile.to_numpy(), 1),
    }


def season_before(given: Problem) -> list[Candidate]:
    return [{"season": given.study["fixed"]["horizon"]}]


def naive(given: Problem, candidate: Candidate, learnt: np.ndarray, held: np.ndarray) -> Scores:
    """The season before each origin once more."""
    season = candidate["season"]
    data = windows.prepare(Part(given.dataset, learnt), Part(given.dataset, held), season, season, "cpu")
    again = data.raw(data.x_validation[:, :-1].numpy())
    return metrics.regression(data.y_raw.ravel(), again.ravel())


FAMILY = Family(
    name="sequence",
    trainer="sequence",
    seconds=6,
    problems=problems,
    usual=(Usual(name="seasonal naive", candidates=season_before, answer=naive),),
)

if __name__ == "__main__":
    run.main(FAMILY.name)
