"""`docker-compose.yml` and `Dockerfile` against what they start: no engine is needed, and none is asked."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tuner import cli
from tuner.settings import Settings

ROOT = Path(__file__).parents[2]
OURS = ("server", "maintenance", "worker", "worker-cpu")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())  # type: ignore[no-any-return]


@pytest.mark.parametrize("service", OURS)
def test_every_service_runs_a_command_that_there_is(compose: dict[str, Any], service: str) -> None:
    program, command = compose["services"][service]["command"]

    assert program == "tuner"
    assert command in {str(each.callback.__name__) for each in cli.app.registered_commands if each.callback}


@pytest.mark.parametrize("service", OURS)
def test_what_it_is_told_is_a_setting_and_no_secret_stands_in_the_file(compose: dict[str, Any], service: str) -> None:
    fields = {f"tuner_{name}" for name in Settings.model_fields}

    assert {name.lower() for name in compose["services"][service]["environment"]} <= fields
    assert set(compose["services"][service]["secrets"]) <= fields & set(compose["secrets"])
    assert "postgresql://" not in (ROOT / "docker-compose.yml").read_text()


def test_a_worker_knows_its_own_key_alone(compose: dict[str, Any]) -> None:
    assert compose["services"]["worker"]["secrets"] == ["tuner_worker_key"]


def test_ports_are_published_on_this_machine_alone(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]

    assert ports == ["127.0.0.1:8642:8642"]


def test_secrets_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "tuner_admin_key").write_text("a-key-out-of-a-file\n")

    assert Settings(_secrets_dir=tmp_path).admin_key == "a-key-out-of-a-file"


def test_the_image_gets_every_folder_that_the_package_has(tmp_path: Path) -> None:
    copied = re.findall(r"^COPY (\w+) \1$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    context = tmp_path / "context"
    for folder in copied:
        shutil.copytree(ROOT / folder, context / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, context / file)
    built = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*built, str(context)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert {name.partition("/")[0] for name in names if name.endswith(".py")} == set(copied)
    revisions = {path.name for path in (ROOT / "migrations" / "versions").glob("0*.py")}
    assert revisions <= {Path(name).name for name in names if name.startswith("migrations/versions/")}
