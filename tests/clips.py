"""Clips of sound for tests: made tones as WAV files, and the spoken prompts of Debian's package asterisk-core-sounds-en-wav."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
needs_prompts = pytest.mark.skipif(
    not (PROMPTS / "digits").is_dir(), reason="needs spoken prompts: apt-get install asterisk-core-sounds-en-wav"
)


def clip(samples: np.ndarray, rate: int = 8_000, form: str = "WAV", **options: Any) -> bytes:
    """A file of samples from -1 to 1, `(n,)` or `(n, channels)`."""
    written = io.BytesIO()
    soundfile.write(written, samples, rate, format=form, **options)
    return written.getvalue()


def tone(hertz: float, seconds: float = 0.5, rate: int = 8_000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


@cache
def tones(rows: int = 120) -> dict[str, bytes]:
    """Short tones with some noise in folders of their pitch, of different lengths."""
    rng = np.random.default_rng(0)
    made = {}
    for i in range(rows):
        name, hertz = (("low", 300), ("middle", 700), ("high", 1_500))[i % 3]
        sound = tone(hertz * rng.uniform(0.9, 1.1), rng.uniform(0.1, 0.3))
        made[f"{name}/{i:03}.wav"] = clip(sound + 0.1 * rng.standard_normal(len(sound)))
    return made


def prompts(*classes: str) -> dict[str, bytes]:
    """Spoken prompts in folders of what they are: `digits`, `letters`, `phonetic`."""
    return {
        f"{name}/{file.name}": file.read_bytes() for name in classes for file in sorted((PROMPTS / name).glob("*.wav"))
    }
