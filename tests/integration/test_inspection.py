"""What ends the process that reads a stranger's file is told apart: its limits, the file, a mistake of ours."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.unit.trainers.stored import store
from tests.uploading import folders, post, table
from tuner import inspection
from tuner.domain.errors import InvalidError
from tuner.inspection import Limits
from tuner.settings import Settings

ENOUGH = Limits(upload_bytes=2**30, memory_bytes=4 * 2**30, time_s=60, min_free_bytes=0)
LITTLE = Limits(upload_bytes=2**30, memory_bytes=2**30, time_s=60, min_free_bytes=0)


def refusal(folder: Path, limits: Limits) -> str:
    with pytest.raises(InvalidError) as error:
        inspection.inspect(folder, "d", limits)
    return error.value.detail


def bomb() -> bytes:
    """1.2 GB of zeros in a megabyte."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        y = io.BytesIO()
        np.save(y, np.arange(12_000) % 2)
        archive.writestr("y.npy", y.getvalue())
        with archive.open("x.npy", "w", force_zip64=True) as x:
            header = {"descr": "|u1", "fortran_order": False, "shape": (12_000, 320, 320)}
            np.lib.format.write_array_header_1_0(x, header)
            for _ in range(12_000):
                x.write(bytes(320 * 320))
    return made.getvalue()


def test_a_file_that_unpacks_to_more_than_there_is_memory_for_is_too_large(tmp_path: Path) -> None:
    folder = store(tmp_path / "npz", {"data.npz": bomb()})
    assert "too large to read: it has 1024 MB of memory" in refusal(folder, LITTLE)

    folder = store(tmp_path / "parquet", {}, target="y")
    column = pa.array(np.zeros(2_000_000)).dictionary_encode()
    with parquet.ParquetWriter(folder / "data.parquet", pa.schema({"a": column.type, "y": column.type})) as writer:
        for _ in range(60):
            writer.write_table(pa.table({"a": column, "y": column}))
    assert (folder / "data.parquet").stat().st_size < 2**20
    assert "too large to read: it has 1024 MB of memory" in refusal(folder, LITTLE)


def test_a_file_that_takes_too_long_is_too_slow(tmp_path: Path) -> None:
    folder = store(tmp_path / "set", {"data.csv": "a,y\n" + "1.5,2\n" * 8_000_000}, target="y")

    limits = Limits(upload_bytes=2**30, memory_bytes=4 * 2**30, time_s=1, min_free_bytes=0)
    assert "too slow to read: it has 1 s" in refusal(folder, limits)


def test_a_mistake_of_ours_is_not_the_files(tmp_path: Path) -> None:
    folder = store(tmp_path / "set", {"data.csv": table()}, target="y")
    (folder / "source.json").write_text("{")  # we write it

    with pytest.raises(inspection.ReaderError, match="JSONDecodeError"):
        inspection.inspect(folder, "d", ENOUGH)


@pytest.mark.parametrize(
    ("death", "status", "said"),
    [
        ("sys.modules['pyarrow'] = None", 500, "the server's log tells more under request id"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 422, "what reads it has died of it (SIGSEGV): it is damaged, or"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 422, "TUNER_INSPECT_MEMORY_MB"),  # as the kernel does without memory
        ("os.kill(os.getpid(), signal.SIGXCPU)", 422, "TUNER_INSPECT_S"),
        ("sys.stdout.write('x' * 2**25)", 500, "the server's log tells more under request id"),
    ],
)
def test_what_it_dies_of_is_answered_by_kind(
    http: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, death: str, status: int, said: str
) -> None:
    """Python runs `sitecustomize` before the reader, in the reader's process alone."""
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "sitecustomize.py").write_text(f"import os, signal, sys\n{death}\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'before'}:{os.environ.get('PYTHONPATH', '')}")

    answer = post(http, "mine", table(), target="y")

    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]
    assert len(answer.json()["request_id"]) > 8
    assert folders(tmp_path) == []


def test_it_has_half_the_machines_memory_at_most() -> None:
    machine_mb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20

    assert Settings().inspect_memory_mb == min(8192, machine_mb // 2)
    assert Settings(inspect_memory_mb=100).inspect_memory_mb == 100
