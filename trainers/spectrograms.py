"""Sound as a network sees it: log-mel spectrograms, computed on the device out of raw samples, and masks over them.

Shapes: B clips, N samples, T frames, M mel bands. Both are modules of the network, so an exported model takes samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

WINDOW_S, HOP_S = 0.025, 0.010
FLOOR = 1e-6  # of a band's power, about what 16 bits resolve
MASKS = 2  # of each kind


class LogMel(nn.Module):
    """Samples `(B, N)` to the logarithm of the power in each mel band `(B, 1, M, T)`, standardised by band once fitted.

    Frames of 25 ms every 10 ms under a Hann window, of which the Fourier transform is taken in twice the points (padded
    with zeros), so that the lowest bands are not empty.
    """

    def __init__(self, sample_rate: int, mels: int) -> None:
        super().__init__()
        self.hop = max(1, round(HOP_S * sample_rate))
        window = max(2, round(WINDOW_S * sample_rate))
        self.points = 2 ** (math.ceil(math.log2(window)) + 1)
        padding = self.points - window
        hann = functional.pad(torch.hann_window(window), (padding // 2, padding - padding // 2))
        self.register_buffer("window", hann)
        self.register_buffer("bank", mel_bank(sample_rate, self.points, mels))
        self.register_buffer("mean", torch.zeros(mels, 1))
        self.register_buffer("scale", torch.ones(mels, 1))

    def forward(self, samples: Tensor) -> Tensor:
        standardised: Tensor = (self.log_power(samples) - self.get_buffer("mean")) / self.get_buffer("scale")
        return standardised[:, None]

    def log_power(self, samples: Tensor) -> Tensor:
        """The logarithm itself, `(B, M, T)` with `T = N // hop + 1`: frame t is about sample `t * hop`."""
        padded = functional.pad(samples, (self.points // 2, self.points // 2))
        spectrum = torch.stft(
            padded, self.points, self.hop, window=self.get_buffer("window"), center=False, return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        return torch.log(self.get_buffer("bank") @ power + FLOOR)

    def frames(self, samples: Tensor) -> Tensor:
        """How many frames of each clip `(B,)` are about its samples, and not about the zeros behind its end; at least 1."""
        places = torch.arange(1, samples.shape[1] + 1, device=samples.device)
        lengths = torch.where(samples != 0, places, 0).amax(dim=1)
        return torch.div(lengths, self.hop, rounding_mode="floor") + 1

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor]) -> None:
        """Takes mean and deviation of each band over the frames of these clips."""
        count, total, squares = 0.0, torch.zeros(()), torch.zeros(())
        for samples in batches:
            logs, frames = self.log_power(samples).double(), self.frames(samples)
            heard = torch.arange(logs.shape[2], device=logs.device) < frames[:, None]  # (B, T)
            kept = logs.movedim(1, 2)[heard]  # (frames, M)
            count += len(kept)
            total, squares = total.to(kept) + kept.sum(dim=0), squares.to(kept) + kept.square().sum(dim=0)
        mean = total / count
        deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
        self.get_buffer("mean").copy_(mean[:, None])
        self.get_buffer("scale").copy_(torch.where(deviation > 1e-4, deviation, 1.0)[:, None])


class SpecAugment(nn.Module):
    """Hides stretches of time and bands of a standardised spectrogram in training, as dropout hides units.

    Park et al. 2019, "SpecAugment: a simple data augmentation method for automatic speech recognition", without warping:
    what is hidden is 0, the training part's mean. A mask's width is even from 0 to a share of the clip, or of the bands.
    """

    def __init__(self, time_mask: float, frequency_mask: float) -> None:
        super().__init__()
        self.time_mask = time_mask
        self.frequency_mask = frequency_mask

    def forward(self, x: Tensor, frames: Tensor) -> Tensor:
        """Masks `(B, 1, M, T)`, whose clips have `frames` `(B,)`."""
        if not self.training:
            return x
        for _ in range(MASKS):
            if self.time_mask > 0:
                x = x.masked_fill(_stretch(frames, x.shape[3], self.time_mask)[:, None, None, :], 0.0)
            if self.frequency_mask > 0:
                bands = torch.full_like(frames, x.shape[2])
                x = x.masked_fill(_stretch(bands, x.shape[2], self.frequency_mask)[:, None, :, None], 0.0)
        return x


def _stretch(lengths: Tensor, size: int, share: float) -> Tensor:
    """For each clip a random stretch of up to a share of its length, as `(B, size)` of truth."""
    drawn = torch.rand(2, len(lengths), device=lengths.device)
    width = (drawn[0] * (share * lengths + 1)).floor()
    start = (drawn[1] * (lengths - width + 1)).floor()
    places = torch.arange(size, device=lengths.device)
    return (places >= start[:, None]) & (places < (start + width)[:, None])


def mel_bank(sample_rate: int, points: int, mels: int) -> Tensor:
    """Triangles of equal width on the mel scale, each one high, `(M, points // 2 + 1)`.

    The scale is 2595 log10(1 + hertz / 700): O'Shaughnessy 1987, "Speech communication"; the triangles are those of Davis
    and Mermelstein 1980, "Comparison of parametric representations for monosyllabic word recognition".
    """
    highest = 2595 * math.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, highest, mels + 2, dtype=torch.float64) / 2595) - 1)  # hertz
    hertz = torch.linspace(0, sample_rate / 2, points // 2 + 1, dtype=torch.float64)
    below, peak, above = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return torch.minimum((hertz - below) / (peak - below), (above - hertz) / (above - peak)).clamp_min(0).float()
