"""Folders of models that strangers wrote: what is odd in them is refused with a cure, and nothing is fetched for them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch

from benchmarks.families import text as real
from tests.unit.trainers import made_models
from trainers import causal_lm, model_folders, pretrained, subwords, text_transformer
from trainers.contract import Part, TrainResult
from trainers.pretrained import WeightsError
from trainers.transformer_configs import CausalLmConfig, TextTransformerConfig

DECODERS = ("gpt2", "llama")


@pytest.fixture(autouse=True, scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One thread, as workers have, and their folder of models."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("weights")
    for kind in ("bert", "roberta", *DECODERS):
        made_models.make(folder, kind)
    token = pretrained.folder.set(folder)
    yield folder
    pretrained.folder.reset(token)
    torch.set_num_threads(threads)


def train(kind: str, name: str, **values: Any) -> TrainResult:
    """An epoch on few real texts."""
    labelled = real.as_dataset("reviews", real.reviews(20))
    given: dict[str, Any] = {"model": name, "max_length": 12, "epochs": 1, "batch_size": 16, **values}
    rows = [np.arange(16), np.arange(16, 20)]
    rest: dict[str, Any] = {"device": "cpu", "seed": 0, "objective": ("loss", "minimize")}
    if kind in DECODERS:
        raw = replace(labelled, task="language", y=np.ones(20), class_names=(), digest="sha256:raw")
        parts = [Part(raw, each) for each in rows]
        return causal_lm.train(*parts, CausalLmConfig(**given), lambda _step, _metrics: None, **rest)
    parts = [Part(labelled, each) for each in rows]
    return text_transformer.train(*parts, TextTransformerConfig(**given), lambda _step, _metrics: None, **rest)


def say(folder: Path, file: str = "config.json", **values: Any) -> None:
    said = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**said, **values}))


@pytest.mark.parametrize(
    ("kind", "values", "why"),
    [
        (
            "gpt2",
            {"eos_token_id": 50256},
            "eos_token_id is 50256 in its config.json, and the model has 600 vectors: say",
        ),
        ("gpt2", {"eos_token_id": -1}, "eos_token_id is -1 in"),
        ("gpt2", {"eos_token_id": [2, 600]}, "eos_token_id is 600 in"),
        ("gpt2", {"eos_token_id": []}, "has no eos_token_id in its config.json: say which"),
        ("gpt2", {"bos_token_id": 50256}, "bos_token_id is 50256 in"),
        ("bert", {"pad_token_id": -1}, "pad_token_id is -1 in"),
        ("bert", {"pad_token_id": 10_000}, "pad_token_id is 10000 in"),
        ("roberta", {"pad_token_id": None}, "has no pad_token_id in its config.json: say which"),
        ("bert", {"max_position_embeddings": -1}, "has places for -1 tokens: take"),
        ("bert", {"hidden_size": "abc"}, "(?s)config.json is none of a model .*: save it anew"),
        ("bert", {"hidden_size": 0}, "cannot be loaded .*: save it anew"),
        ("bert", {"num_attention_heads": 0}, "cannot be loaded"),
        ("bert", {"hidden_act": "nope"}, "cannot be loaded .*nope"),
        ("bert", {"num_hidden_layers": -1}, "takes no LoRA .*: choose lora_rank: 0"),
    ],
    ids=str,
)
def test_a_config_that_does_not_do_says_why(kind: str, values: dict[str, Any], why: str, worker: Path) -> None:
    folder = shutil.copytree(worker / kind, worker / "odd", dirs_exist_ok=True)
    say(folder, **values)
    with pytest.raises(WeightsError, match=why):
        train(kind, "odd")


@pytest.mark.parametrize(
    ("kind", "file", "content", "why"),
    [
        (
            "bert",
            "config.json",
            '{"model_type":"bert","a":' + "[" * 100_000 + "]" * 100_000 + "}",
            "is none of a model",
        ),
        ("gpt2", "generation_config.json", "[1]", "cannot be loaded"),
        ("bert", "model.safetensors.index.json", "{}", "cannot be loaded"),
        (
            "bert",
            "model.safetensors.index.json",
            '{"metadata": {}, "weight_map": {"a": "../bert/model.safetensors"}}',
            "names '../bert/model.safetensors': weights are files in the model's own folder",
        ),
    ],
    ids=["deep", "a list", "no map", "from outside"],
)
def test_a_file_that_does_not_do_says_why(kind: str, file: str, content: str, why: str, worker: Path) -> None:
    shutil.rmtree(worker / "odd", ignore_errors=True)
    folder = shutil.copytree(worker / kind, worker / "odd")
    if "index" in file:
        (folder / "model.safetensors").unlink()
    (folder / file).write_text(content)
    with pytest.raises(WeightsError, match=why):
        train(kind, "odd")


@pytest.mark.parametrize(
    "values",
    [
        {"attn_implementation": "stranger/attention"},
        {"_attn_implementation": "kernels-community/flash-attn2"},
        {"attn_implementation": "flash_attention_2"},
        {"experts_implementation": "stranger/experts", "transformers_weights": "../roberta/model.safetensors"},
        {"return_dict": False, "chunk_size_feed_forward": 7, "output_attentions": True},
    ],
    ids=str,
)
def test_how_to_compute_is_not_for_a_folder_to_say_nor_what_to_fetch(values: dict[str, Any], worker: Path) -> None:
    shutil.rmtree(worker / "told", ignore_errors=True)
    say(Path(shutil.copytree(worker / "bert", worker / "told")), **values)

    assert train("bert", "told").metrics == train("bert", "bert").metrics
    assert huggingface_hub.is_offline_mode()


@pytest.mark.parametrize(("use", "kind"), [("decoder", "opt"), ("decoder", "llama"), ("encoder", "modernbert")])
def test_dropout_is_the_configs_wherever_a_network_drops(use: Any, kind: str, worker: Path) -> None:
    """Some layers keep it as a number, and some leave it out where it is none."""
    found = made_models.make(worker, kind, f"{kind}-dropout")
    ids = torch.arange(40).view(2, 20)

    def differs(dropout: float) -> bool:
        network: Any = model_folders.load(found, model_folders.described(found, use), use, dropout).train()
        attention = [each for each in network.modules() if "Attention" in type(each).__name__]
        kept = [
            getattr(each, name) for each in attention for name in ("attention_dropout", "dropout") if name in vars(each)
        ]
        assert attention
        assert set(kept) <= {dropout}
        with torch.no_grad():
            first, second = (network(input_ids=ids)[0] for _ in range(2))
        return not torch.equal(first, second)

    say(found, dropout=0.1, attention_dropout=0.1)
    assert not differs(0.0)
    say(found, dropout=0.0, attention_dropout=0.0)
    assert differs(0.5)


def test_a_decoder_may_have_several_ends(worker: Path) -> None:
    folder = shutil.copytree(worker / "llama", worker / "ends")
    say(folder, eos_token_id=[made_models.END, 5])
    rules = train("llama", "ends").preprocessing["text"]

    assert (rules["end"], rules["ends"]) == (made_models.END, [made_models.END, 5])


def test_a_long_text_goes_on_from_its_end() -> None:
    rules = {"tokenizer": made_models.tokenizer().to_str(), "max_length": 20, "begin": 0, "end": 2}
    text = "a" * subwords.READ_CHARACTERS

    assert subwords.opening(rules, f"{text} the end")[-4:] == subwords.opening(rules, " the end")[-4:]
