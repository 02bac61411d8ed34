"""Log-mel spectrograms against their definition, the padding of clips, and the masks of SpecAugment."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from tests.clips import tone
from trainers.audio_classifier import Network, Strengths
from trainers.media_configs import AudioClassifierConfig
from trainers.spectrograms import LogMel, SpecAugment, mel_bank


def sound(*hertz: float, seconds: float = 0.5) -> torch.Tensor:
    return torch.tensor(np.stack([tone(each, seconds) for each in hertz]), dtype=torch.float32)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000])
def test_power_is_that_of_scipys_transform_in_the_mel_bank(rate: int) -> None:
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(rate // 2) * 0.1
    log_mel = LogMel(rate, 40)
    window = round(0.025 * rate)
    padded = np.pad(hann(window, sym=False), ((log_mel.points - window) // 2, -(-(log_mel.points - window) // 2)))
    transform = ShortTimeFFT(padded, log_mel.hop, rate, mfft=log_mel.points, scale_to=None)
    frames = len(samples) // log_mel.hop + 1
    power = np.abs(transform.stft(samples, p0=0, p1=frames)) ** 2
    expected = np.log(mel_bank(rate, log_mel.points, 40).numpy() @ power + 1e-6)

    found = log_mel.log_power(torch.tensor(samples, dtype=torch.float32)[None])[0].numpy()
    assert found.shape == (40, frames)
    assert found == pytest.approx(expected, abs=2e-3)


def test_triangles_cover_every_frequency_and_peak_at_their_mels() -> None:
    bank = mel_bank(8_000, 512, 64).numpy()

    hertz = np.linspace(0, 4_000, 257)
    mels = 2595 * np.log10(1 + hertz / 700)
    peaks = np.linspace(0, mels[-1], 66)[1:-1]
    step = peaks[1] - peaks[0]
    assert (bank.sum(axis=1) > 0).all(), "no band is empty"
    inside = (mels > peaks[0]) & (mels < peaks[-1])
    assert bank[:, inside].sum(axis=0) == pytest.approx(1.0, abs=0.05)
    assert (np.abs(mels[bank.argmax(axis=1)] - peaks) < step).all()


def test_a_tone_is_loudest_in_the_band_of_its_pitch() -> None:
    log_mel = LogMel(8_000, 64)
    loudest = log_mel.log_power(sound(300, 700, 1_500)).mean(dim=2).argmax(dim=1)

    mels = 2595 * np.log10(1 + np.array([300, 700, 1_500]) / 700)
    assert loudest.tolist() == pytest.approx(mels / (2595 * np.log10(1 + 4_000 / 700)) * 65 - 1, abs=1)


def test_frames_end_with_the_clip() -> None:
    log_mel = LogMel(8_000, 16)
    padded = torch.nn.functional.pad(sound(500), (0, 4_000))

    assert log_mel.frames(torch.cat([padded, torch.zeros(1, 8_000), torch.full((1, 8_000), 0.1)])).tolist() == [
        51,
        1,
        101,
    ]


def test_bands_are_standardised_over_what_is_heard() -> None:
    log_mel = LogMel(8_000, 16)
    rng = torch.Generator().manual_seed(0)
    loud = torch.randn(6, 8_000, generator=rng) * torch.linspace(0.01, 0.5, 6)[:, None]
    padded = torch.nn.functional.pad(loud, (0, 8_000))
    log_mel.fit(padded.split(4))

    heard = log_mel(padded)[:, 0, :, :100]
    assert heard.mean(dim=(0, 2)).abs().max() < 0.05
    assert (heard.std(dim=(0, 2)) - 1).abs().max() < 0.05
    silent = LogMel(8_000, 16)
    silent.fit([torch.zeros(2, 800)])
    assert silent(torch.zeros(2, 800)).abs().max() == 0


def test_padding_hardly_changes_what_a_clip_is_taken_for() -> None:
    torch.manual_seed(0)
    clips = torch.randn(3, 8_000)
    network = Network(LogMel(8_000, 32), 4, AudioClassifierConfig(mels=32, width=8), Strengths()).eval()
    network.log_mel.fit([clips])
    with torch.inference_mode():
        short, padded = network(clips), network(torch.nn.functional.pad(clips, (0, 24_000)))

    assert (short - padded).abs().max() < 0.2 * short.std()


def test_masks_hide_stretches_of_time_and_bands_in_training_alone() -> None:
    torch.manual_seed(0)
    x, frames = torch.ones(500, 1, 20, 40), torch.tensor([40, 20] * 250)
    masks = SpecAugment(0.25, 0.2)

    assert torch.equal(masks.eval()(x, frames), x)
    seen = masks.train()(x, frames)[:, 0]
    hidden_bands, hidden_frames = (seen == 0).all(dim=2).sum(dim=1), (seen == 0).all(dim=1).sum(dim=1)
    assert torch.equal(seen, x[:, 0] * (~((seen == 0).all(dim=2)))[:, :, None] * (~(seen == 0).all(dim=1))[:, None, :])
    assert int(hidden_bands.max()) in range(5, 9)
    assert hidden_bands.float().mean() == pytest.approx(3.4, abs=0.7)  # two of 0 to 4, which may overlap
    assert int(hidden_frames[::2].max()) in range(12, 21)
    assert int(hidden_frames[1::2].max()) <= 10
    assert (seen[1::2, :, 20:] == 0).all(dim=1).sum() == 0, "what is behind the end is not what is hidden"
    assert torch.equal(SpecAugment(0.0, 0.0).train()(x, frames), x)
