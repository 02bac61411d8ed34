"""The command line against the running service: each command in a process of its own, errors as one line with the cure."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import optuna
import pytest
import typer

from tests.acceptance.waiting import ended
from tests.zipped import digits, packed
from tuner import cli, up
from tuner.client import Client
from tuner.settings import child_environment
from tuner.wire_datasets import DatasetSource

SPEC = """
name: {name}
dataset: iris
search_space:
  learning_rate: {{type: float, low: 1e-4, high: 1e-1, log: true}}
  width: {{type: int, low: 16, high: 64}}
fixed: {{epochs: 3}}
sampler: {{name: random, seed: 1}}
budget: {{trials: 5}}
"""


@pytest.fixture
def tuner(service: up.Service) -> Any:
    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        settings = service.settings
        known = {"TUNER_DATA": str(settings.data), "TUNER_PORT": str(settings.port)}
        return subprocess.run(
            [sys.executable, "-m", "tuner.cli", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=child_environment(**known | environment),
        )

    return run


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    file = tmp_path / "study.yaml"
    file.write_text(SPEC.format(name=f"cli {uuid.uuid4().hex[:8]}"))
    return file


def test_a_study_from_file_to_result_and_through_optunas_file_into_another(
    tuner: Any, client: Client, spec_file: Path, tmp_path: Path
) -> None:
    study = json.loads(tuner("submit", str(spec_file), "--json").stdout)
    watched = tuner("watch", str(study["id"]))
    assert watched.returncode == 0
    assert "5/5 done" in watched.stdout
    ended(client, study["id"])

    name = study["name"]
    assert any(s["name"] == name for s in json.loads(tuner("studies", "--json").stdout))
    assert len(json.loads(tuner("trials", name, "--json").stdout)) == 5
    assert json.loads(tuner("best", name, "--json").stdout)[0]["number"] == client.study(name).best.number  # type: ignore[union-attr]
    assert set(json.loads(tuner("importances", name, "--json").stdout)) == {"learning_rate", "width"}
    for command in (
        ["studies"],
        ["trials", name],
        ["trial", f"{name}/0"],
        ["best", name],
        ["importances", name],
        ["workers"],
    ):
        shown = tuner(*command)
        assert shown.returncode == 0, shown.stderr
        assert "Traceback" not in shown.stderr

    url = f"sqlite:///{tmp_path}/out.db"
    assert tuner("export", name, url).stdout == f"5 trials of {name} are in {url}\n"
    exported = json.loads(tuner("export", name, f"sqlite:///{tmp_path}/again.db", "--json").stdout)
    assert exported["trials"] == 5
    assert len(optuna.load_study(study_name=name, storage=url).trials) == 5
    new = json.loads(tuner("import", url, str(spec_file), "--name", f"{name} again", "--json").stdout)
    assert (new["imported"], new["skipped"]) == (5, 0)
    again = ended(client, new["study"]["id"])
    assert (again.progress.finished, again.progress.budget) == (10, 10)
    assert tuner("delete", name).returncode == 0
    assert tuner("best", name).returncode == 1


def test_a_dry_run_prints_the_whole_study(tuner: Any, spec_file: Path) -> None:
    printed = json.loads(tuner("submit", str(spec_file), "--dry-run").stdout)

    assert printed["spec"]["trainer"] == "tabular-mlp"
    assert printed["facts"]["task"] == "classification"


@pytest.mark.parametrize(
    ("arguments", "environment", "status", "cure"),
    [
        (["best", "no such study"], {}, 1, "tuner studies"),
        (["studies"], {"TUNER_KEY": "wrong"}, 1, "does not know this key"),
        (["studies"], {"TUNER_URL": "http://127.0.0.1:9"}, 3, "is it running"),
        (["studies"], {"TUNER_DATA": "/nowhere"}, 1, "TUNER_KEY"),
        (["studies"], {"TUNER_PORT": "many"}, 1, "TUNER_PORT"),
        (["studies", "--sideways"], {}, 2, "No such option"),
        (["submit", "/nowhere.yaml"], {}, 2, "does not exist"),
        (["server"], {}, 1, "TUNER_DATABASE_URL"),
        (["up"], {}, 1, "choose another with --port"),
        (["import", "sqlite:////nowhere.db"], {}, 1, "no file"),
        (["import", "sqlite:////etc/passwd"], {}, 1, "cannot be used"),
        (["server"], {"TUNER_DATABASE_URL": "sqlite:///x.db"}, 1, "must be PostgreSQL"),
        (["server"], {"TUNER_DATABASE_URL": "nonsense"}, 1, "cannot be used"),
        (["studies"], {"TUNER_KEY": "clé"}, 1, "is not a key"),
        (["studies"], {"TUNER_URL": "ftp://x"}, 1, "begins with http"),
    ],
)
def test_an_error_is_one_line_with_the_cure(
    tuner: Any, arguments: list[str], environment: dict[str, str], status: int, cure: str
) -> None:
    answer = tuner(*arguments, **environment)

    assert answer.returncode == status, answer.stderr
    assert cure in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_bad_study_is_refused_with_pointers(tuner: Any, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("name: bad\ndataset: mnist\nbudget: {trials: 5}\n")
    refused = tuner("submit", str(file))
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert refused.stderr.startswith("tuner: /dataset: ")

    for odd in ("name: 2024-01-01", "budget: {target: .nan}", "a: &a [*a]", "name: !!binary aGk=", "[" * 3000):
        file.write_text(odd + "\n")
        refused = tuner("submit", str(file), "--dry-run")
        assert refused.returncode == 1
        assert "Traceback" not in refused.stderr

    file.write_text("name: [unclosed\n")
    refused = tuner("submit", str(file))
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "is not YAML" in refused.stderr


def test_help_comes_quickly(tuner: Any) -> None:
    taken_s = []
    for _ in range(5):
        started = time.monotonic()
        assert tuner("--help").returncode == 0
        taken_s.append(time.monotonic() - started)

    assert statistics.median(taken_s) < 2  # 0.2 s on an idle machine


# ---- data sets -------------------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A file with a name of its own: columns are a number, a postcode and the target."""
    file = tmp_path / f"plants {uuid.uuid4().hex[:8]}.csv"
    rows = (f"{i % 17 + (i % 2) * 9},{10000 + i % 5},{'tall' if i % 2 else 'small'}" for i in range(120))
    file.write_text("\n".join(["leaves,postcode,size", *rows]))
    return file


def test_a_file_of_data_is_uploaded_and_tuned_in_one_go(tuner: Any, client: Client, table: Path) -> None:
    done = tuner(
        "submit", "--dataset", str(table), "--target", "size", "--kind", "postcode=category", "--trials", "2", "--watch"
    )

    assert done.returncode == 0, done.stderr
    assert f"{table.stem}@1: tabular data for classification, 120 rows, 2 features" in done.stdout
    assert "10000, 10001, 10002, 10003, 10004" in done.stdout
    assert "classes of size: small 60, tall 60" in done.stdout
    assert "2/2 done" in done.stdout
    study = client.study(table.stem)
    assert (study.spec.dataset, study.progress.complete) == (f"{table.stem}@1", 2)

    used = tuner("dataset", "delete", table.stem)
    assert (used.returncode, used.stderr.count("\n")) == (1, 1)
    assert f"tuner: {table.stem}@1 is used by" in used.stderr
    ended(client, study.id)
    client.delete(study.id)
    assert tuner("dataset", "delete", f"{table.stem}@1").stdout == f"Data set {table.stem}@1 is deleted.\n"


@pytest.mark.parametrize("command", [["dataset", "add"], ["submit"]])
def test_all_that_rest_takes_of_a_data_set_can_be_said(command: list[str]) -> None:
    found: Any = typer.main.get_command(cli.app)
    for name in command:
        found = found.commands[name]
    options = {option for parameter in found.params for option in parameter.opts}
    singular = {"columns": "kind", "user_features": "user-feature", "item_features": "item-feature"}
    wanted = {f"--{singular.get(field, field).replace('_', '-')}" for field in DatasetSource.model_fields}

    assert wanted <= options


def test_a_file_is_split_by_the_column_that_an_option_names(tuner: Any, table: Path, tmp_path: Path) -> None:
    said = ("--dataset", str(table), "--target", "size", "--dry-run")
    grouped = json.loads(tuner("submit", *said, "--trials", "1", "--split-group", "postcode").stdout)
    study = tmp_path / "study.yaml"
    study.write_text("budget: {trials: 1}\nevaluation: {time: leaves, validation: 0.3}\n")
    timed = json.loads(tuner("submit", str(study), *said, "--split-time", "postcode").stdout)

    assert grouped["spec"]["evaluation"]["group"] == "postcode"
    assert grouped["facts"]["split"]["test_groups"] == 1
    assert (timed["spec"]["evaluation"]["time"], timed["spec"]["evaluation"]["validation"]) == ("postcode", 0.3)
    assert timed["facts"]["split"]["by"] == "time"


def test_a_file_of_images_is_made_smaller_on_submission(tuner: Any, client: Client, tmp_path: Path) -> None:
    file = tmp_path / f"digits {uuid.uuid4().hex[:8]}.zip"
    file.write_bytes(packed(digits(60)))
    done = tuner("submit", "--dataset", str(file), "--image-size", "6", "--trials", "1", "--dry-run")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["facts"]["dataset"]["features"] == 36
    client.delete_dataset(file.stem)


def test_a_file_called_like_a_built_in_set_is_uploaded_under_a_name_of_its_own(
    tuner: Any, client: Client, table: Path
) -> None:
    file = table.rename(table.with_name("iris.csv"))

    done = tuner("submit", "--dataset", str(file), "--target", "size", "--trials", "1", "--dry-run")

    assert done.returncode == 0, done.stderr
    spec = json.loads(done.stdout)["spec"]
    assert (spec["name"], spec["dataset"]) == ("my-iris", "my-iris@1")
    assert (client.dataset("iris").builtin, client.dataset("iris").rows) == (True, 150)
    assert client.dataset("my-iris").rows == 120
    client.delete_dataset("my-iris")


def test_data_sets_are_added_listed_and_shown(tuner: Any, table: Path, tmp_path: Path) -> None:
    name = uuid.uuid4().hex[:8]
    lines = table.read_text().splitlines()
    for part, rows in (("train", lines[1:81]), ("test", lines[81:])):
        (tmp_path / f"{part}.csv").write_text("\n".join([lines[0], *rows]).replace("small", "groß"), encoding="latin-1")
    parts = ["--train", str(tmp_path / "train.csv"), "--test", str(tmp_path / "test.csv"), "--encoding", "latin-1"]

    added = json.loads(tuner("dataset", "add", "--name", name, *parts, "--target", "size", "--json").stdout)
    assert (added["version"], added["parts"]) == (1, {"train": 80, "test": 40})
    assert [each["name"] for each in added["class_rows"]] == ["groß", "tall"]
    more = tuner("dataset", "add", str(table), "--name", name, "--target", "size")
    assert f"{name}@2: " in more.stdout
    assert "other versions: 1" in more.stdout
    listed = json.loads(tuner("datasets", "--json").stdout)
    assert next(each for each in listed if each["name"] == name)["version"] == 2
    assert listed[-1]["builtin"]
    shown = tuner("data", "show", f"{name}@1")
    assert "(train 80, test 40)" in shown.stdout
    assert "look: 5 of 40 rows of test are also in train" in shown.stdout
    assert json.loads(tuner("dataset", "show", name, "--json").stdout)["version"] == 2
    assert f"{name}@2" in tuner("datasets").stdout


@pytest.mark.parametrize(
    ("arguments", "status", "cure"),
    [
        (["submit"], 2, "--dataset"),
        (["submit", "--dataset", "iris"], 2, "--trials"),
        (["submit", "--dataset", "gone.csv", "--trials", "1"], 1, "there is no file gone.csv"),
        (["submit", "--dataset", "iris", "--target", "y", "--trials", "1"], 2, "file"),
        (["submit", "--dataset", "TABLE", "--trials", "1"], 1, "say target"),
        (["dataset", "add", "TABLE", "--target", "price"], 1, "leaves, postcode, size"),
        (["dataset", "add", "TABLE", "--target", "size", "--kind", "postcode"], 2, "COLUMN=KIND"),
        (["dataset", "add", "TABLE", "--target", "size", "--kind", "postcode=text"], 1, "/columns/postcode: "),
        (
            ["dataset", "add", "TABLE", "--target", "size", "--kind", "postcode=date"],
            1,
            "tuner: /data: row 2, column 'postcode'",
        ),
        (["dataset", "add", "TABLE", "--target", "size", "--name", "iris"], 1, "built in"),
        (["dataset", "add", "--train", "TABLE", "--target", "size"], 2, "--name"),
        (["dataset", "show", "gone"], 1, "tuner datasets"),
        (["dataset", "show", "iris@x"], 2, "iris@1"),
        (["dataset", "delete", "iris"], 1, "built in"),
    ],
)
def test_what_is_wrong_with_a_data_set_is_told_with_the_cure(
    tuner: Any, table: Path, arguments: list[str], status: int, cure: str
) -> None:
    answer = tuner(*(str(table) if each == "TABLE" else each for each in arguments), COLUMNS="200")

    assert answer.returncode == status, answer.stderr
    assert cure in answer.stderr
    assert "Traceback" not in answer.stderr
