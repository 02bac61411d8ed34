"""`tuner predict` reads new rows as the data set itself was read, whatever they are written in."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import uuid
from pathlib import Path

import pandas as pd
import pytest

from tests.acceptance.waiting import ended
from tuner import up
from tuner.client import Client
from tuner.settings import child_environment

HEADER = " größe ; ort ;aktiv; seit;preis;antwort"


def lines(rows: int) -> list[str]:
    """As a German spreadsheet has them: semicolons, commas, blanks about the header, words for what is missing."""
    written = []
    for i in range(rows):
        yes = i % 2 == 0
        size = ("#N/A", "-", "?", "nil")[i // 10 % 4] if i % 10 == 9 else str(150 + i % 40)
        active = "" if i % 8 == 7 else str(yes).lower()
        day, price = f"{i % 28 + 1:02}.01.2024", f"{1000 + i},50"
        written.append(";".join([size, "Köln" if yes else "Zürich", active, day, price, "ja" if yes else "nein"]))
    return written


@pytest.fixture(scope="module")
def study(service: up.Service, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A completed study on that file, in Latin-1."""
    name = f"german {uuid.uuid4().hex[:8]}"
    file = tmp_path_factory.mktemp("german") / "german.csv"
    file.write_text("\n".join([HEADER, *lines(160)]), encoding="latin-1")
    with Client(service.settings.base_url, service.admin_key) as client:
        client.upload_dataset(name, data=file, target="antwort", encoding="latin-1")
        spec = {"name": name, "dataset": name, "fixed": {"epochs": 20}, "budget": {"trials": 1}}
        assert ended(client, client.submit(spec).id).progress.complete == 1
    return name


@pytest.fixture
def predict(service: up.Service) -> object:
    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tuner.cli", "predict", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env=child_environment(TUNER_DATA=str(service.settings.data), TUNER_PORT=str(service.settings.port)),
        )

    return run


def test_new_rows_are_read_as_the_data_set_was(study: str, predict: object, tmp_path: Path) -> None:
    new = lines(40)
    text = "\n".join([HEADER, *new]) + "\n"
    (tmp_path / "new.csv").write_text(text, encoding="latin-1")
    (tmp_path / "new.tsv").write_text(text.replace(";", "\t"), encoding="latin-1")
    (tmp_path / "marked.csv").write_text(text, encoding="utf-8-sig")
    frame = pd.read_csv(io.StringIO(text), sep=";", na_values=["-", "?", "nil"])
    frame.to_parquet(tmp_path / "new.parquet")

    outputs = {}
    for name, said in (
        ("new.csv", []),
        ("new.tsv", []),
        ("marked.csv", []),
        ("new.parquet", []),
        ("new.csv", ["--encoding", "latin-1", "--delimiter", ";"]),
    ):
        done = predict(study, tmp_path / name, *said)  # type: ignore[operator]
        assert done.returncode == 0, done.stderr
        outputs[name] = list(csv.DictReader(io.StringIO(done.stdout)))

    truth = [line.rpartition(";")[2] for line in new]
    for rows in outputs.values():
        right = [row["prediction"] == answer for row, answer in zip(rows, truth, strict=True)]
        assert sum(right) > 0.9 * len(right)
        assert [row["ja"] for row in rows] == [row["ja"] for row in outputs["new.csv"]]
    assert [row["größe"] for row in outputs["new.csv"]] == [line.partition(";")[0] for line in new], "as it was written"


def test_a_file_that_is_written_in_another_way_is_told_with_the_cure(
    study: str, predict: object, tmp_path: Path
) -> None:
    (tmp_path / "new.csv").write_text(
        "\n".join([HEADER, *lines(4)]).replace("ü", "上海"), encoding="gbk", errors="replace"
    )
    (tmp_path / "broken.csv").write_text("\n".join([HEADER, *lines(4), "1;2"]), encoding="latin-1")

    for name, said, cure in (
        ("broken.csv", [], "tuner: broken.csv, row 6: 2 cells, and the header has 6: give it all of them, or"),
        ("new.csv", ["--encoding", "utf-8"], "it is not utf-8 here: say encoding: "),
        ("new.csv", ["--encoding", "klingon"], "there is no encoding 'klingon'"),
        ("new.csv", ["--delimiter", ";;"], "use one ASCII character"),
    ):
        done = predict(study, tmp_path / name, *said)  # type: ignore[operator]
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert cure in done.stderr
