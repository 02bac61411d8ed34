"""The example of a trainer of one's own, installed by pip into a fresh environment beside one that is broken."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.waiting import ended, until
from tests.whole import free_port
from trainers import catalog
from tuner import keys
from tuner.client import Client, ClientError
from tuner.settings import child_environment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that sees the packages of this one, and has the example and a broken trainer besides."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    python = folder / "bin/python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip())
    (packages / "outer.pth").write_text(sysconfig.get_path("purelib") + "\n")
    example = shutil.copytree(ROOT / "examples/own_trainer", folder / "own_trainer")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    subprocess.run([python, "-m", "pip", "install", *options, str(example)], check=True, env=environment())

    broken = packages / "broken_trainer-1.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-trainer\nVersion: 1\n")
    points = "[tuner.trainers]\ntabular-broken = no_such_module:TRAINER\ntabular-mlp = json:loads\n"
    (broken / "entry_points.txt").write_text(points)
    return python


def environment(**known: str) -> dict[str, str]:
    return child_environment("TUNER_", PYTHONPATH=str(ROOT), **known)


@pytest.fixture
def client(python: Path, tmp_path: Path) -> Iterator[Client]:
    """A whole service, with one worker slot, that runs in that environment."""
    port = free_port()
    for part in (tmp_path, *tmp_path.parents[:3]):  # one more where test files run side by side
        part.chmod(0o711)
    known = environment(TUNER_DATA=str(tmp_path / "data"), TUNER_PORT=str(port))
    command = [str(python), "-m", "tuner.cli", "up", "--slots", "1"]
    with (tmp_path / "output.txt").open("wb") as out:
        service = subprocess.Popen(command, env=known, stdout=out, stderr=out)
    try:
        file = keys.key_file(tmp_path / "data", keys.Role.ADMIN)
        until(file.exists, "the key is there")
        with Client(f"http://127.0.0.1:{port}", file.read_text().strip()) as opened:
            until(lambda: opened.is_ready() and bool(opened.workers().items), "service and worker are there")
            yield opened
    finally:
        service.terminate()
        service.wait(60)


def test_a_trainer_of_ones_own_trains_and_a_broken_one_takes_nothing_down(client: Client, tmp_path: Path) -> None:
    listed = client.trainers()
    assert [trainer.name for trainer in listed.items] == [*catalog.TRAINERS, "tabular-gated"]
    gated = listed.items[-1]
    assert next(each.default for each in gated.hyperparameters if each.name == "gate_bias") == 1.0
    assert set(listed.broken) == {"tabular-broken", "tabular-mlp"}
    assert "no_such_module" in listed.broken["tabular-broken"]
    assert "tabular-gated@1" in client.workers().items[0].trainers

    spec: dict[str, Any] = {"name": "own", "dataset": "iris", "trainer": "tabular-gated", "fixed": {"epochs": 10}}
    study = ended(client, client.submit({**spec, "budget": {"trials": 3}}).id)
    assert (study.state, study.progress.complete) == ("completed", 3)
    assert study.best is not None
    assert study.best.value > 0.9
    assert "gate_bias" in client.best(study.id)[0].params
    assert study.final is not None
    assert (study.final.state, study.final.model_uri) == ("complete", "models:/own@champion")

    with pytest.raises(ClientError, match="tabular-broken' is installed and cannot be used"):
        client.submit({**spec, "name": "other", "trainer": "tabular-broken", "budget": {"trials": 3}})
    for process in ("server", "worker"):
        assert "tabular-broken" in (tmp_path / f"data/logs/{process}.log").read_text()


def test_the_catalog_finds_it_without_torch(python: Path) -> None:
    ask = (
        "import sys, json; from trainers import catalog; catalog.trainers();"
        "print(json.dumps(['torch' in sys.modules, catalog.get('tabular-mlp').entry_point]))"
    )
    answer = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True, env=environment())

    assert json.loads(answer.stdout) == [False, "trainers.tabular_mlp:train"]
    assert sys.executable != str(python)
