"""A file of sound as samples: what libsndfile decodes of WAV and FLAC, mixed to one channel, at the sample rate asked for.

Needs numpy, scipy and soundfile alone and nothing of this project: a copy travels in every exported model that takes files.
"""

import io
import math

import numpy as np
import soundfile

FORMATS = ("WAV", "WAVEX", "FLAC")
LONGEST_S = 600
MOST_CHANNELS = 8
LOWEST_RATE, HIGHEST_RATE = 1000, 192_000
LOUDEST = 32_768  # as 16 bits have it, below zero


class BadClipError(ValueError):
    """The bytes are no sound that is read; the text tells what to do."""


def look(content: bytes) -> tuple[int, int]:
    """Samples of a channel and samples a second, out of the file's head."""
    with _opened(content) as sound:
        return sound.frames, sound.samplerate


def decode(content: bytes, sample_rate: int, samples: int) -> np.ndarray:
    """The clip's beginning as int16 `(samples,)`, the mean of its channels, with zeros behind a shorter clip's end.

    Resampled by scipy's polyphase filter, whose default is a Kaiser window of beta 5.

    Raises:
        BadClipError: it is damaged, empty, of another format, or too long.
    """
    with _opened(content) as sound:
        rate = sound.samplerate
        try:
            heard = sound.read(math.ceil(samples * rate / sample_rate) + 1, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:  # the head alone was whole
            raise BadClipError(f"it is damaged ({str(error)[-80:]}): write it anew, or leave it out") from None
    mono = heard.mean(axis=1, dtype=np.float64)
    if not np.isfinite(mono).all():
        raise BadClipError("it has samples that are no numbers: write it anew, or leave it out")
    if rate != sample_rate:
        from scipy.signal import resample_poly  # noqa: PLC0415 - takes a second to load, and few need it

        shared = math.gcd(rate, sample_rate)
        mono = resample_poly(mono, sample_rate // shared, rate // shared)
    kept = mono[:samples]
    clip = np.zeros(samples, np.int16)
    clip[: len(kept)] = np.round(kept * LOUDEST).clip(-LOUDEST, LOUDEST - 1)
    return clip


def encode(samples: np.ndarray, sample_rate: int) -> bytes:
    """A WAV file of int16 samples `(samples,)`."""
    written = io.BytesIO()
    soundfile.write(written, samples, sample_rate, format="WAV", subtype="PCM_16")
    return written.getvalue()


def _opened(content: bytes) -> soundfile.SoundFile:
    try:
        sound = soundfile.SoundFile(io.BytesIO(content))
    except (soundfile.LibsndfileError, RuntimeError, TypeError, ValueError) as error:
        raise BadClipError(f"it is no WAV or FLAC ({str(error)[-80:]}): convert it, or leave it out") from None
    refused = None
    if sound.format not in FORMATS:
        refused = f"it is {sound.format}, and WAV and FLAC are read: convert it, or leave it out"
    elif not sound.frames:
        refused = "it is empty: leave it out"
    elif not LOWEST_RATE <= sound.samplerate <= HIGHEST_RATE:
        refused = (
            f"it has {sound.samplerate} samples a second, and {LOWEST_RATE} to {HIGHEST_RATE} are read: convert it"
        )
    elif sound.channels > MOST_CHANNELS:
        refused = f"it has {sound.channels} channels, and {MOST_CHANNELS} are read: mix it down"
    elif sound.frames > LONGEST_S * sound.samplerate:
        refused = f"it is longer than {LONGEST_S // 60} minutes: cut it into pieces"
    if refused:
        sound.close()
        raise BadClipError(refused)
    return sound
