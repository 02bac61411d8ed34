"""The examples of trainers of one's own, installed by pip into a fresh environment beside one that is broken.

The champions of the two that answer in texts are used from this environment, in which they are not installed.
"""

from __future__ import annotations

import itertools
import json
import runpy
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.acceptance.waiting import ended, until
from tests.clips import needs_prompts
from tests.whole import free_port
from trainers import answers, catalog
from tuner import keys
from tuner.client import Client, ClientError
from tuner.settings import child_environment

ROOT = Path(__file__).parents[2]
EXAMPLES = ("object_detector", "own_trainer", "speech_commands")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that sees the packages of this one, and has the examples and a broken trainer besides."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    python = folder / "bin/python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip())
    (packages / "outer.pth").write_text(sysconfig.get_path("purelib") + "\n")
    examples = [str(shutil.copytree(ROOT / "examples" / name, folder / name)) for name in EXAMPLES]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    subprocess.run([python, "-m", "pip", "install", *options, *examples], check=True, env=environment())

    broken = packages / "broken_trainer-1.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-trainer\nVersion: 1\n")
    points = "[tuner.trainers]\ntabular-broken = no_such_module:TRAINER\ntabular-mlp = json:loads\n"
    (broken / "entry_points.txt").write_text(points)
    return python


def environment(**known: str) -> dict[str, str]:
    return child_environment("TUNER_", PYTHONPATH=str(ROOT), **known)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where the service is, and its data."""
    folder = tmp_path_factory.mktemp("service")
    for part in (folder, *folder.parents[:3]):  # one more where test files run side by side
        part.chmod(0o711)
    return {"TUNER_DATA": str(folder / "data"), "TUNER_PORT": str(free_port())}


@pytest.fixture(scope="module")
def client(python: Path, known: dict[str, str]) -> Iterator[Client]:
    """A whole service, with one worker slot, that runs in that environment."""
    data = Path(known["TUNER_DATA"])
    command = [str(python), "-m", "tuner.cli", "up", "--slots", "1"]
    with (data.parent / "output.txt").open("wb") as out:
        service = subprocess.Popen(command, env=environment(**known), stdout=out, stderr=out)
    try:
        file = keys.key_file(data, keys.Role.ADMIN)
        until(file.exists, "the key is there")
        with Client(f"http://127.0.0.1:{known['TUNER_PORT']}", file.read_text().strip()) as opened:
            until(lambda: opened.is_ready() and bool(opened.workers().items), "service and worker are there")
            yield opened
    finally:
        service.terminate()
        service.wait(60)


def test_a_trainer_of_ones_own_trains_and_a_broken_one_takes_nothing_down(
    client: Client, known: dict[str, str]
) -> None:
    listed = client.trainers()
    assert [trainer.name for trainer in listed.items] == [
        *catalog.TRAINERS,
        *("ctc-speech", "grid-detector", "tabular-gated"),
    ]
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
        assert "tabular-broken" in Path(known["TUNER_DATA"], f"logs/{process}.log").read_text()


def test_the_catalog_finds_it_without_torch(python: Path) -> None:
    ask = (
        "import sys, json; from trainers import catalog; catalog.trainers();"
        "print(json.dumps(['torch' in sys.modules, catalog.get('tabular-mlp').entry_point]))"
    )
    answer = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True, env=environment())

    assert json.loads(answer.stdout) == [False, "trainers.tabular_mlp:train"]
    assert sys.executable != str(python)


# ---- answers in texts ------------------------------------------------------------------------------------------------


def example(name: str, module: str) -> dict[str, Any]:
    """What a module of an example defines, which is not installed here."""
    return runpy.run_path(str(ROOT / "examples" / name / name / f"{module}.py"))


def tuner(known: dict[str, str], *arguments: str | Path) -> str:
    """What a command prints, run here."""
    done = subprocess.run(
        [sys.executable, "-m", "tuner.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(**known),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def predicted(known: dict[str, str], study: str, files: Path) -> dict[str, str]:
    """The text that `tuner predict` gives for each file."""
    tuner(known, "predict", study, files, "--output", files.parent / "predicted.csv")
    found = pd.read_csv(files.parent / "predicted.csv", dtype=str, keep_default_na=False)
    assert list(found.columns) == ["file", "prediction"]
    return dict(zip(found["file"], found["prediction"], strict=True))


@needs_prompts
def test_spoken_commands_are_written_down(client: Client, known: dict[str, str], tmp_path: Path) -> None:
    numbers = example("speech_commands", "numbers")
    numbers["write"](tmp_path / "numbers.zip")
    tuner(known, "dataset", "add", tmp_path / "numbers.zip", "--task", "structured")
    uploaded = client.dataset("numbers")
    assert (uploaded.kind, uploaded.task, uploaded.classes) == ("audio", "structured", 0)
    assert uploaded.parts == {"train": 240, "validation": 20, "test": 20}

    fixed = {"epochs": 10, "width": 48, "dropout": 0.1, "time_mask": 0.05, "batch_size": 8}
    space = {"learning_rate": {"type": "float", "low": 4e-3, "high": 6e-3}}
    spec = {"name": "numbers", "dataset": "numbers", "fixed": fixed, "search_space": space, "budget": {"trials": 1}}
    study = ended(client, client.submit(spec).id)
    assert (study.spec.trainer, study.state, study.progress.complete) == ("ctc-speech", "completed", 1)
    assert study.best is not None
    assert (study.best.metric, study.best.direction) == ("character_error_rate", "minimize")
    assert study.final is not None
    assert study.final.metrics is not None
    assert study.final.baseline is not None
    assert study.final.metrics["character_error_rate"].high < 0.3 < study.final.baseline["character_error_rate"]
    assert study.final.metrics["exact_match"].value > study.final.baseline["exact_match"] == 0

    held_out, random = numbers["parts"](np.random.default_rng(0))["test"], np.random.default_rng(9)
    new = tmp_path / "new"
    new.mkdir()
    for number in held_out:
        (new / f"{number}.wav").write_bytes(numbers["clip"](numbers["words"](number), random))
    said = predicted(known, "numbers", new)
    own = answers.load(ROOT / "examples/speech_commands/speech_commands/answers.py")
    wanted = [" ".join(numbers["words"](int(file.partition(".")[0]))) for file in said]
    assert (
        own.score(np.array(wanted, dtype=object), np.array([*said.values()], dtype=object))["character_error_rate"]
        < 0.3
    )


def test_objects_in_images_get_boxes(client: Client, known: dict[str, str], tmp_path: Path) -> None:
    scenes = example("object_detector", "scenes")
    made = list(itertools.islice(scenes["made"](), 440))
    scenes["write"](tmp_path / "scenes.zip", made[:400])
    client.upload_dataset("scenes", data=tmp_path / "scenes.zip", task="structured")

    fixed = {"epochs": 12, "width": 24, "depth": 1, "box_weight": 2.0, "batch_size": 16}
    space = {"learning_rate": {"type": "float", "low": 8e-3, "high": 1.2e-2}}
    spec = {"name": "scenes", "dataset": "scenes", "fixed": fixed, "search_space": space, "budget": {"trials": 1}}
    study = ended(client, client.submit(spec).id)
    assert (study.spec.trainer, study.state, study.progress.complete) == ("grid-detector", "completed", 1)
    assert study.final is not None
    assert study.final.metrics is not None
    assert study.final.baseline is not None
    found = study.final.metrics["mean_average_precision"]
    assert found.low > 0.2
    assert study.final.baseline["mean_average_precision"] < 0.01

    scenes["write"](tmp_path / "new.zip", made[400:])
    boxes = predicted(known, "scenes", tmp_path / "new.zip")
    assert all({"class", "box", "score"} == {*box} for text in boxes.values() for box in json.loads(text))
    own = answers.load(ROOT / "examples/object_detector/object_detector/answers.py")
    wanted = np.array([label for _file, label in made[400:]], dtype=object)
    assert own.score(wanted, np.array([*boxes.values()], dtype=object))["mean_average_precision"] > 0.2
