"""Small models of Hugging Face's in folders, as a worker has them: a config, random weights of a fixed seed, a real tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import CONFIG_MAPPING, AutoModel, AutoModelForCausalLM

from benchmarks.families import text as real
from trainers.model_folders import KNOWN

BEGIN, PAD, END = 0, 1, 2
SPECIAL = ["<s>", "<pad>", "</s>"]
WIDTH = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
OTHER_NAMES: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "opt": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "ffn_dim": 48,
        "word_embed_proj_dim": 32,
    },
    "qwen3": {**WIDTH, "num_key_value_heads": 2, "head_dim": 8},
    "gemma": {**WIDTH, "num_key_value_heads": 2, "head_dim": 8},
    **{kind: {**WIDTH, "num_key_value_heads": 2} for kind in ("llama", "mistral", "qwen2")},
    "albert": {**WIDTH, "embedding_size": 16},
    "electra": {**WIDTH, "embedding_size": 16},
    "modernbert": {**WIDTH, "cls_token_id": BEGIN, "sep_token_id": END},
}


def tokenizer(vocabulary: int = 600) -> Tokenizer:
    """Byte pairs, learned from real texts in Chinese."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    learner = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(real.reviews(400)["text"], learner)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", BEGIN), ("</s>", END)]
    )
    return made


def config(kind: str, **values: Any) -> Any:
    sizes = {"vocab_size": 600, "max_position_embeddings": 64, **OTHER_NAMES.get(kind, WIDTH), **values}
    return CONFIG_MAPPING[kind](bos_token_id=BEGIN, pad_token_id=PAD, eos_token_id=END, **sizes)


def make(where: Path, kind: str, name: str | None = None, **values: Any) -> Path:
    """A folder of the worker's; of its own name, or that of its kind."""
    folder = where / (name or kind)
    torch.manual_seed(0)
    loader = AutoModel if kind in KNOWN["encoder"] else AutoModelForCausalLM
    loader.from_config(config(kind, **values)).save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def save(tensors: dict[str, torch.Tensor], file: Path) -> None:
    """As transformers writes them."""
    save_file(tensors, file, metadata={"format": "pt"})
