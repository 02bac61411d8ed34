"""A stranger's tar, read member by member: plain files, folders, and the small headers that long names need.

Owns what kinds of members are looked at at all. The standard library reads headers of any size into memory, follows headers
of headers until the stack ends, and goes round in circles over negative sizes.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO

MAX_MEMBERS = 2_000  # folders included
MAX_HEADER_BYTES = 2**16  # of a long name
ACCEPTED = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME})
HEADERS = frozenset({tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME})


class _PlainMember(tarfile.TarInfo):
    """Checked before anything is read that it tells to read; `_proc_member` is what subclasses may override."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type not in ACCEPTED:
            raise tarfile.ReadError(f"{self.name[:100]!r} is neither a file nor a folder: leave it out")
        if self.size < 0 or (self.type in HEADERS and self.size > MAX_HEADER_BYTES):
            raise tarfile.ReadError("a header has a size that no tar of ours has")
        member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]  # typeshed does not know it
        if member.size < 0 or archive.offset <= self.offset:
            raise tarfile.ReadError("a member has a size below 0")
        return member


def opened(file: IO[bytes]) -> tarfile.TarFile:
    """The tar, uncompressed.

    Raises:
        TarError: it is none.
        RecursionError: a header of a header of a header, and so on.
    """
    return tarfile.open(fileobj=file, mode="r:", tarinfo=_PlainMember)


def members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """One member after the other.

    Raises:
        TarError: one of another kind, too many, or no whole tar.
        RecursionError: a header of a header of a header, and so on.
    """
    for count, member in enumerate(archive):
        if count >= MAX_MEMBERS:
            raise tarfile.ReadError(f"more than {MAX_MEMBERS} files and folders: pack fewer")
        yield member
