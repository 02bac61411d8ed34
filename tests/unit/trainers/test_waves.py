"""Clips as recorders and programs write them: each is decoded as a person hears it, or refused with the cure."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.clips import clip, tone
from tests.unit.trainers.stored import lines, store
from tests.zipped import packed
from trainers.data import files, media, waves
from trainers.data.faults import FaultsError
from trainers.data.waves import BadClipError

SOUND = tone(440)  # half a second
EXPECTED = np.round(SOUND * 32_767)


@pytest.mark.parametrize(
    ("form", "subtype", "off"),
    [
        ("WAV", "PCM_16", 1),
        ("WAV", "PCM_24", 1),
        ("WAV", "PCM_32", 1),
        ("WAV", "FLOAT", 1),
        ("WAV", "DOUBLE", 1),
        ("WAV", "PCM_U8", 260),
        ("WAV", "ULAW", 900),
        ("WAVEX", "PCM_24", 1),
        ("FLAC", "PCM_16", 1),
        ("FLAC", "PCM_24", 1),
    ],
)
def test_every_depth_gives_the_same_samples(form: str, subtype: str, off: int) -> None:
    content = clip(SOUND, form=form, subtype=subtype)

    assert waves.look(content) == (4_000, 8_000)
    assert np.abs(waves.decode(content, 8_000, 4_000) - EXPECTED).max() <= off


def test_stereo_becomes_the_mean_of_both() -> None:
    content = clip(np.column_stack([SOUND, np.zeros_like(SOUND)]))

    assert np.abs(waves.decode(content, 8_000, 4_000) - EXPECTED / 2).max() <= 1


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_another_sample_rate_is_the_same_sound(rate: int) -> None:
    heard = waves.decode(clip(tone(440, 1.0, rate), rate), 16_000, 16_000)

    inner = slice(500, -500)  # at its ends a filter hears silence
    assert np.abs(heard - np.round(tone(440, 1.0, 16_000) * 32_767))[inner].max() < 200


def test_what_is_above_half_the_new_rate_is_filtered_and_not_folded() -> None:
    heard = waves.decode(clip(tone(7_000, 1.0, 48_000), 48_000), 8_000, 8_000)

    assert np.abs(heard[500:-500]).max() < 100


def test_a_shorter_clip_is_padded_and_a_longer_one_cut() -> None:
    longer = waves.decode(clip(SOUND), 8_000, 5_000)

    assert longer.dtype == np.int16
    assert (longer[4_000:] == 0).all()
    assert (waves.decode(clip(SOUND), 8_000, 100) == longer[:100]).all()


def test_what_is_too_loud_is_clipped() -> None:
    assert waves.decode(clip(np.full(10, 7.0), subtype="FLOAT"), 8_000, 10).tolist() == [32_767] * 10


NOT_A_NUMBER = clip(np.array([0.1, np.nan, 0.2]), subtype="FLOAT")
LYING = clip(SOUND).replace(
    b"data" + struct.pack("<I", 8_000), b"data" + struct.pack("<I", 2**31 - 1)
)  # bytes of samples


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is no WAV or FLAC .*: convert it, or leave it out"),
        (b"RIFF\0\0\0\0WAVE", "it is no WAV or FLAC|it is empty"),
        (b"fLaC" + bytes(100), "it is no WAV or FLAC"),
        (b"ID3\x03" + bytes(100), "it is no WAV or FLAC"),
        (clip(SOUND, form="OGG", subtype="VORBIS"), "it is OGG, and WAV and FLAC are read: convert it"),
        (clip(SOUND, form="AIFF"), "it is AIFF, and WAV and FLAC are read"),
        (clip(np.zeros(0)), "it is empty: leave it out"),
        (clip(SOUND, 500), "it has 500 samples a second, and 1000 to 192000 are read: convert it"),
        (clip(np.zeros((10, 9))), "it has 9 channels, and 8 are read: mix it down"),
        (NOT_A_NUMBER, "it has samples that are no numbers"),
    ],
    ids=["none", "head", "flac", "mp3", "ogg", "aiff", "empty", "slow", "channels", "nan"],  # bytes tell the time
)
def test_what_cannot_be_decoded_says_why(content: bytes, why: str) -> None:
    with pytest.raises(BadClipError, match=why):
        waves.decode(content, 8_000, 100)


def test_a_head_that_claims_hours_gives_what_there_is_or_is_refused() -> None:
    """A WAV's samples are counted by its bytes; a FLAC may claim any number."""
    assert clip(SOUND) != LYING
    assert (waves.decode(LYING, 8_000, 5_000) == waves.decode(clip(SOUND), 8_000, 5_000)).all()
    flac = bytearray(clip(SOUND, form="FLAC"))
    flac[21] |= 0x0F  # the upper bits of 36 that count samples
    with pytest.raises(BadClipError, match="it is longer than 10 minutes: cut it into pieces"):
        waves.decode(bytes(flac), 8_000, 100)


# ---- whole sets ------------------------------------------------------------------------------------------------------


def folder(tmp_path: Path, *clips: bytes, **source: Any) -> Path:
    return store(
        tmp_path / "set", {"data.zip": packed({f"{i % 2}/{i}.wav": each for i, each in enumerate(clips)})}, **source
    )


@pytest.mark.parametrize(
    ("rates", "source", "rate"),
    [
        ([8_000] * 4, {}, 8_000),
        ([8_000, 8_000, 8_000, 44_100], {}, 16_000),
        ([44_100] * 4, {}, 16_000),
        ([8_000] * 4, {"sample_rate": 4_000}, 4_000),
        ([44_100] * 4, {"sample_rate": 22_050}, 22_050),
    ],
)
def test_clips_get_one_sample_rate(tmp_path: Path, rates: list[int], source: dict[str, int], rate: int) -> None:
    made = folder(tmp_path, *(clip(tone(440, 0.5, each), each) for each in rates), **source)
    info, notes = files.examine(made)
    loaded = files.load(made, "d")

    assert (info.kind, info.shape, info.digest) == ("audio", (rate // 2,), loaded.digest)
    assert (loaded.x.shape, loaded.x.dtype) == ((4, rate // 2), np.int16)
    assert loaded.media == {"column": "audio", "sample_rate": rate, "samples": rate // 2}
    assert notes[0] == "clips of 0.50 to 0.50 s, in the middle 0.50 s"
    assert (len(notes) == 2) == ({*rates} != {rate})


def test_clips_are_padded_to_the_longest_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths_s = (0.1, 0.2, 0.3, 1.5)
    made = folder(tmp_path, *(clip(tone(440, each)) for each in lengths_s))
    assert files.load(made, "d").x.shape == (4, 12_000)

    monkeypatch.setattr(media, "LONGEST_S", 1.0)
    info, notes = files.examine(made)
    assert info.shape == (8_000,)
    assert notes == ["clips of 0.10 to 1.50 s, in the middle 0.25 s", "of 1 clips the first 1 s are used"]


def test_a_bad_clip_is_named(tmp_path: Path) -> None:
    made = folder(tmp_path, *(clip(SOUND), clip(np.zeros(0)), clip(SOUND), b"?"))
    for read in (files.examine, lambda folder: files.load(folder, "d")):
        with pytest.raises(FaultsError) as refused:
            read(made)
        assert refused.value.faults[0].detail == "'1/1.wav' cannot be used: it is empty: leave it out"
        assert "'1/3.wav' cannot be used: it is no WAV or FLAC" in refused.value.faults[1].detail


def test_a_clip_that_is_damaged_behind_its_head_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000)
    damaged = bytearray(clip(noise, form="FLAC"))
    middle = len(damaged) // 2
    damaged[middle : middle + 400] = bytes(400)
    made = folder(tmp_path, clip(SOUND), bytes(damaged), clip(SOUND), clip(SOUND))

    with pytest.raises(FaultsError) as refused:
        files.load(made, "d")

    assert "'1/1.wav' cannot be used: it is damaged (" in refused.value.faults[0].detail
    assert refused.value.faults[0].detail.endswith("write it anew, or leave it out")


def test_labels_may_stand_in_a_table_beside_clips_and_formats_may_be_mixed(tmp_path: Path) -> None:
    table = lines("file,label", "1.wav,up", "2.flac,up", "3.WAV,down", "4.flac,down")
    content = {"1.wav": clip(SOUND), "2.flac": clip(SOUND, form="FLAC"), "3.WAV": clip(SOUND)}
    zipped = packed({"labels.csv": table.encode(), **content, "4.flac": clip(SOUND, form="FLAC")})
    loaded = files.load(store(tmp_path / "set", {"data.zip": zipped}), "d")

    assert (loaded.class_names, loaded.y.tolist()) == (("down", "up"), [1, 1, 0, 0])
    assert np.abs(loaded.x - loaded.x[0].astype(int)).max() <= 1
