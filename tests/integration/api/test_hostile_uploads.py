"""Tars as a hostile holder of a worker's key makes them: refused, nothing of them kept, nothing told of the disk."""

from __future__ import annotations

import io
import tarfile
import tempfile
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.studying import external
from tuner import uploads
from tuner.domain.errors import InvalidError, TooLargeError

ENOUGH = 100_000
KEPT = SimpleNamespace(keep=lambda: None)  # a lease that does not run out
END = bytes(2 * tarfile.BLOCKSIZE)


def header(name: str = "a", kind: bytes = tarfile.REGTYPE, size: int = 0) -> bytes:
    """One member's header, with whatever size."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def extended(**fields: str) -> bytes:
    """A header that changes what the next one says."""
    made: bytes = tarfile.TarInfo._create_pax_generic_header(fields, tarfile.XHDTYPE, "utf-8")
    return made


def sparse(size: int) -> bytes:
    """A small file that says it is a large one, mostly holes."""
    return extended(**{"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(size)}) + header()


FILE = header("kept.txt", size=4) + b"text".ljust(tarfile.BLOCKSIZE, b"\0")
HOSTILE = {
    "a size below 0, at which a reader turns round": header(size=-1024) + END,
    "the same, told by a header before": extended(size="-1024") + header() + END,
    "a header's own size below 0": header(kind=tarfile.XHDTYPE, size=-512) + header() + END,
    "a header of a megabyte": extended(comment="x" * 2**20) + FILE + END,
    "a name of a megabyte": header("././@LongLink", tarfile.GNUTYPE_LONGNAME, 2**20) + b"n" * 2**20 + FILE + END,
    "headers of headers": extended(comment="x") * 3_000 + FILE + END,
    "a header for all that follow": tarfile.TarInfo._create_pax_generic_header({"path": "../../evil"}, b"g", "utf-8")
    + FILE
    + END,
    "more bytes than there are": header(size=2**40) + END,
    "a hole of a terabyte": sparse(2**40) + END,
    "a link": header(kind=tarfile.SYMTYPE) + END,
    "thousands of folders": b"".join(header(f"d{i}", tarfile.DIRTYPE) for i in range(2_100)) + FILE + END,
    "thousands of files": b"".join(header(f"f{i}") for i in range(1_100)) + END,
    "one name twice": FILE + FILE + END,
    "a file that is a folder": header("a") + header("a/b") + END,
    "a path that climbs, by a header": extended(path="../../evil") + header() + END,
    "an escape sequence": extended(path="\x1b[2Jx") + header() + END,
    "a second line": header("x\r\nSet-Cookie: a=b") + END,
    "no character": header("x\udcff") + END,
}


@pytest.fixture
def attempt_id(http: httpx.Client) -> str:
    http.post("/studies", json=external())
    body = {"request_id": uuid.uuid4().hex, "worker_id": "w", "study_id": 1}
    return str(http.post("/claims", json=body).json()["attempts"][0]["attempt_id"])


def test_they_are_refused_whole(http: httpx.Client, attempt_id: str, tmp_path: Path) -> None:
    url = f"/attempts/{attempt_id}/artifacts"
    refused = {what: http.post(url, content=body) for what, body in HOSTILE.items()}

    assert {what: answer.status_code for what, answer in refused.items() if answer.status_code not in {413, 422}} == {}
    for answer in refused.values():
        assert str(tmp_path) not in answer.text
        assert attempt_id not in answer.text
    assert http.get("/studies/1/trials/0/artifacts").json()["items"] == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@given(st.data())
def test_a_tar_with_bytes_changed_is_taken_or_refused(data: Any) -> None:
    whole = bytearray(
        extended(path="é") + FILE + header("d", tarfile.DIRTYPE) + header("d/" + "n" * 120, size=3) + b"abc" + END
    )
    for at, byte in data.draw(st.dictionaries(st.integers(0, len(whole) - 1), st.integers(0, 255), max_size=4)).items():
        whole[at] = byte
    if data.draw(st.booleans()):
        _mend_checksums(whole)

    with tempfile.TemporaryDirectory() as folder:
        try:
            rows = uploads._unpack(io.BytesIO(bytes(whole)), Path(folder), ENOUGH, KEPT)
        except (InvalidError, TooLargeError):
            return
        assert sorted(row["path"] for row in rows) == sorted(
            str(file.relative_to(folder)) for file in Path(folder).rglob("*") if file.is_file()
        )


def _mend_checksums(whole: bytearray) -> None:
    """So that a changed header is read, and not only thrown away."""
    for start in range(0, len(whole) - tarfile.BLOCKSIZE, tarfile.BLOCKSIZE):
        block = whole[start : start + tarfile.BLOCKSIZE]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            whole[start + 148 : start + 156] = b"%06o\0 " % sum(block)


def test_the_name_of_a_file_does_not_write_headers(http: httpx.Client, attempt_id: str) -> None:
    name = 'a"; filename=evil; x="ü.txt'
    body = extended(path=name) + header(size=2) + b"ok".ljust(tarfile.BLOCKSIZE, b"\0") + END
    http.post(f"/attempts/{attempt_id}/artifacts", content=body).raise_for_status()

    answer = http.get(f"/studies/1/trials/0/artifacts/{name}")

    assert answer.content == b"ok"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment; filename*=utf-8''a%22%3B")
    assert answer.headers["x-content-type-options"] == "nosniff"
