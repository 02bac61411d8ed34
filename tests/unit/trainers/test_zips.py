"""Zips as hostile and clumsy people have them: each is read, or refused in a few words that name the file and the cure."""

from __future__ import annotations

import io
import stat
import struct
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.unit.trainers.stored import lines, store
from tests.zipped import digits, packed, picture
from trainers.data import files, media, pixels, zips
from trainers.data.faults import FaultsError
from tuner import inspection

DOT = picture(np.full((4, 4), 7, np.uint8))
GOOD = {"a/1.png": DOT, "a/2.png": DOT, "b/1.png": DOT, "b/2.png": DOT}


def refused(tmp_path: Path, content: bytes | dict[str, bytes], **source: Any) -> str:
    folder = store(tmp_path / "set", {"data.zip": content if isinstance(content, bytes) else packed(content)}, **source)
    with pytest.raises(FaultsError) as error:
        files.examine(folder)
    with pytest.raises(FaultsError) as again:  # the worker trusts nobody's inspection
        files.load(folder, "d")
    assert str(again.value) == str(error.value)
    assert all(len(fault.detail) < 500 for fault in error.value.faults)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["data.zip", "set", "source.json"], (
        "nothing is unpacked"
    )
    return str(error.value)


def with_entry(name: str, content: bytes = DOT, **changes: Any) -> bytes:
    """A good zip with one more file, as its entry is changed."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, its_content in GOOD.items():
            archive.writestr(each, its_content)
        entry = zipfile.ZipInfo(name)
        entry.compress_type = changes.pop("compress_type", zipfile.ZIP_DEFLATED)
        for key, value in changes.items():
            setattr(entry, key, value)
        archive.writestr(entry, content)
    return made.getvalue()


# ---- hostile ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../a/3.png", "a/../../3.png", "/a/3.png", "C:/a/3.png", "a\\..\\3.png", "\\\\host\\a\\3.png"]
)
def test_a_path_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    told = refused(tmp_path, with_entry(name))

    assert f"{name!r} is no path within the zip: pack the folder anew".replace("\\\\", "\\") in told.replace(
        "\\\\", "\\"
    )


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        (stat.S_IFLNK, "is a link: put the file itself into the zip"),
        (stat.S_IFIFO, "is neither a file nor a folder"),
        (stat.S_IFCHR, "is neither a file nor a folder"),
    ],
)
def test_a_link_or_a_device_is_refused(tmp_path: Path, mode: int, why: str) -> None:
    told = refused(tmp_path, with_entry("a/3.png", b"/etc/passwd", external_attr=(mode | 0o777) << 16, create_system=3))

    assert f"'a/3.png' {why}" in told


@pytest.mark.parametrize("name", ["a/more.zip", "more.tar.gz", "a/b/x.7z"])
def test_an_archive_within_is_refused(tmp_path: Path, name: str) -> None:
    assert f"{name!r} is an archive within the zip: unpack it first" in refused(tmp_path, with_entry(name))


def test_a_zip_that_is_called_an_image_is_no_image(tmp_path: Path) -> None:
    told = refused(tmp_path, {**GOOD, "a/3.png": packed(GOOD)})

    assert "'a/3.png' cannot be used: it is no PNG, JPEG, GIF, BMP, WEBP, TIFF: convert it, or leave it out" in told


def test_a_file_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    told = refused(tmp_path, {**GOOD, "a/3.bmp": bytes(2 * 2**20)})

    assert "'a/3.bmp' unpacks to more than 200 times its size: leave it out" in told


def test_many_files_that_unpack_to_far_more_together_are_refused(tmp_path: Path) -> None:
    told = refused(tmp_path, {**GOOD, **{f"a/x{i}.bmp": bytes(2**20) for i in range(150)}})

    assert "data.zip: it unpacks to 9" in told
    assert "times its size, and 200 are allowed: leave files out" in told


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "MOST_FILES", 3)

    assert "it holds 4 files, and 3 are allowed: leave some out" in refused(tmp_path, GOOD)


def test_a_large_file_and_a_large_whole_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "LARGEST_FILE_BYTES", 2**20)
    noise = np.random.default_rng(0).bytes(2**20 + 1)
    assert "'a/3.png' has 1 MB, and 1 are allowed: make it smaller" in refused(
        tmp_path / "1", {**GOOD, "a/3.png": noise}
    )
    monkeypatch.setattr(zips, "LARGEST_TOTAL_BYTES", 100)
    assert "it unpacks to 0 GiB, and 0 are allowed" in refused(tmp_path / "2", GOOD)


def test_rows_that_take_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "MOST_DECODED_BYTES", 63)

    assert "all rows take 0 GiB, and 0 are allowed: say a smaller image_size" in refused(tmp_path, GOOD)


@pytest.mark.parametrize("form", ["PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_pixel_bomb_is_refused_by_its_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setattr(pixels, "MOST_PIXELS", 10_000)
    bomb = picture(np.zeros((100, 101), np.uint8), form)

    told = refused(tmp_path, {**GOOD, f"a/3.{form.lower()}": bomb})
    assert f"'a/3.{form.lower()}' cannot be used: it has more than 50 million pixels: make it smaller" in told


@pytest.mark.parametrize("side", [8_000, 12_000, 60_000])
def test_a_png_that_claims_millions_of_pixels_is_refused_unread(tmp_path: Path, side: int) -> None:
    """Above our own limit, above Pillow's warning, above Pillow's error."""
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zipfile.crc32(b"IHDR" + head))
    told = refused(tmp_path, {**GOOD, "a/3.png": DOT[:8] + chunk + DOT[33:]})

    assert "'a/3.png' cannot be used: it has more than 50 million pixels: make it smaller" in told


def test_files_that_overlap_are_refused(tmp_path: Path) -> None:
    """A zip whose every name leads to the same bytes, told to have them once each."""
    noise = np.random.default_rng(0).bytes(5_000)
    whole = packed({"a/1.png": noise}, zipfile.ZIP_STORED)
    directory = whole.index(b"PK\x01\x02")
    end = whole.index(b"PK\x05\x06")
    entries = b"".join(whole[directory:end].replace(b"a/1.png", f"a/{i}.png".encode()) for i in range(9))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, len(entries), directory, 0)

    assert "its files overlap, as no honest zip's do" in refused(tmp_path, whole[:directory] + entries + tail)


def test_an_encrypted_file_and_an_odd_compression_are_refused(tmp_path: Path) -> None:
    content = bytearray(packed(GOOD))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert "'a/1.png' is encrypted: pack it anew without a password" in refused(tmp_path / "1", bytes(content))
    told = refused(tmp_path / "2", packed(GOOD, zipfile.ZIP_LZMA))
    assert "'a/1.png' is compressed otherwise than zips usually are: pack it anew by deflate" in told


@pytest.mark.parametrize("damage", ["cut", "content", "size", "text", "empty"])
def test_a_damaged_zip_is_refused(tmp_path: Path, damage: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    content = bytearray(packed({**GOOD, "a/3.png": picture(noise)}))
    if damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "content":
        content[content.index(b"a/3.png") + 2_000] ^= 0xFF
    elif damage == "size":  # says more than there is
        place = content.rindex(b"PK\x01\x02") + 24
        content[place : place + 4] = struct.pack("<I", 9_999)
    elif damage == "text":
        content[:] = b"a,y\n1,2\n"
    else:
        content.clear()

    told = refused(tmp_path, bytes(content))
    assert "pack the folder anew, as a plain zip" in told


def test_a_file_of_the_same_path_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = with_entry("a/1.png")

    assert "'a/1.png' is in the zip twice" in refused(tmp_path, content)


def test_a_long_path_is_refused_in_short(tmp_path: Path) -> None:
    told = refused(tmp_path, with_entry("a/" + "x" * 1_000 + ".png"))

    assert "has a path of 1006 characters, and 400 are allowed: shorten it" in told


# ---- clumsy ----------------------------------------------------------------------------------------------------------


def examined(tmp_path: Path, content: dict[str, bytes] | bytes, **source: Any) -> tuple[Any, list[str]]:
    folder = store(tmp_path / "set", {"data.zip": content if isinstance(content, bytes) else packed(content)}, **source)
    info, notes = files.examine(folder)
    loaded = files.load(folder, "d")
    assert (loaded.digest, loaded.x.shape, loaded.class_names) == (
        info.digest,
        (info.rows, *info.shape),
        info.class_names,
    )
    return info, notes


def test_what_computers_leave_behind_is_not_data(tmp_path: Path) -> None:
    left = ["__MACOSX/a/._1.png", "a/.DS_Store", ".DS_Store", "b/Thumbs.db", "a/._1.png", "b/desktop.ini"]
    info, notes = examined(tmp_path, {**GOOD, **dict.fromkeys(left, b"?"), "a/": b""})

    assert (info.rows, info.class_names, notes) == (4, ("a", "b"), [])


@pytest.mark.parametrize("above", ["", "pets/", "my pets/all/"])
def test_folders_that_all_share_say_nothing_and_deeper_ones_neither(tmp_path: Path, above: str) -> None:
    info, _ = examined(
        tmp_path, {f"{above}{name}": DOT for name in ("a/1.png", "a/x/2.png", "b/x/1.png", "b/x/y/2.png")}
    )

    assert (info.class_names, info.class_counts) == (("a", "b"), (2, 2))


def test_parts_are_top_folders_or_zips(tmp_path: Path) -> None:
    parts = {f"{part}/{name}": DOT for part in ("train", "validation", "test") for name in GOOD}
    inside, _ = examined(tmp_path / "1", parts)
    folder = store(tmp_path / "2", {f"{part}.zip": packed(GOOD) for part in ("train", "validation", "test")})
    beside, _ = files.examine(folder)

    assert inside.parts == beside.parts == {"train": 4, "validation": 4, "test": 4}
    assert inside.class_counts == (2, 2)
    assert inside.digest == beside.digest
    assert {part: rows.tolist() for part, rows in (files.load(folder, "d").part_rows or {}).items()} == {
        "train": [0, 1, 2, 3],
        "validation": [4, 5, 6, 7],
        "test": [8, 9, 10, 11],
    }


@pytest.mark.parametrize("names", [("Train", "VAL", "Test"), ("training", "valid", "testing")])
def test_parts_are_known_by_their_other_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    info, _ = examined(tmp_path, {f"{part}/{name}": DOT for part in names for name in GOOD})

    assert (info.class_names, info.parts) == (("a", "b"), {"train": 4, "validation": 4, "test": 4})


def test_two_folders_of_one_parts_names_are_classes(tmp_path: Path) -> None:
    info, _ = examined(tmp_path, {f"{name}/{i}.png": DOT for name in ("valid", "val") for i in range(2)})

    assert (info.class_names, info.parts) == (("val", "valid"), None)


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    info, _ = examined(tmp_path, {f"{name}/{i}.png": DOT for name in ("train", "car") for i in range(2)})

    assert (info.class_names, info.parts) == (("car", "train"), None)


def test_classes_that_are_numbers_are_in_their_order(tmp_path: Path) -> None:
    info, _ = examined(tmp_path, {f"{name}/{i}.png": DOT for name in ("10", "9", "007") for i in range(2)})

    assert info.class_names == ("007", "9", "10")


@pytest.mark.parametrize("encoding", ["utf-8", "gbk"])
def test_names_in_chinese_are_read_also_where_the_zip_does_not_say_how(tmp_path: Path, encoding: str) -> None:
    placeholder = {f"{name}{n}/{i}.png": DOT for n, name in ((0, "xxxxxx"), (1, "xxxxxx")) for i in range(2)}
    content = packed(placeholder)
    for n, name in enumerate(("老虎", "狗狗")):
        raw = name.encode(encoding)
        content = content.replace(f"xxxxxx{n}/".encode(), raw.ljust(7, b"_") + b"/" if len(raw) < 7 else raw + b"/")
    info, _ = examined(tmp_path, content)

    assert {name.rstrip("_") for name in info.class_names} == {"老虎", "狗狗"}


def test_a_name_that_is_half_a_character_is_refused(tmp_path: Path) -> None:
    """As encodings with escapes give them; no such text can be written anywhere."""
    content = packed({f"xxxxxxx/{i}.png": DOT for i in (1, 2)} | GOOD)
    told = refused(tmp_path, content.replace(b"xxxxxxx/", b"\xe9\\ud800/"), encoding="unicode_escape")

    assert "has half a character, so its encoding is another: say which" in told


def test_labels_may_stand_in_a_table(tmp_path: Path) -> None:
    table = lines("file;label;who", "x/1.png;cat;me", "x/2.png;dog;me", "y/3.png;cat;me", "4.png;dog;me")
    content = {
        "all/labels.csv": table.encode(),
        **{f"all/{name}": DOT for name in ("x/1.png", "x/2.png", "y/3.png", "4.png")},
    }
    info, notes = examined(tmp_path, {**content, "all/5.png": DOT})

    assert (info.rows, info.class_names, info.class_counts) == (4, ("cat", "dog"), (2, 2))
    assert notes == [
        "1 files are not in labels.csv and are left out",
        "labels.csv also has who: a study may split by it (evaluation: group or time)",
    ]


@pytest.mark.parametrize(("in_table", "in_zip"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_are_the_same_in_a_table_and_beside_it(tmp_path: Path, in_table: Any, in_zip: Any) -> None:
    names = ("é1.png", "é2.png", "ü1.png", "ü2.png")
    table = lines("file,label", *(f"{unicodedata.normalize(in_table, name)},{name[1]}" for name in names))
    content = {unicodedata.normalize(in_zip, name): DOT for name in names}
    info, notes = examined(tmp_path, {"labels.csv": table.encode(), **content})

    assert (info.rows, info.class_counts, notes) == (4, (2, 2), [])


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("file,class\n1.png,a\n", ", row 1: it has the columns file, class: give it file and label"),
        ("file,label\n9.png,a\n", ", row 2: there is no file '9.png': mend the path"),
        ("file,label\n1.png,a\n1.png,b\n", ", row 3: '1.png' has another label above: leave one out"),
        ("file,label\n1.png,\n", ", row 2: there is no label: give one, or leave the row out"),
        ("file,label\n../1.png,a\n", ", row 2: there is no file '../1.png': mend the path"),
        ("", ": the file is empty: give a header and rows"),
        ("file,label,who\n1.png,a,me\n1.png,a,you\n", ", row 3: '1.png' has another who above: leave one out"),
        ("file,label,who,who\n1.png,a,me,you\n", ", row 1, column 'who': two columns have this name: rename one"),
        ("file,label,who\n1.png,a,Doe, Jo\n", ", row 2: 4 cells, and the header has 3: quote cells that hold ','"),
        ("file,label,who\n1.png,a,me\n2.png,b\n", ", row 3: 2 cells, and the header has 3: give it all of them"),
        (
            'file,label\n1.png,"two\nlines"\n9.png,"of\nthree\nlines"\n',
            ", row 4: there is no file '9.png': mend the path",
        ),
        ("file,label\n1.png,\\ud800\n", ", row 2: half a character: save it as UTF-8"),
        ("file,label,\\ud800\n1.png,a,b\n", ", row 1: half a character: save it as UTF-8"),
        ('file,label\n1.png,"' + "2.png,b\n" * 2**15, ", row 2: a quote in it is not closed: close it"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_by_row(tmp_path: Path, table: str, why: str) -> None:
    encoding = "unicode_escape" if "\\" in table else None
    told = refused(tmp_path, {"labels.csv": table.encode(), "1.png": DOT, "2.png": DOT}, encoding=encoding)

    assert f"data.zip, labels.csv{why}" in told


def test_a_label_may_be_long(tmp_path: Path) -> None:
    """Longer than the csv module reads unless it is told to; in a process of its own, as another test may have told it."""
    table = lines("file,label", f"1.png,{'a' * 140_000}", "2.png,b")
    content = {"labels.csv": table.encode(), "1.png": DOT, "2.png": DOT}
    folder = store(tmp_path / "set", {"data.zip": packed(content)}, task="structured")
    found = inspection.inspect(folder, "set", inspection.Limits(2**30, 2**32, 60, 0))

    assert (found.info.task, found.info.rows) == ("structured", 2)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({}, "there is no file in it: give files in folders named by class"),
        ({"1.png": DOT, "2.png": DOT}, "'1.png' is in no folder of a class: move it into a folder named by its class"),
        ({"a/1.png": DOT, "a/2.png": DOT}, "every file is of the class 'a': give files of another class, too"),
        ({**GOOD, "c/1.png": DOT}, "the class 'c' has one file, and needs two: leave it out, or give more"),
        (
            {f"train/{name}": DOT for name in GOOD} | {"test/c/1.png": DOT},
            "the class 'c' has no file of the training part, and needs two",
        ),
        (
            {f"{part}/{name}": DOT for name in GOOD for part in ("test", "validation")},
            "there is no folder train beside",
        ),
        ({**GOOD, "a/notes.txt": b"?"}, "'a/notes.txt' is not one of .png, .jpg"),
        ({**GOOD, "a/3.heic": b"?"}, "'a/3.heic' is not one of .png, .jpg"),
        ({**GOOD, "a/3.wav": b"?"}, "'a/3.wav' is not one of .png, .jpg"),
        ({"a/1.txt": b"?", "b/1.txt": b"?", "a/2.txt": b"?", "b/2.txt": b"?"}, "'a/1.txt' is neither an image (.png"),
        ({f"{i}/{j}.png": DOT for i in range(1_001) for j in range(2)}, "1001 classes are too many"),
    ],
)
def test_a_zip_from_which_nothing_can_be_learned_says_why(tmp_path: Path, content: dict[str, bytes], why: str) -> None:
    assert why in refused(tmp_path, content)


@pytest.mark.parametrize(
    "source", [{"target": "y"}, {"columns": {"a": "category"}}, {"split_column": "y"}, {"task": "regression"}]
)
def test_what_is_said_of_tables_is_not_for_zips(tmp_path: Path, source: dict[str, Any]) -> None:
    told = refused(tmp_path, GOOD, **source)

    assert (
        told == f"source.json: {next(iter(source))} is for tables, and a zip has its classes in folders: leave it out"
    )


@pytest.mark.parametrize("said", [{"image_size": 3}, {"image_size": 2000}, {"image_size": "64"}, {"sample_rate": 999}])
def test_a_size_out_of_bounds_is_refused(tmp_path: Path, said: dict[str, Any]) -> None:
    assert f"{next(iter(said))} is {next(iter(said.values()))!r}: use a whole number from" in refused(
        tmp_path, GOOD, **said
    )


def test_many_faults_are_told_at_once_and_come_to_an_end(tmp_path: Path) -> None:
    told = refused(tmp_path, {f"{name}/{i}.png": b"?" for name in "ab" for i in range(30)})

    assert told.count("cannot be used") == 20


def test_rows_that_are_many_live_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = store(tmp_path / "set", {"data.zip": packed(digits(100))})
    in_memory = files.load(folder, "d")
    monkeypatch.setattr(media, "IN_MEMORY_BYTES", 1_000)
    on_disk = files.load(folder, "d")

    assert isinstance(on_disk.x, np.memmap)
    assert (on_disk.x == in_memory.x).all()
    assert on_disk.digest == in_memory.digest
    assert sorted(path.name for path in folder.iterdir()) == ["data.zip", "source.json"]
    assert Image.fromarray(on_disk.x[0]).size == (8, 8)
