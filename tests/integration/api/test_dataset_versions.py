"""What `name@version` means for ever: numbers are given once, and lost files are told of and can be given back."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.uploading import folders, post, table

FILES = "/datasets/mine/versions/1/files"


def test_the_number_of_a_deleted_version_is_not_given_again(http: httpx.Client) -> None:
    def version(seed: int) -> int:
        made = post(http, "mine", table(seed=seed), target="y")
        assert made.status_code == 201, made.text
        number: int = made.json()["version"]
        return number

    assert [version(0), version(1)] == [1, 2]
    http.delete("/datasets/mine/versions/2").raise_for_status()
    assert version(2) == 3
    assert [each["version"] for each in http.get("/datasets/mine").json()["versions"]] == [3, 1]
    http.delete("/datasets/mine").raise_for_status()
    assert [version(0), version(1)] == [4, 5]
    assert post(http, "yours", table(), target="y").json()["version"] == 1


def _remove(folder: Path) -> None:
    shutil.rmtree(folder)


def _remove_a_file(folder: Path) -> None:
    (folder / "data.csv").unlink()


def _cut_a_file(folder: Path) -> None:
    (folder / "data.csv").write_text("a,b,y\n")


def _remove_what_was_found(folder: Path) -> None:
    (folder / "about.json").unlink()


def _remove_all(folder: Path) -> None:
    shutil.rmtree(folder.parents[1])


@pytest.mark.parametrize("lose", [_remove, _remove_a_file, _cut_a_file, _remove_what_was_found, _remove_all])
def test_lost_files_are_told_of_and_given_back_by_the_same_upload(
    http: httpx.Client, tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    post(http, "mine", table(), target="y").raise_for_status()
    whole = http.get(FILES).content
    lose(folders(tmp_path)[0])

    gone = http.get(FILES)

    assert (gone.status_code, gone.headers["content-type"]) == (410, "application/problem+json")
    assert gone.json()["type"] == "urn:tuner:problem:gone"
    assert "upload the same files once more" in gone.json()["detail"]
    assert http.get("/datasets/mine").status_code == 200

    again = post(http, "mine", table(), target="y")

    assert (again.status_code, again.json()["version"]) == (200, 1)
    assert http.get(FILES).content == whole
    assert len(folders(tmp_path)) == 1


def test_changed_files_are_replaced_by_the_same_upload(http: httpx.Client, tmp_path: Path) -> None:
    post(http, "mine", table(), target="y").raise_for_status()
    whole = http.get(FILES).content
    file = folders(tmp_path)[0] / "data.csv"
    file.write_text(file.read_text().replace("yes", "NOT"))

    threads = [threading.Thread(target=post, args=(http, "mine", table()), kwargs={"target": "y"}) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert http.get(FILES).content == whole
    assert len(folders(tmp_path)) == 1


def test_an_upload_that_is_refused_uses_up_no_number(http: httpx.Client) -> None:
    assert post(http, "mine", "nothing", target="y").status_code == 422
    assert post(http, "mine", table(), source=json.dumps({"target": "y"})).json()["version"] == 1
