"""Zip files of strangers: which files they hold, each judged by the zip's own list before a byte of it is unpacked; stdlib only.

Owns the bounds. A file is read into memory, one at a time, and is never written anywhere by the name that the zip gives it.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trainers.data import texts
from trainers.data.faults import MOST_TOLD, Fault, FaultsError, short

MOST_FILES = 200_000
LARGEST_FILE_BYTES = 2**27
LARGEST_TOTAL_BYTES = 2**36
HIGHEST_RATIO = 200  # of unpacked to packed bytes; photographs and speech have 1 to 3, drawings some tens
JUDGED_BYTES = 2**20  # a smaller file may have any ratio
LONGEST_PATH = 400  # characters
IGNORED_FOLDERS = {"__MACOSX", "@eaDir"}
IGNORED_FILES = {"thumbs.db", "desktop.ini"}  # and whatever begins with a dot
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
UTF8_FLAG, ENCRYPTED_FLAG = 0x800, 0x1

PACK_ANEW = "pack the folder anew, as a plain zip"


@dataclass(frozen=True)
class Member:
    """A file in a zip.

    Attributes:
        path: folders and name.
        entry: the zip's own word on it.
    """

    path: tuple[str, ...]
    entry: zipfile.ZipInfo

    @property
    def name(self) -> str:
        """As people are told it."""
        return "/".join(self.path)

    @property
    def extension(self) -> str:
        """In lower case with its dot, or empty."""
        return Path(self.path[-1]).suffix.lower()


class Zip:
    """An open zip that was looked through.

    Attributes:
        file: its name, for faults.
        members: its files in the order of their paths, without those that computers leave behind.
    """

    def __init__(self, file: str, archive: zipfile.ZipFile, members: list[Member]) -> None:
        self.file = file
        self.members = members
        self._archive = archive

    def fault(self, member: Member, detail: str) -> Fault:
        """A fault of one of its files."""
        return Fault(file=self.file, detail=f"{short(member.name)!r} {detail}")

    def read(self, member: Member) -> bytes:
        """A file's bytes.

        Raises:
            FaultsError: it is damaged, or another than the zip's list says.
        """
        try:
            with self._archive.open(member.entry) as opened:
                content = opened.read(member.entry.file_size + 1)  # no more than it said, whatever follows
        except MemoryError:
            raise
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            detail = f"cannot be unpacked ({short(str(error))}): {PACK_ANEW}"
            raise FaultsError(self.fault(member, detail)) from None
        if len(content) != member.entry.file_size:
            raise FaultsError(self.fault(member, f"has another size than the zip says: {PACK_ANEW}"))
        return content


@contextmanager
def opened(path: Path, encoding: str | None = None) -> Iterator[Zip]:
    """Opens a zip and looks through its list.

    Args:
        path: of the zip.
        encoding: of names that are no UTF-8, as zips of old Windows have them; None: found out.

    Raises:
        FaultsError: it is none, or holds what no honest one does.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        detail = f"it is no zip file ({short(str(error))}): {PACK_ANEW}"
        raise FaultsError(Fault(file=path.name, detail=detail)) from None
    with archive:
        yield Zip(path.name, archive, _members(path, archive.infolist(), encoding))


def _members(path: Path, entries: list[zipfile.ZipInfo], encoding: str | None) -> list[Member]:
    _refuse_too_much(path, entries)
    members: dict[tuple[str, ...], Member] = {}
    faults: list[Fault] = []
    for entry in entries:
        name = _name(entry, encoding)
        parts = tuple(part for part in name.split("/") if part not in {"", "."})
        why = _why_refused(entry, name, parts)
        if not why and (entry.is_dir() or _is_left_behind(parts)):
            continue
        if not why and parts in members:
            why = f"is in the zip twice: {PACK_ANEW}"
        if why:
            told = short(name).encode(errors="backslashreplace").decode()
            faults.append(Fault(file=path.name, detail=f"{told!r} {why}"))
        members[parts] = Member(parts, entry)
        if len(faults) == MOST_TOLD:
            break
    if faults:
        raise FaultsError(*faults)
    return [members[parts] for parts in sorted(members)]


def _refuse_too_much(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Refuses a zip for the sums over its list."""
    unpacked, packed, size = sum(each.file_size for each in entries), sum(each.compress_size for each in entries), 0
    size = path.stat().st_size
    why = None
    if len(entries) > MOST_FILES:
        why = f"it holds {len(entries)} files, and {MOST_FILES} are allowed: leave some out"
    elif packed > size:
        why = f"its files overlap, as no honest zip's do: {PACK_ANEW}"
    elif unpacked > LARGEST_TOTAL_BYTES:
        why = (
            f"it unpacks to {unpacked / 2**30:.0f} GiB, and {LARGEST_TOTAL_BYTES // 2**30} are allowed: leave files out"
        )
    elif unpacked > max(100 * JUDGED_BYTES, HIGHEST_RATIO * size):
        why = f"it unpacks to {unpacked / size:.0f} times its size, and {HIGHEST_RATIO} are allowed: leave files out"
    if why:
        raise FaultsError(Fault(file=path.name, detail=why))


def _name(entry: zipfile.ZipInfo, encoding: str | None) -> str:
    """The path as its owner wrote it: what is not said to be UTF-8 is often GBK, or UTF-8 all the same."""
    if entry.flag_bits & UTF8_FLAG or entry.filename.isascii():
        return entry.filename
    raw = entry.orig_filename.encode("cp437", "replace")  # as zipfile has decoded it
    try:
        return raw.decode(encoding or texts.likely_encoding(raw)).partition("\0")[0]
    except (UnicodeError, LookupError):
        return entry.filename


def _why_refused(entry: zipfile.ZipInfo, name: str, parts: tuple[str, ...]) -> str | None:
    """What no file of an honest zip is, or None."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if why := _why_path_refused(entry, name, parts):
        return why
    if kind == stat.S_IFLNK:
        return "is a link: put the file itself into the zip"
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return "is neither a file nor a folder: leave it out"
    if entry.flag_bits & ENCRYPTED_FLAG:
        return "is encrypted: pack it anew without a password"
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        return "is compressed otherwise than zips usually are: pack it anew by deflate"
    if entry.file_size > LARGEST_FILE_BYTES:
        return f"has {entry.file_size / 2**20:.0f} MB, and {LARGEST_FILE_BYTES // 2**20} are allowed: make it smaller"
    if entry.file_size > max(JUDGED_BYTES, HIGHEST_RATIO * entry.compress_size):
        return f"unpacks to more than {HIGHEST_RATIO} times its size: leave it out, or save it in a compressed format"
    if name.lower().endswith(ARCHIVES):
        return "is an archive within the zip: unpack it first"
    return None


def _why_path_refused(entry: zipfile.ZipInfo, name: str, parts: tuple[str, ...]) -> str | None:
    """What the path of no file of an honest zip is, or None."""
    if name.startswith(("/", "\\")) or name[1:2] == ":" or ".." in parts or "\\" in name or "\0" in entry.orig_filename:
        return f"is no path within the zip: {PACK_ANEW}, with paths that lead down only"
    if any("\ud800" <= character <= "\udfff" for character in name):
        return "has half a character, so its encoding is another: say which, or pack it anew with names in UTF-8"
    if len(name) > LONGEST_PATH:
        return f"has a path of {len(name)} characters, and {LONGEST_PATH} are allowed: shorten it"
    return None


def _is_left_behind(parts: tuple[str, ...]) -> bool:
    """Whether a computer has put it there, and not its owner."""
    if not parts:
        return True
    return (
        bool(IGNORED_FOLDERS & {*parts})
        or any(part.startswith(".") for part in parts)
        or parts[-1].lower() in IGNORED_FILES
    )
