"""`causal-lm`: fine-tunes a decoder of Hugging Face's out of a folder on raw texts, by LoRA or whole; judged by perplexity."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers import loop, model_folders, passages
from trainers.contract import NO_CHECKPOINT, Checkpoint, Objective, Part, Report, TrainResult
from trainers.passages import Passages
from trainers.pretrained import WeightsError
from trainers.subwords import PADDING
from trainers.tasks import Problem
from trainers.text_networks import Trimmed
from trainers.transformer_configs import CausalLmConfig

NOT_JUDGED = -100  # of a place behind which nothing comes


class Decoder(nn.Module):
    """Blocks `(rows, length)` to the sums of their tokens' negative log-likelihoods in nats, `(rows, 1)`.

    Padding is behind the tokens, and no token sees what comes later, so nothing needs to be masked.
    """

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, x: Tensor) -> Tensor:
        return self.surprise(x, self.logits(x))

    def logits(self, x: Tensor) -> Tensor:
        """Of the next token at each place, `(rows, length, vocabulary)`."""
        seen: Tensor = self.decoder(input_ids=model_folders.numbers(x, 0), use_cache=False).logits
        return seen

    def surprise(self, x: Tensor, logits: Tensor) -> Tensor:
        """The sums, out of the logits."""
        ids = model_folders.numbers(x, 0)
        following = torch.where(x[:, 1:] == PADDING, NOT_JUDGED, ids[:, 1:])
        following = functional.pad(following, (0, 1), value=NOT_JUDGED)
        each = functional.cross_entropy(
            logits.flatten(0, 1).float(), following.flatten(), ignore_index=NOT_JUDGED, reduction="none"
        )
        return each.view(x.shape).sum(dim=1, keepdim=True)


class Exported(nn.Module):
    """A decoder as it is exported: `(rows, 2)`, beside the sum the likeliest number to come behind the last token."""

    def __init__(self, network: Decoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits = self.network.logits(x)
        last = (x != PADDING).sum(dim=1) - 1
        coming = logits[torch.arange(x.shape[0], device=x.device), last].argmax(dim=1, keepdim=True)
        return torch.cat([self.network.surprise(x, logits).double(), coming.double()], dim=1)


def train(
    train_part: Part,
    validation_part: Part,
    config: CausalLmConfig,
    report: Report,
    *,
    device: str,
    seed: int,
    objective: Objective,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> TrainResult:
    """Trains on texts without targets, as `trainers.contract.Train` says; the losses are means over tokens.

    Raises:
        WeightsError: the config's model is not here, or is none that this trainer takes.
    """
    found = model_folders.find(config.model)
    about = model_folders.described(found, "decoder")
    written, numbers = model_folders.tokenizer(found)
    rules = _rules(found.name, about, written, config.max_length)
    data = passages.prepare(train_part, validation_part, rules, about.vocab_size, device)
    decoder = model_folders.load(found, about, "decoder", config.dropout)
    model_folders.refuse_unknown_numbers(found, numbers, decoder)
    torch.manual_seed(seed)  # of what is new, whatever loading has drawn
    prepared = model_folders.prepared(decoder, config, about, "decoder")
    network = nn.Sequential(Trimmed(), Decoder(prepared)).to(device)
    return loop.fit(
        network,
        _pose(data),
        data,
        config,
        report,
        augment=None,
        seed=seed,
        objective=objective,
        checkpoint=checkpoint,
    )


def _rules(name: str, about: Any, written: str, max_length: int) -> dict[str, Any]:
    """Those of `trainers.subwords`; where a model has nothing for a text's beginning, what it has for the end stands there."""
    ends = model_folders.ends(about)
    if not ends:
        raise WeightsError(f"{name} has no eos_token_id in its config.json: say which number ends a text")
    return {
        "tokenizer": written,
        "max_length": model_folders.longest(about, max_length),
        "begin": ends[0] if about.bos_token_id is None else about.bos_token_id,
        "end": ends[0],
        "ends": ends,
    }


def _pose(data: Passages) -> Problem:
    tokens = data.by_text(data.tokens)
    return Problem(
        train_targets=data.y_train,
        validation_targets=data.y_validation,
        # the mean over blocks of their shares is the mean over tokens, also where a batch goes in pieces
        loss=lambda surprise, shares: (surprise * shares).mean(),
        head=nn.Flatten(0),
        measure=lambda surprise: passages.measure(data.tokens, surprise),
        draw=lambda surprise: passages.draw(tokens, data.by_text(surprise)),
        exported=_exported,
    )


def _exported(trained: nn.Module) -> nn.Module:
    network = cast("Decoder", cast("nn.Sequential", trained)[1])
    network.decoder = model_folders.merged(network.decoder)
    return Exported(network)
