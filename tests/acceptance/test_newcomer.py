"""A newcomer with a table of their own, who reads the README and types what stands there."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tests.acceptance.waiting import until
from tests.folders import data_folder
from tuner.settings import child_environment

README = (Path(__file__).parents[2] / "README.md").read_text()


def typed(beginning: str) -> list[str]:
    """The README's command that begins so."""
    (line,) = {line for line in README.splitlines() if line.startswith(beginning)}
    return shlex.split(line, comments=True)


class Newcomer:
    """A folder, and a shell in it after `. .venv/bin/activate`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = child_environment("TUNER_", PATH=path)

    def types(self, command: list[str]) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def newcomer() -> Iterator[Newcomer]:
    with data_folder() as folder:
        who = Newcomer(folder)
        with (folder / "up.txt").open("wb") as out:
            up = subprocess.Popen(["tuner", "up"], cwd=folder, env=who.environment, stdout=out, stderr=out)
        try:
            until((folder / ".tuner" / "url").exists, "it serves", 90)
            yield who
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(60)


def passengers(rows: int, seed: int) -> pd.DataFrame:
    """Mixed columns with gaps; who survives depends on them."""
    draw = np.random.default_rng(seed)
    age, fare = draw.normal(35, 14, rows).clip(1, 90).round(1), draw.lognormal(3, 1, rows).round(2)
    deck = draw.choice(["upper", "middle", "below"], rows)
    ill = draw.choice(["yes", "no"], rows)
    born = pd.Timestamp("1912-04-10") - pd.to_timedelta((age * 365).astype(int), "D")
    odds = 2.0 * (deck == "upper") - 2.0 * (deck == "below") - 0.05 * (age - 35) - 1.5 * (ill == "yes")
    survived = np.where(odds + draw.logistic(size=rows) > 0, "survived", "died")
    table = pd.DataFrame(
        {
            "age": age,
            "fare": [f"£{value:,.2f}" for value in fare],
            "deck": deck,
            "ill": ill,
            "born": born.strftime("%Y-%m-%d"),
            "survived": survived,
        }
    ).astype(object)
    for column in ("age", "fare", "deck"):
        table.loc[draw.random(rows) < 0.1, column] = "N/A"
    return table


def test_from_a_table_of_ones_own_to_predictions(newcomer: Newcomer) -> None:
    passengers(300, seed=1).to_csv(newcomer.folder / "passengers.csv", index=False, encoding="utf-8-sig")
    new = passengers(40, seed=2)
    new.drop(columns="survived").to_csv(newcomer.folder / "new.csv", index=False)

    shown = newcomer.types(typed("tuner submit --dataset passengers.csv"))
    newcomer.types(typed("tuner predict passengers"))

    assert "50/50" in shown
    predicted = pd.read_csv(newcomer.folder / "predicted.csv")
    assert len(predicted) == 40
    probabilities = predicted[["died", "survived"]]
    assert probabilities.sum(axis=1).to_numpy() == pytest.approx(1.0)
    taken = predicted["prediction"] == "survived"
    assert roc_auc_score(new["survived"] == "survived", probabilities["survived"]) > 0.6, "what the study tunes for"
    least, most = probabilities["survived"][taken].min(), probabilities["survived"][~taken].max()
    assert least > most, "whoever is taken for a survivor is likelier one than all others"
