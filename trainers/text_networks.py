"""The networks of texts: from the numbers of tokens to one vector a text, and on to its outputs.

Owns the architectures. Shapes: B rows, L tokens, W width. Number 0 is padding at the end of a row, and no result depends on
how much of it there is: its vector is zero and stays so, it is masked in every layer, and what is pooled leaves it out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.configs import TextClassifierConfig, TrainingConfig
from trainers.networks import ACTIVATIONS, mlp
from trainers.token_ids import PADDING

HEAD_WIDTH = 16  # numbers of an attention head, at least
VECTOR_STD = 0.1


def text_network(vocabulary: int, length: int, outputs: int, config: TextClassifierConfig) -> nn.Module:
    """Builds a network; takes int32 `(B, L)`, gives `(B, outputs)`.

    Args:
        vocabulary: different numbers of tokens, padding and unknown ones among them.
        length: L.
        outputs: classes, or 1 for regression.
        config: its architecture, width, depth, kernel_size, activation, batch_norm and dropout are used.
    """
    if config.architecture == "embedding_bag":
        bag = Bag(vocabulary, config.width)
        return nn.Sequential(Trimmed(), bag, nn.Dropout(config.dropout), *mlp(config.width, outputs, config))
    encoder = _encoder(vocabulary, length, config)
    norm = [nn.BatchNorm1d(encoder.outputs)] if config.batch_norm else []
    return nn.Sequential(Trimmed(), encoder, *norm, nn.Dropout(config.dropout), nn.Linear(encoder.outputs, outputs))


def _encoder(vocabulary: int, length: int, config: TextClassifierConfig) -> Convolutions | Recurrent | Attention:
    if config.architecture == "cnn":
        return Convolutions(vocabulary, config)
    if config.architecture == "gru":
        return Recurrent(vocabulary, config)
    return Attention(vocabulary, length, config)


def vectors(vocabulary: int, width: int) -> nn.Embedding:
    """A vector for each number; short ones, which training soon turns, and none for padding."""
    table = nn.Embedding(vocabulary, width, padding_idx=PADDING)
    with torch.no_grad():
        table.weight.mul_(VECTOR_STD)
    return table


class Trimmed(nn.Module):
    """Leaves out what is padding in every row, on the CPU alone: another device would have to be waited for."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or torch.compiler.is_exporting():
            return x
        return x[:, : int((x != PADDING).sum(dim=1).max())]


class Bag(nn.Module):
    """The mean of the tokens' vectors, normed, `(B, L)` to `(B, W)`: Joulin et al. 2017, "Bag of tricks"."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        table = vectors(vocabulary, width).weight.detach()
        self.vectors = nn.EmbeddingBag.from_pretrained(table, freeze=False, mode="mean", padding_idx=PADDING)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.vectors(x))
        return normed


class Convolutions(nn.Module):
    """Residual convolutions over neighbouring tokens, `(B, L)` to `(B, 2 W)`: after Kim 2014, "Convolutional networks"."""

    def __init__(self, vocabulary: int, config: TextClassifierConfig) -> None:
        super().__init__()
        width = config.width
        self.outputs = 2 * width
        self.vectors = vectors(vocabulary, width)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, config.kernel_size) for _ in range(max(1, config.depth)))
        self.activation = ACTIVATIONS[config.activation]()
        # as many before a token as after it, and one more after it where the kernel is even
        self.edges = ((config.kernel_size - 1) // 2, config.kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        there = (x != PADDING)[:, None, :]  # (B, 1, L)
        signal = self.vectors(x).transpose(1, 2)  # (B, W, L)
        for layer in self.layers:
            signal = (signal + self.activation(layer(functional.pad(signal, self.edges)))) * there
        return pooled(signal.transpose(1, 2), there.transpose(1, 2))


class Recurrent(nn.Module):
    """Gated recurrent units from both ends, `(B, L)` to `(B, 4 W)`: Cho et al. 2014, "RNN encoder-decoder".

    The one from the end reads each text turned round, so that neither has read padding before a token.
    """

    def __init__(self, vocabulary: int, config: TextClassifierConfig) -> None:
        super().__init__()
        width, layers = config.width, max(1, config.depth)
        self.outputs = 4 * width
        self.vectors = vectors(vocabulary, width)
        between = config.dropout if layers > 1 else 0.0
        self.ahead = nn.GRU(width, width, layers, batch_first=True, dropout=between)
        self.back = nn.GRU(width, width, layers, batch_first=True, dropout=between)

    def forward(self, x: Tensor) -> Tensor:
        there = (x != PADDING)[:, :, None]  # (B, L, 1)
        ahead = states(self.ahead, self.vectors(x))
        back = states(self.back, self.vectors(_turned_round(x)))
        return torch.cat([pooled(ahead, there), pooled(back, there)], dim=1)


class Attention(nn.Module):
    """A small transformer encoder, normed before each layer, `(B, L)` to `(B, 2 W)`: Vaswani et al. 2017."""

    def __init__(self, vocabulary: int, length: int, config: TextClassifierConfig) -> None:
        super().__init__()
        self.outputs = 2 * config.width
        self.vectors = vectors(vocabulary, config.width)
        self.places = nn.Parameter(0.02 * torch.randn(length, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(max(1, config.depth)))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, x: Tensor) -> Tensor:
        there = x != PADDING  # (B, L)
        signal: Tensor = self.vectors(x) + self.places[: x.shape[1]]
        for block in self.blocks:
            signal = block(signal, there)
        return pooled(self.norm(signal), there[:, :, None])


class Block(nn.Module):
    """Self-attention and two layers beside the signal `(B, L, W)`."""

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__()
        width = config.width
        # the most heads, up to 8, that share the width and have enough of it
        self.heads = max(n for n in (1, 2, 4, 8) if n == 1 or (width % n == 0 and width // n >= HEAD_WIDTH))
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asked = nn.Linear(width, 3 * width)
        self.told = nn.Linear(width, width)
        self.layers = nn.Sequential(
            nn.Linear(width, 2 * width), ACTIVATIONS[config.activation](), nn.Linear(2 * width, width)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, signal: Tensor, there: Tensor) -> Tensor:
        rows, length, width = signal.shape
        asked = self.asked(self.before(signal)).view(rows, length, 3, self.heads, width // self.heads)
        query, key, value = asked.permute(2, 0, 3, 1, 4).unbind()  # (B, heads, L, W / heads) each
        mask = there[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        signal = signal + self.dropout(self.told(mixed.transpose(1, 2).reshape(rows, length, width)))
        changed: Tensor = self.dropout(self.layers(self.between(signal)))
        return signal + changed


def pooled(signal: Tensor, there: Tensor) -> Tensor:
    """Mean and greatest value over the tokens that are there: `(B, L, W)` and `(B, L, 1)` to `(B, 2 W)`."""
    mean = (signal * there).sum(dim=1) / there.sum(dim=1)
    greatest = signal.masked_fill(~there, -torch.inf).amax(dim=1)
    return torch.cat([mean, greatest], dim=1)


def states(units: nn.GRU, signal: Tensor) -> Tensor:
    """What the units give, `(B, L, W)` to `(B, L, W)`; for `torch.export`, which would write out every step, as a loop."""
    if not torch.compiler.is_exporting():
        fused: Tensor = units(signal)[0]
        return fused
    for layer in range(units.num_layers):
        weights = [getattr(units, f"{name}_l{layer}") for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")]
        signal = _layer(signal.transpose(0, 1), *weights).transpose(0, 1)
    return signal


def _layer(signal: Tensor, weight_in: Tensor, bias_in: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """One layer's states `(L, B, W)`, by the equations of `torch.nn.GRU`."""
    length, rows, width = signal.shape[0], signal.shape[1], weight.shape[1]
    given = functional.linear(signal, weight_in, bias_in)

    def more(place: Tensor, _state: Tensor, _states: Tensor) -> Tensor:
        return place < length

    def step(place: Tensor, state: Tensor, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        reset, update, new = given.index_select(0, place.view(1))[0].chunk(3, dim=1)
        own_reset, own_update, own_new = functional.linear(state, weight, bias).chunk(3, dim=1)
        kept = torch.sigmoid(update + own_update)
        fresh = torch.tanh(new + torch.sigmoid(reset + own_reset) * own_new)
        state = (1 - kept) * fresh + kept * state
        return place + 1, state, states.index_copy(0, place.view(1), state[None])

    start = (torch.tensor(0), given.new_zeros(rows, width), given.new_zeros(length, rows, width))
    made: Tensor = torch.while_loop(more, step, start)[2]  # type: ignore[no-untyped-call]  # torch has no types for it
    return made


def _turned_round(x: Tensor) -> Tensor:
    """Each row `(B, L)` from its last token to its first, with its padding where it was."""
    places = torch.arange(x.shape[1], device=x.device)
    back = (x != PADDING).sum(dim=1, keepdim=True) - 1 - places
    return x.gather(1, torch.where(back >= 0, back, places))
