"""`image-resnet` and `audio-classifier`: that they learn, remember nothing of other trainings, and begin from weights on disk."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.clips import needs_prompts, prompts
from tests.unit.trainers.resuming import tones
from tests.unit.trainers.stored import store
from tests.zipped import packed
from trainers import catalog, pretrained, resnets
from trainers.configs import TabularMlpConfig, TrainingConfig
from trainers.contract import Dataset, Part, TrainResult
from trainers.data import files
from trainers.data.load import load
from trainers.data.split import splits
from trainers.media_configs import AudioClassifierConfig, ImageResnetConfig
from trainers.pretrained import WeightsError

SMALL_RESNET = ImageResnetConfig(width=4, depth=1)
SMALL_AUDIO = AudioClassifierConfig(width=4, depth=2, mels=16)
FAMILIES = {"digits": SMALL_RESNET, "tones": SMALL_AUDIO}
each_family = pytest.mark.parametrize("name", FAMILIES)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in a worker's child; for networks this small more threads cost more than they give."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def dataset(name: str) -> Dataset:
    return tones() if name == "tones" else load(name)


def train(
    data: Dataset, config: TrainingConfig, train_rows: np.ndarray, validation_rows: np.ndarray, **changes: Any
) -> tuple[TrainResult, list[float]]:
    losses: list[float] = []

    def report(_step: int, metrics: Mapping[str, float]) -> None:
        losses.append(metrics["train/loss"])

    trainer = next(each for each in catalog.TRAINERS.values() if each.config is type(config))
    result = catalog.load(trainer)(
        Part(data, train_rows),
        Part(data, validation_rows),
        replace(config, **changes),
        report,
        device="cpu",
        seed=3,
        objective=("loss", "minimize"),
    )
    return result, losses


def split(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    return splits(data.y, data.task, validation=0.2, test=0.2, folds=1, repeats=1, seed=0).folds[0]


@each_family
def test_one_batch_is_learned_by_heart(name: str) -> None:
    data, rows = dataset(name), np.arange(24)
    changes = {"epochs": 120, "batch_size": 24, "dropout": 0.0, "weight_decay": 0.0, "learning_rate": 0.02}
    result, losses = train(data, FAMILIES[name], rows, rows, **changes)

    assert losses[0] > 1.0
    assert losses[-1] < 0.02
    assert result.metrics["val/accuracy"] == 1.0


GOLDEN = {
    "digits": [
        *(2.33863, 2.29336, 2.25583, 2.22373, 2.19596, 2.17172, 2.14939, 2.12953, 2.11173, 2.0953),
        *(2.08068, 2.06783, 2.05678, 2.04758, 2.04023, 2.03462, 2.03058, 2.02791, 2.02634, 2.02562),
    ],
    "tones": [
        *(1.42161, 1.32802, 1.2472, 1.17835, 1.11983, 1.0693, 1.0259, 0.98887, 0.95757, 0.93106),
        *(0.90859, 0.88954, 0.8735, 0.86031, 0.84978, 0.84177, 0.83604, 0.83227, 0.8301, 0.82911),
    ],
}


@each_family
def test_twenty_steps_have_the_losses_that_they_had(name: str) -> None:
    """An epoch of one batch is a step."""
    rows = np.arange(48)
    _, losses = train(dataset(name), FAMILIES[name], rows, rows, epochs=20, batch_size=48, dropout=0.0)

    assert losses == pytest.approx(GOLDEN[name], rel=1e-3)


FRESH = """
import json, sys, torch
from tests.unit.trainers import test_media_families as families
torch.set_num_threads(1)
data = families.dataset(sys.argv[1])
print(json.dumps(families.train(data, families.FAMILIES[sys.argv[1]], *families.split(data), epochs=2, augmentation="strong")[1]))
"""


@each_family
def test_a_process_that_trained_others_gives_the_losses_of_a_fresh_one(name: str) -> None:
    iris = load("iris")
    train(iris, TabularMlpConfig(epochs=1), *split(iris))
    other = "tones" if name == "digits" else "digits"
    train(dataset(other), FAMILIES[other], np.arange(40), np.arange(40), epochs=1)
    torch.rand(7)
    data = dataset(name)
    _, warm = train(data, FAMILIES[name], *split(data), epochs=2, augmentation="strong")
    root = Path(__file__).parents[3]
    printed = subprocess.run([sys.executable, "-c", FRESH, name], capture_output=True, text=True, check=True, cwd=root)

    assert json.loads(printed.stdout.splitlines()[-1]) == warm


@pytest.mark.parametrize(
    ("changes", "least"),
    [
        ({}, 0.9),
        ({"augmentation": "strong"}, 0.85),
        ({"time_mask": 0.4, "frequency_mask": 0.2, "optimizer": "sgd", "learning_rate": 0.05}, 0.85),
        ({"batch_norm": False, "activation": "silu", "mels": 32, "learning_rate": 0.01}, 0.85),
    ],
    ids=str,
)
def test_pitch_is_learned_with_every_option(changes: dict[str, Any], least: float) -> None:
    result, _ = train(tones(), SMALL_AUDIO, *split(tones()), **{"epochs": 30, "batch_size": 8, **changes})

    assert result.metrics["val/accuracy"] >= least


@pytest.mark.parametrize(
    ("changes", "least"),
    [({}, 0.9), ({"batch_norm": False, "activation": "silu", "dropout": 0.1, "learning_rate": 0.005}, 0.8)],
    ids=str,
)
def test_digits_are_learned(changes: dict[str, Any], least: float) -> None:
    digits = load("digits")
    result, _ = train(digits, SMALL_RESNET, *split(digits), **{"epochs": 6, "width": 8, **changes})

    assert result.metrics["val/accuracy"] > least


@needs_prompts
def test_spoken_letters_are_told_from_numbers(tmp_path: Path) -> None:
    """One speaker, isolated words, split by word; the majority is three in five."""
    zipped = packed(prompts("digits", "letters"))
    spoken = files.load(store(tmp_path / "set", {"data.zip": zipped}), "spoken")
    config = AudioClassifierConfig(mels=32, width=8)
    result, _ = train(spoken, config, *split(spoken))

    assert spoken.media == {"column": "audio", "sample_rate": 8_000, "samples": spoken.x.shape[1]}
    assert result.metrics["val/roc_auc"] > 0.7


# ---- residual nets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "stages", "smallest"), [(8, 2, 4), (28, 3, 7), (32, 4, 4), (64, 4, 8), (65, 4, 3), (224, 4, 7)]
)
def test_stages_fit_small_and_large_images(side: int, stages: int, smallest: int) -> None:
    network = resnets.Resnet(3, side, 10, SMALL_RESNET).eval()
    seen: list[int] = []
    network.get_submodule("pool").register_forward_pre_hook(lambda _module, given: seen.append(given[0].shape[2]))
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, side, side)).shape == (1, 10)

    assert (network.stages, seen) == (stages, [smallest])


def test_with_width_64_and_depth_2_it_is_resnet_18() -> None:
    """11,689,512 parameters with 1,000 classes, as everybody counts them, under the names of torchvision."""
    network = resnets.Resnet(3, 224, 1_000, ImageResnetConfig(width=64, depth=2))

    assert sum(parameter.numel() for parameter in network.parameters()) == 11_689_512
    names = {*network.state_dict()}
    assert len(names) == 122
    assert {
        "conv1.weight",
        "bn1.running_mean",
        "layer1.0.conv1.weight",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.bias",
        "layer4.1.bn2.num_batches_tracked",
        "fc.bias",
    } <= names


# ---- weights on disk -------------------------------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path: Path) -> Any:
    """The folder of such files."""
    token = pretrained.folder.set(tmp_path)
    yield tmp_path
    pretrained.folder.reset(token)


def halves() -> tuple[Dataset, Dataset]:
    """The digits 0 to 4, and 5 to 9."""
    whole = load("digits")
    made = []
    for low in (0, 5):
        rows = np.flatnonzero((whole.y >= low) & (whole.y < low + 5))
        names = tuple(map(str, range(low, low + 5)))
        digest = f"sha256:half {low}"
        made.append(replace(whole, x=whole.x[rows], y=whole.y[rows] - low, class_names=names, digest=digest))
    return made[0], made[1]


def test_what_was_learned_of_some_classes_helps_with_others(weights: Path) -> None:
    low, high = halves()
    config = ImageResnetConfig(width=16, depth=1)
    before, _ = train(low, config, *split(low), epochs=12)
    save_file(before.network[0].state_dict(), weights / "low.safetensors")
    few = np.concatenate([np.flatnonzero(high.y == label)[:6] for label in range(5)])
    others = np.setdiff1d(np.arange(len(high.y)), few)
    brief = {"epochs": 6, "batch_size": 10, "learning_rate": 0.001}

    from_chance, _ = train(high, config, few, others, **brief)
    transferred, _ = train(high, config, few, others, **brief, weights="low.safetensors")

    assert transferred.metrics["val/accuracy"] > from_chance.metrics["val/accuracy"] + 0.15


def test_grey_images_begin_from_weights_of_coloured_ones(weights: Path) -> None:
    torch.manual_seed(0)
    coloured, grey = (resnets.Resnet(channels, 16, 3, SMALL_RESNET).eval() for channels in (3, 1))
    save_file(coloured.state_dict(), weights / "coloured.safetensors")
    pretrained.begin_from(grey, "coloured.safetensors", "fc.")
    grey.fc.load_state_dict(coloured.fc.state_dict())
    x = torch.rand(2, 1, 16, 16)

    assert torch.allclose(grey(x), coloured(x.expand(2, 3, 16, 16)), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "config", "why"),
    [
        (
            "absent.safetensors",
            SMALL_RESNET,
            "no weights 'absent.safetensors' in the worker's folder TUNER_WEIGHTS: there are",
        ),
        ("../own.safetensors", SMALL_RESNET, "there are no weights '../own.safetensors'"),
        ("pickled.pt", SMALL_RESNET, "pickled.pt is no safetensors file .*: save it by safetensors"),
        (
            "own.safetensors",
            replace(SMALL_RESNET, depth=2),
            "own.safetensors lacks layer1.1.bn1.bias, .*: choose depth",
        ),
        ("deep.safetensors", SMALL_RESNET, "deep.safetensors has, and the network has not, layer1.1.bn1.bias"),
        (
            "own.safetensors",
            replace(SMALL_RESNET, width=5),
            r"bn1.bias is \(4,\) in .* and \(5,\) in the network: choose width",
        ),
        ("own.safetensors", replace(SMALL_RESNET, batch_norm=False), "own.safetensors"),
    ],
)
def test_weights_that_do_not_fit_say_why(weights: Path, name: str, config: ImageResnetConfig, why: str) -> None:
    save_file(resnets.Resnet(3, 32, 7, SMALL_RESNET).state_dict(), weights / "own.safetensors")
    save_file(resnets.Resnet(3, 32, 7, replace(SMALL_RESNET, depth=2)).state_dict(), weights / "deep.safetensors")
    torch.save({"conv1.weight": torch.zeros(1)}, weights / "pickled.pt")

    with pytest.raises(WeightsError, match=why):
        pretrained.begin_from(resnets.Resnet(3, 32, 10, config), name, "fc.")
    assert {*load_file(weights / "own.safetensors")} > {"fc.weight"}


def test_without_a_folder_the_worker_says_what_to_set() -> None:
    with pytest.raises(WeightsError, match="set TUNER_WEIGHTS on the worker to the folder of such files"):
        pretrained.begin_from(resnets.Resnet(1, 8, 2, SMALL_RESNET), "own.safetensors", "fc.")
