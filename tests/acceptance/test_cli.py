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

from tests.acceptance.waiting import ended
from tuner import up
from tuner.client import Client
from tuner.settings import child_environment

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
    for command in (["studies"], ["trials", name], ["best", name], ["importances", name], ["workers"]):
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
        (["studies"], {"TUNER_KEY": "wrong"}, 1, "send a key"),
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
