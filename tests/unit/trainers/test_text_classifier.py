"""`text-classifier`: that each architecture learns, goes on, and leaves as a model that needs nothing of this project."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.families import text as real
from tests import strangers
from tests.unit.trainers.stored import lines, store
from trainers import augmentation, export, preprocessing, text_classifier, text_networks
from trainers.configs import TextClassifierConfig
from trainers.contract import Dataset, Part, TrainResult
from trainers.data import files
from trainers.data.split import splits

ARCHITECTURES = ("embedding_bag", "cnn", "gru", "transformer")
each_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)
SMALL: dict[str, Any] = {"width": 16, "max_length": 24, "ngrams": 1, "epochs": 2, "batch_size": 32}

STRANGER = """
import json, pathlib, sys, mlflow.pyfunc, pandas as pd
folder, rows = sys.argv[1:]
given = pd.DataFrame({"text": json.load(open(rows, encoding="utf-8"))})
models = {path.name: mlflow.pyfunc.load_model(str(path)) for path in pathlib.Path(folder).iterdir()}
print(json.dumps({name: model.predict(given).to_numpy().tolist() for name, model in models.items()}))
"""


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """As workers do: sums over other numbers of threads are other sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def reviews() -> Dataset:
    """Chinese, and the same on every machine."""
    return real.as_dataset("reviews", real.reviews(400))


def train(config: TextClassifierConfig, dataset: Dataset | None = None, seed: int = 0) -> tuple[TrainResult, list[Any]]:
    dataset = dataset or reviews()
    made = splits(dataset.y, dataset.task, validation=0.2, test=0.0, folds=1, repeats=1, seed=0)
    train_rows, validation_rows = made.folds[0]
    losses: list[Any] = []
    result = text_classifier.train(
        Part(dataset, train_rows),
        Part(dataset, validation_rows),
        config,
        lambda _step, metrics: losses.append((metrics["train/loss"], metrics["val/loss"])),
        device="cpu",
        seed=seed,
        objective=("loss", "minimize"),
    )
    return result, losses


def expected(result: TrainResult, texts: list[str]) -> np.ndarray:
    x = preprocessing.apply(result.preprocessing, np.array(texts, dtype=object))
    with torch.inference_mode():
        return result.network(torch.from_numpy(x)).numpy()


# ---- learning --------------------------------------------------------------------------------------------------------


@each_architecture
def test_one_batch_is_learned_by_heart(architecture: str) -> None:
    dataset = replace(reviews(), x=reviews().x[:40], y=reviews().y[:40], digest="sha256:forty")
    config = TextClassifierConfig(
        architecture=architecture, **{**SMALL, "epochs": 60, "learning_rate": 0.01, "dropout": 0.0}, min_count=1
    )
    _, losses = train(config, dataset)

    assert losses[-1][0] < 0.05


@pytest.mark.parametrize(
    ("architecture", "golden"),
    [
        ("embedding_bag", [0.70688, 0.68254, 0.67115, 0.68098]),
        ("cnn", [0.71587, 0.70335, 0.69643, 0.70022]),
        ("gru", [0.69748, 0.69102, 0.68912, 0.69069]),
        ("transformer", [0.8048, 0.69527, 0.72616, 0.67838]),
    ],
)
def test_twenty_steps_give_the_losses_that_they_always_gave(architecture: str, golden: list[float]) -> None:
    _, losses = train(TextClassifierConfig(architecture=architecture, **SMALL))  # 2 epochs of 10 steps

    assert [value for epoch in losses for value in epoch] == pytest.approx(golden, rel=2e-3)


@each_architecture
def test_a_warm_process_gives_the_losses_of_a_fresh_one(architecture: str) -> None:
    config = TextClassifierConfig(architecture=architecture, **SMALL, augmentation="strong")
    _, first = train(config, seed=5)
    train(TextClassifierConfig(**{**SMALL, "tokens": "char"}), seed=1)
    torch.rand(17)
    _, second = train(config, seed=5)
    _, other = train(config, seed=6)

    assert first == second
    assert first != other


def test_docstrings_and_reviews_are_told_apart_far_better_than_by_the_most_frequent_class() -> None:
    chinese = real.as_dataset("reviews", real.reviews(1200))
    english = real.as_dataset("docstrings", real.docstrings("[aelux]*[ioglst]").sample(1200, random_state=0))
    for dataset in (chinese, english):
        result, _ = train(TextClassifierConfig(epochs=8), dataset)
        majority = np.bincount(dataset.y).max() / len(dataset.y)

        assert result.metrics["val/accuracy"] > majority + 0.15


@pytest.mark.parametrize(
    "values",
    [
        {"tokens": "byte", "ngrams": 4, "class_weighting": "balanced"},
        {"tokens": "char", "ngrams": 2, "label_smoothing": 0.1, "word_dropout": 0.2},
        {
            "architecture": "cnn",
            "kernel_size": 4,
            "depth": 2,
            "batch_norm": True,
            "loss": "focal",
            "learning_rate": 0.01,
        },
        {"architecture": "transformer", "depth": 2, "width": 32, "warmup_fraction": 0.1, "learning_rate": 1e-3},
        {"architecture": "gru", "depth": 2, "gradient_clip": 1.0},
        {"depth": 0, "optimizer": "sgd", "learning_rate": 0.3, "l1": 1e-6},
        {"depth": 2, "batch_norm": True, "mixed_precision": True, "activation": "gelu"},
    ],
    ids=str,
)
def test_every_option_learns_reviews(values: dict[str, Any]) -> None:
    result, _ = train(TextClassifierConfig(**{**SMALL, "epochs": 8, **values}))

    assert result.metrics["val/roc_auc"] > 0.6


def test_quantities_are_predicted_in_their_own_unit(tmp_path: Path) -> None:
    rows = [f"{'very ' * (i % 7)}good,{100 + 10 * (i % 7)}.5" for i in range(140)]
    dataset = files.load(store(tmp_path / "set", {"data.csv": lines("t,y", *rows)}, text="t", target="y"), "set")
    result, _ = train(TextClassifierConfig(**{**SMALL, "epochs": 30, "batch_size": 8}), dataset)

    assert dataset.task == "regression"
    assert result.metrics["val/r2"] > 0.8


# ---- padding ---------------------------------------------------------------------------------------------------------


@each_architecture
def test_no_result_depends_on_how_much_padding_there_is(architecture: str) -> None:
    torch.manual_seed(0)
    config = TextClassifierConfig(architecture=architecture, width=32, depth=2, kernel_size=4)
    network = text_networks.text_network(50, 30, 3, config).eval()
    generator = torch.Generator().manual_seed(0)
    alone = torch.randint(1, 50, (4, 9), generator=generator, dtype=torch.int32)
    beside = torch.cat([alone, torch.zeros(4, 21, dtype=torch.int32)], dim=1)
    full = torch.randint(1, 50, (1, 30), generator=generator, dtype=torch.int32)

    with torch.inference_mode():
        wanted = network(alone)
        assert torch.allclose(network[1:](beside), network[1:](alone), atol=1e-6)  # without the part that trims
        assert torch.allclose(network(torch.cat([beside, full]))[:4], wanted, atol=1e-6)
    assert not torch.allclose(wanted[0], wanted[1])


def test_the_vector_of_padding_stays_zero() -> None:
    for architecture, place in (("embedding_bag", "0.1.vectors.weight"), ("cnn", "0.1.vectors.weight")):
        result, _ = train(TextClassifierConfig(architecture=architecture, **SMALL, weight_decay=0.1))

        table = result.network.state_dict()[place]
        assert not table[0].any()
        assert table[1:].abs().sum(dim=1).min() > 0


def test_dropped_words_become_unknown_and_padding_stays() -> None:
    x = torch.tensor([[5, 6, 7, 1, 0]] * 1000, dtype=torch.int32)
    augment = augmentation.of_tokens(0.3, x.device, 0)
    assert augment is not None
    changed, targets = augment(x, x)

    assert targets is x
    assert changed.dtype == torch.int32
    assert torch.equal(changed[:, 3:], x[:, 3:])
    dropped = changed[:, :3] == 1
    assert torch.equal(torch.where(dropped, x[:, :3], changed[:, :3]), x[:, :3])
    assert 0.25 < dropped.float().mean() < 0.35
    assert augmentation.of_tokens(0.0, x.device, 0) is None


# ---- the model -------------------------------------------------------------------------------------------------------


def test_saved_models_need_nothing_of_this_project_and_predict_as_the_training_code_does(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    results = {}
    for architecture in ARCHITECTURES:
        config = TextClassifierConfig(
            architecture=architecture, **{**SMALL, "max_length": 12, "epochs": 1, "ngrams": 2}
        )
        results[architecture], _ = train(config)
        export.save_model(results[architecture], elsewhere / architecture, reviews())
    texts = [*reviews().x[:5], "", "nobody wrote this", "👩‍👩‍👧 e\u0301", "很" * 500]
    (tmp_path / "texts.json").write_text(json.dumps(texts), encoding="utf-8")

    printed = strangers.run(STRANGER, elsewhere, tmp_path / "texts.json", folder=elsewhere)

    found = json.loads(printed.splitlines()[-1])
    assert set(found) == set(ARCHITECTURES)
    for architecture, result in results.items():
        assert np.shape(found[architecture]) == (len(texts), 2)
        assert np.array(found[architecture]) == pytest.approx(expected(result, texts), abs=1e-5)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainResult, Any, Path]:
    result, _ = train(TextClassifierConfig(**SMALL))
    folder = tmp_path_factory.mktemp("saved") / "model"
    export.save_model(result, folder, reviews())
    return result, mlflow.pyfunc.load_model(str(folder)), folder


def test_a_saved_model_takes_frames_and_lists_of_records_and_a_missing_text_is_an_empty_one(saved: Any) -> None:
    result, model, _ = saved
    wanted = expected(result, ["很好", ""])

    assert model.metadata.get_input_schema().input_names() == ["text"]
    assert model.metadata.get_output_schema().input_names() == ["neg", "pos"]
    for given in (
        [{"text": "很好"}, {"text": None}],
        pd.DataFrame({"text": ["很好", None]}),
        pd.DataFrame({"text": ["很好", np.nan]}, dtype="str"),
        pd.DataFrame({"other": [1, 2], "text": ["很好", ""]}),
    ):
        assert model.predict(given).to_numpy() == pytest.approx(wanted, abs=1e-6)
    with pytest.raises(mlflow.MlflowException, match="text"):
        model.predict(pd.DataFrame({"words": ["很好"]}))


def test_the_input_example_is_no_text_of_the_users_and_can_be_predicted(saved: Any) -> None:
    result, model, folder = saved
    example = model.metadata.load_input_example(str(folder))

    assert example["text"].tolist() == result.example.tolist()
    assert len(example) >= 2
    assert not set(example["text"]) & set(reviews().x)
    assert len(model.predict(example)) == len(example)


def test_a_saved_model_holds_the_tokens_of_the_training_part_and_no_text_of_it(saved: Any) -> None:
    _, _, folder = saved
    stored = json.loads((folder / "artifacts/preprocessing.json").read_text(encoding="utf-8"))
    longest = max(len(token) for token in stored["text"]["vocabulary"])
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file()).decode("utf-8", "ignore")

    assert longest < 20
    assert not [text for text in reviews().x if len(text) > 20 and text in content]


def test_only_tokens_of_the_training_part_have_numbers() -> None:
    result, _ = train(TextClassifierConfig(**SMALL))
    made = splits(reviews().y, "classification", validation=0.2, test=0.0, folds=1, repeats=1, seed=0)
    trained = "".join(reviews().x[made.folds[0][0]]).casefold()
    validated = set("".join(reviews().x[made.folds[0][1]]))
    characters = {token for token in result.preprocessing["text"]["vocabulary"] if len(token) == 1}

    assert validated - set(trained)  # so there is something that could have leaked
    assert not {each for each in characters if each in validated and each not in trained}
