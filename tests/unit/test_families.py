"""The benchmark of families: how long a library may tune, what a table says, and where it is written."""

from pathlib import Path

import pytest

from benchmarks.families import run, table, tabular, usual
from benchmarks.families.problem import Problem, Result

DEFAULTS, TUNED = tabular.FAMILY.usual


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    found = tabular.problems(0, tmp_path_factory.mktemp("families"))
    return next(problem for problem in found if problem.name == "wine")


def test_a_library_whose_time_is_over_has_tried_its_default_alone(wine: Problem) -> None:
    default, tuned = usual.search(DEFAULTS, wine, seconds=0), usual.search(TUNED, wine, seconds=0)

    assert (default.tried, tuned.tried) == (1, 1)
    assert tuned.scores == pytest.approx(default.scores)
    assert 0.8 < tuned.scores["accuracy"] <= 1


def test_a_table_compares_on_the_same_rows(wine: Problem) -> None:
    ours = [Result({"log_loss": loss, "accuracy": 0.9, "roc_auc": 1.0}, 20, 8.0) for loss in (0.1, 0.5)]
    theirs = [Result({"log_loss": loss, "accuracy": 0.8}, 40, 9.0) for loss in (0.2, 0.2)]

    lines = table.of_sets({"wine": (wine, {"ours": ours, "theirs": theirs})}).splitlines()

    assert lines[2] == "| wine | ours | 0.3 ± 0.28 | 0.9 ± 0 | 1 ± 0 |  |  | 20 | 8.0 |"
    assert lines[3] == "|  | theirs | 0.2 ± 0 | 0.8 ± 0 |  | +0.1 ± 0.28 | 1 of 2 | 40 | 9.0 |"


def test_the_page_has_a_place_for_every_family(tmp_path: Path) -> None:
    page = tmp_path / "families.md"
    page.write_text(table.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    for family in run.FAMILIES:
        table.write(page, family, f"measured of {family}")
        table.write(page, family, f"measured again of {family}")

    written = page.read_text(encoding="utf-8")
    assert all(f"measured again of {family}" in written for family in run.FAMILIES)
    assert "measured of" not in written
    assert "## Forecasting" in written
