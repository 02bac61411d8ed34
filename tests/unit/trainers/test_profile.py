"""What is said of a data set at first sight, each finding once on data that has it and never on data that has not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.unit.trainers.stored import store
from trainers.data import files, inspect, profile
from trainers.data.load import load

ROWS = 200


def sound(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=rows), rng.normal(size=rows)
    town, day = rng.choice(["Bonn", "Köln", "Ulm"], rows), rng.integers(0, 400, rows)
    y = np.where(a + rng.normal(0, 0.7, rows) > 0, "yes", "no")
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(day, unit="D")
    return pd.DataFrame({"a": a, "b": b, "town": town, "day": days.strftime("%Y-%m-%d"), "y": y})


def profiled(folder: Path, table: pd.DataFrame, **said: Any) -> dict[str, Any]:
    made = store(folder / "set", {"data.csv": table.to_csv(index=False)}, target="y", **said)
    seen: dict[str, Any] = inspect.inspect(made)["profile"]
    assert json.loads(json.dumps(seen, allow_nan=False)) == seen
    return seen


def findings(folder: Path, table: pd.DataFrame, **said: Any) -> dict[str, str]:
    """By what they are and the column; the text."""
    found = profiled(folder, table, **said)["findings"]
    return {" ".join(filter(None, (each["what"], each["column"]))): each["text"] for each in found}


def test_columns_classes_and_ranges_are_told(tmp_path: Path) -> None:
    table = sound()
    table.loc[:9, "a"] = None
    seen = profiled(tmp_path, table)
    by_name = {column.pop("name"): column for column in seen["columns"]}

    assert (seen["kind"], seen["task"], seen["rows"], seen["images"]) == ("tabular", "classification", ROWS, None)
    assert {each["name"]: each["rows"] for each in seen["classes"]} == table["y"].value_counts().to_dict()
    kinds = {"a": "number", "b": "number", "town": "category", "day": "date"}
    assert {name: column["kind"] for name, column in by_name.items()} == kinds
    assert (by_name["a"]["missing"], by_name["a"]["different"]) == (10, 190)
    assert by_name["a"]["low"] == pytest.approx(table["a"].min())
    assert by_name["a"]["mean"] == pytest.approx(table["a"].mean())
    assert by_name["b"]["deviation"] == pytest.approx(table["b"].std(ddof=0))
    counts = table["town"].value_counts()
    assert {each["value"]: each["rows"] for each in by_name["town"]["top"]} == counts.to_dict()
    assert by_name["town"]["different"] == 3


def test_nothing_is_found_where_nothing_is_wrong(tmp_path: Path) -> None:
    assert findings(tmp_path, sound()) == {}


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine", "diabetes"])
def test_the_built_in_sets_are_sound(name: str) -> None:
    assert profile.of(load(name))["findings"] == []


def test_iris_really_has_a_flower_twice() -> None:
    assert [each["what"] for each in profile.of(load("iris"))["findings"]] == ["duplicates"]


def test_ids_and_constants_that_their_owner_wants_are_told(tmp_path: Path) -> None:
    table = sound()
    table.insert(0, "serial", np.random.default_rng(1).permutation(ROWS) + 5000)
    table["unit"] = ["mg"] * (ROWS - 1) + ["g"]
    table["flag"] = "x"
    table["empty"] = [1.5] * 50 + [None] * 150
    found = findings(tmp_path, table, columns={"flag": "category"})

    assert set(found) == {"id-like serial", "constant unit", "constant flag", "missing empty"}
    assert "say columns: {serial: ignore}" in found["id-like serial"]
    assert "unit is the same in 99.5 % of rows" in found["constant unit"]
    assert "empty has no value in 75 % of rows" in found["missing empty"]


def test_a_column_that_tells_the_target_is_told_whatever_form_it_has(tmp_path: Path) -> None:
    table = sound()
    yes = (table["y"] == "yes").to_numpy()
    rng = np.random.default_rng(1)
    table["score"] = np.where(yes, 3, 1) + rng.random(ROWS)
    table["code"] = np.where(yes, rng.choice(["A", "C"], ROWS), rng.choice(["B", "D"], ROWS))
    table["twisted"] = np.where(yes, rng.choice([-3, 3], ROWS), 0) + rng.normal(0, 0.2, ROWS)
    table["left"] = [f"2024-0{3 if each else 7}-{1 + i % 28:02}" for i, each in enumerate(yes)]
    table["nearly"] = np.where(rng.random(ROWS) < 0.1, 4, np.where(yes, 3, 1)) + rng.random(ROWS)
    found = findings(tmp_path, table)

    assert set(found) == {f"tells-target {name}" for name in ("score", "code", "twisted", "left")}
    assert (
        "score alone tells the target: is it known before the target is? If not, say columns: {score: ignore}"
        in (found["tells-target score"])
    )


def test_rows_in_the_order_of_their_classes_are_told_by_their_number(tmp_path: Path) -> None:
    table = sound().sort_values("y")
    table["place"] = np.arange(ROWS) * 7.5

    assert set(findings(tmp_path, table)) == {"tells-target place"}


def test_a_target_of_regression_that_is_a_column_in_other_units_is_told(tmp_path: Path) -> None:
    table = sound()
    table["y"] = np.random.default_rng(3).normal(size=ROWS)
    table["cents"] = table["y"] * 100
    table["rank"] = table["y"] + np.random.default_rng(4).normal(0, 0.3, ROWS)
    seen = profiled(tmp_path, table)

    assert [(each["what"], each["column"]) for each in seen["findings"]] == [("tells-target", "cents")]
    assert seen["target"]["mean"] == pytest.approx(table["y"].mean())
    assert seen["classes"] == []


def test_a_rare_class_is_told(tmp_path: Path) -> None:
    table = sound()
    table["y"] = ["rare"] * 12 + ["usual"] * (ROWS - 12)
    table = table.sample(frac=1, random_state=0)

    text = findings(tmp_path, table)["imbalance"]
    assert "class rare has 12 of 200 rows, 16 times fewer than the largest: judge by average_precision" in text


def test_copies_contradictions_and_rows_on_both_sides_are_told(tmp_path: Path) -> None:
    table = sound()
    copies = pd.concat([table, table.head(5)])
    copies.iloc[-1, -1] = "no" if copies.iloc[-1, -1] == "yes" else "yes"
    found = findings(tmp_path, copies)
    assert set(found) == {"duplicates", "contradictions"}
    assert "5 of 205 rows are copies of others" in found["duplicates"]
    assert "1 rows are copies of others but for their class" in found["contradictions"]

    parted = pd.concat(
        [table.assign(part="train"), table.head(7).assign(part="test"), sound(30, 9).assign(part="test")]
    )
    found = findings(tmp_path / "parts", parted, split_column="part")
    assert set(found) == {"duplicates", "leak"}
    assert "7 of 37 rows of test are also in train" in found["leak"]


def test_images_are_told_by_size_and_their_copies_are_found(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 3)).astype(np.uint8)
    x[39] = x[0]
    made = store(tmp_path / "set", {"data.npz": {"x": x, "y": np.arange(40) % 2}})
    seen = profile.of(files.load(made, "set"))

    assert seen["images"] == {"height": 6, "width": 5, "channels": 3, "low": float(x.min()), "high": float(x.max())}
    assert [each["what"] for each in seen["findings"]] == ["duplicates", "contradictions"]


def test_very_wide_tables_are_looked_at_in_part(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(40, 1010)), columns=[f"c{i}" for i in range(1010)])
    table["y"] = np.arange(40) % 2
    made = store(tmp_path / "set", {"data.npz": {"x": table.to_numpy()[:, :-1], "y": table["y"].to_numpy()}})
    seen = profile.of(files.load(made, "set"))

    assert len(seen["columns"]) == 1000
    assert "only the first 1000 of 1010 columns were looked at" in [each["text"] for each in seen["findings"]]
