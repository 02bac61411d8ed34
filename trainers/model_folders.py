"""Models of Hugging Face's on the worker's disk: where a model is, what of it is refused, and LoRA's matrices beside its own.

Owns the list of architectures that are known to train and to be exported. Nothing is downloaded, no code of a folder is run
and nothing is unpickled: a folder is `config.json`, `tokenizer.json` and safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import torch
import transformers
from huggingface_hub import constants
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, AutoModel, AutoModelForCausalLM
from transformers.utils import logging

from trainers.hyperparameters import NAME
from trainers.pretrained import TOLD, WeightsError, folder
from trainers.subwords import PADDING, SHIFT
from trainers.transformer_configs import TransformerConfig

Use = Literal["encoder", "decoder"]

KNOWN: dict[Use, dict[str, list[str]]] = {
    "encoder": {
        "albert": ["query", "value"],
        "bert": ["query", "value"],
        "camembert": ["query", "value"],
        "deberta-v2": ["query_proj", "value_proj"],
        "distilbert": ["q_lin", "v_lin"],
        "electra": ["query", "value"],
        "modernbert": ["Wqkv"],
        "mpnet": ["q", "v"],
        "roberta": ["query", "value"],
        "xlm-roberta": ["query", "value"],
    },
    "decoder": {
        "gemma": ["q_proj", "v_proj"],
        "gpt2": ["c_attn"],
        "gpt_neox": ["query_key_value"],
        "llama": ["q_proj", "v_proj"],
        "mistral": ["q_proj", "v_proj"],
        "opt": ["q_proj", "v_proj"],
        "phi": ["q_proj", "v_proj"],
        "qwen2": ["q_proj", "v_proj"],
        "qwen3": ["q_proj", "v_proj"],
    },
}
"""By `model_type` of a config, the layers of attention that LoRA's matrices are put beside."""

COUNT_BEHIND_PADDING = ("camembert", "mpnet", "roberta", "xlm-roberta")  # places that these cannot use
NOT_READ = (  # of a config: what fetches or runs code, and what says how to compute; here this is always done in one way
    "attn_implementation",
    "auto_map",
    "chunk_size_feed_forward",
    "experts_implementation",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "transformers_weights",
)
DROPOUTS = ("dropout", "dropout_prob", "pdrop")  # how the names of such values end
LEAST_PLACES = 8  # for tokens
CONFIG, TOKENIZER, ADAPTER = "config.json", "tokenizer.json", "adapter_config.json"
INDEX = "model.safetensors.index.json"  # which file each tensor is in, where there are several
FREED = "pooler"  # a layer for another purpose, which some have and some lack

constants.HF_HUB_OFFLINE = (
    True  # whatever a folder says; the environment is not read again once the library is imported
)
cast("Any", logging).set_verbosity_error()  # what matters is raised, and a trial's log needs no bars
cast("Any", logging).disable_progress_bar()


def find(name: str | None) -> Path:
    """The folder of a model.

    Raises:
        WeightsError: there is none; the text tells what to do.
    """
    where = folder.get()
    if name is None:
        raise WeightsError(f"no model is named: say fixed: {{model: NAME}}, a folder in TUNER_WEIGHTS: {_there(where)}")
    if where is None:
        raise WeightsError(f"model {name} is not known here: set TUNER_WEIGHTS on the worker to the folder of models")
    if not NAME.fullmatch(name) or not (where / name).is_dir():
        raise WeightsError(f"there is no model {name[:100]!r} in the worker's folder TUNER_WEIGHTS: {_there(where)}")
    found = where / name
    for file in (CONFIG, TOKENIZER):
        if not (found / file).is_file():
            cure = "save model and tokenizer there by save_pretrained of transformers"
            raise WeightsError(f"{name} has no {file}: {cure}")
    if (found / ADAPTER).exists():
        raise WeightsError(
            f"{name} is an adapter of another model: merge it, by peft's merge_and_unload, and save the whole"
        )
    return found


def _there(where: Path | None) -> str:
    models = [] if where is None else sorted(path.parent.name for path in where.glob(f"*/{CONFIG}"))
    return f"there are {', '.join(models[:TOLD])}" if models else "there is none"


def tokenizer(found: Path) -> tuple[str, int]:
    """The JSON of a folder's tokenizer, and how many numbers it counts with.

    Raises:
        WeightsError: it is none.
    """
    try:
        written = (found / TOKENIZER).read_text(encoding="utf-8")
        vocabulary = Tokenizer.from_str(written).get_vocab(with_added_tokens=True)
    except Exception as error:  # the library has no class of its own for what it cannot read
        raise WeightsError(f"{found.name}/{TOKENIZER} is none ({str(error)[:80]}): save the tokenizer anew") from None
    return written, max(vocabulary.values(), default=-1) + 1


def described(found: Path, use: Use) -> Any:
    """The config of a folder's model.

    Raises:
        WeightsError: it is no model for this use.
    """
    with _refused(f"{found.name}/{CONFIG} is none of a model", "save it anew"):
        said = json.loads((found / CONFIG).read_text(encoding="utf-8"))
        about = CONFIG_MAPPING[said["model_type"]].from_dict(_known(found, use, said))
        _refuse_unusable(found.name, about, use)
        return about


@contextmanager
def _refused(what: str, cure: str) -> Iterator[None]:
    """Says of whatever goes wrong what it is about: a folder's values reach far into libraries, which raise what comes."""
    try:
        yield
    except WeightsError:
        raise
    except Exception as error:  # such as KeyError of an activation, ZeroDivisionError of a width, RecursionError
        raise WeightsError(f"{what} ({str(error)[:200]}): {cure}") from error


def _known(found: Path, use: Use, said: dict[str, Any]) -> dict[str, Any]:
    kind = said["model_type"]
    if kind not in KNOWN[use]:
        trainers = {"encoder": "causal-lm", "decoder": "text-transformer"}
        other = [trainers[use]] if any(kind in KNOWN[each] for each in KNOWN if each != use) else []
        cure = f"{other[0]} takes it" if other else f"choose one of {', '.join(KNOWN[use])}"
        raise WeightsError(f"{found.name} is a {kind} model, which is no {use} that is known here: {cure}")
    if "quantization_config" in said:
        raise WeightsError(f"{found.name} is quantised: take the model as it was before")
    return {name: value for name, value in said.items() if name not in NOT_READ and not name.startswith("_")}


def _refuse_unusable(name: str, about: Any, use: Use) -> None:
    """Refuses numbers of tokens without a vector, which some layers take for others, and too few places."""
    used = {"pad_token_id": [about.pad_token_id]}
    if use == "decoder":
        used = {"bos_token_id": [about.bos_token_id], "eos_token_id": ends(about)}
    elif about.pad_token_id is None and about.model_type in COUNT_BEHIND_PADDING:
        raise WeightsError(
            f"{name} has no pad_token_id in its {CONFIG}: say which number its tokenizer has for padding"
        )
    for field, numbers in used.items():
        for number in numbers:
            if number is not None and not 0 <= number < about.vocab_size:
                detail = f"{field} is {number} in its {CONFIG}, and the model has {about.vocab_size} vectors"
                raise WeightsError(f"{name}: {detail}: say which number its tokenizer has for that")
    if (places := longest(about, LEAST_PLACES)) < LEAST_PLACES:
        raise WeightsError(f"{name} has places for {places} tokens: take a model of {LEAST_PLACES} or more")


def ends(about: Any) -> list[int]:
    """The numbers that a decoder's config has for the end of a text, of which it was taught the first."""
    said = about.eos_token_id
    if said is None:
        return []
    return said if isinstance(said, list) else [said]


def longest(config: Any, wanted: int) -> int:
    """Tokens that are read at once: as many as wanted, or as the model has places for."""
    places = getattr(config, "max_position_embeddings", wanted)
    if config.model_type in COUNT_BEHIND_PADDING:
        places -= config.pad_token_id + 1
    return min(wanted, int(places))


def load(found: Path, config: Any, use: Use, dropout: float) -> nn.Module:
    """A folder's model with all of its weights, in float32 on the CPU.

    Args:
        found: the folder.
        config: of `described`; it is changed.
        use: of the model.
        dropout: share that is dropped in training wherever the architecture drops any, in place of the folder's shares.

    Raises:
        WeightsError: weights are missing, or are of another shape.
    """
    for name in vars(config):
        if name.endswith(DROPOUTS):
            setattr(config, name, dropout)  # here, as some layers are made by it, and some keep it as a number
    loader = cast("Any", AutoModel if use == "encoder" else AutoModelForCausalLM)
    with _refused(f"{found.name} cannot be loaded", "save it anew, as safetensors"):
        _refuse_paths(found)
        network, about = loader.from_pretrained(
            found,
            config=config,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            attn_implementation=None,  # torch's own, or where an architecture cannot take it the plain one
            output_loading_info=True,
        )
    if hasattr(network, FREED):
        network.pooler = None
    if missing := sorted(key for key in about["missing_keys"] if not key.startswith(FREED)):
        raise WeightsError(f"{found.name} lacks {', '.join(missing[:TOLD])}: it is no whole {use}, save it anew")
    return cast("nn.Module", network)


def _refuse_paths(found: Path) -> None:
    if not (found / INDEX).is_file():
        return
    for file in json.loads((found / INDEX).read_text(encoding="utf-8"))["weight_map"].values():
        if Path(file).name != file:
            raise WeightsError(
                f"{found.name}/{INDEX} names {file[:100]!r}: weights are files in the model's own folder"
            )


def refuse_unknown_numbers(found: Path, numbers: int, network: nn.Module) -> None:
    """Refuses a tokenizer that has numbers without a vector in the model.

    Raises:
        WeightsError: it is of another model.
    """
    vectors = cast("Any", network).get_input_embeddings().weight.shape[0]
    if numbers > vectors:
        detail = f"its tokenizer has numbers up to {numbers - 1}, and the model {vectors} vectors"
        raise WeightsError(f"{found.name}: {detail}: save both as they belong together")


def prepared(network: nn.Module, config: TransformerConfig, model: Any, use: Use) -> nn.Module:
    """A model ready to learn: gradient checkpointing, and LoRA where the config asks for it.

    Args:
        network: of `load`, which is changed.
        config: of the trial.
        model: the model's own config.
        use: of it.

    Raises:
        WeightsError: the model has no layers for LoRA.
    """
    if config.gradient_checkpointing:
        cast("Any", network).activation_checkpointing_enable({"use_reentrant": False})
    if config.lora_rank == 0:
        return network
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,  # type: ignore[arg-type]  # any number does
        lora_dropout=config.dropout,
        target_modules=KNOWN[use][model.model_type] if config.lora_targets == "attention" else "all-linear",
        fan_in_fan_out=model.model_type == "gpt2",  # whose layers are written the other way round
    )
    with _refused(f"{config.model} takes no LoRA", "choose lora_rank: 0, or another model"):
        return cast("nn.Module", get_peft_model(cast("transformers.PreTrainedModel", network), lora))


def merged(network: nn.Module) -> nn.Module:
    """The model with LoRA's matrices added to its own; it is changed."""
    merge = getattr(network, "merge_and_unload", None)
    return network if merge is None else cast("nn.Module", merge())


def numbers(x: Tensor, padding: int) -> Tensor:
    """Rows of `trainers.subwords` as the model counts, int64, with its own number for padding."""
    return torch.where(x == PADDING, padding, x.long() - SHIFT)
