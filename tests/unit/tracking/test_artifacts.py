from __future__ import annotations

from pathlib import Path

import pytest

from tuner.tracking.artifacts import Linking, of_model, of_run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "uploads" / "network.pt2"
    file.parent.mkdir()
    file.write_bytes(b"weights")
    return file


def test_a_file_is_linked_not_copied(tmp_path: Path, source: Path) -> None:
    Linking(tmp_path / "mlflow").put_file(of_model("1", "m-1", "artifacts/network.pt2"), source)

    assert (tmp_path / "mlflow/1/models/m-1/artifacts/artifacts/network.pt2").samefile(source)


def test_putting_a_file_again_changes_nothing(tmp_path: Path, source: Path) -> None:
    folder = Linking(tmp_path / "mlflow")
    for _ in range(2):
        folder.put_file("1/r/artifacts/f", source)

    assert [file.name for file in (tmp_path / "mlflow/1/r/artifacts").iterdir()] == ["f"]
    assert source.stat().st_nlink == 2


def test_a_file_of_other_content_in_its_place_is_replaced(tmp_path: Path, source: Path) -> None:
    place = tmp_path / "mlflow/1/r/artifacts/f"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"half")

    Linking(tmp_path / "mlflow").put_file("1/r/artifacts/f", source)

    assert place.read_bytes() == b"weights"


def test_bytes_replace_what_was_there_and_leave_no_draft(tmp_path: Path) -> None:
    folder = Linking(tmp_path / "mlflow")
    for data in (b"one", b"two"):
        folder.put_bytes(of_run("1", "r", "figures/roc.png"), data)

    files = [file for file in (tmp_path / "mlflow").rglob("*") if file.is_file()]
    assert files == [tmp_path / "mlflow/1/r/artifacts/figures/roc.png"]
    assert files[0].read_bytes() == b"two"


def test_no_path_leads_out_of_the_folder(tmp_path: Path, source: Path) -> None:
    with pytest.raises(ValueError, match="leads out"):
        Linking(tmp_path / "mlflow").put_file("1/../../etc/f", source)
