"""Data sets over REST: streamed in, read under limits, kept once, listed, fetched, refused with row and column, deleted."""

from __future__ import annotations

import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from api.app import rest_app
from api.gate import Gate
from tests.serving import serving
from tests.uploading import folders, post, table
from tuner import dataset_folder, keys
from tuner.client import Client, ClientError
from tuner.settings import Settings

ADMIN, WORKER = "admin-key-for-this-test-only", "worker-key-for-this-test-only"


def test_an_uploaded_table_is_shown_listed_and_used(http: httpx.Client, tmp_path: Path) -> None:
    answer = post(http, "mine", table(), target="y")

    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["version"], made["rows"], made["features"], made["classes"]) == (1, 60, 2, 2)
    assert [(column["name"], column["kind"]) for column in made["columns"]] == [("a", "number"), ("b", "number")]
    assert {each["name"] for each in made["class_rows"]} == {"no", "yes"}
    assert sum(each["rows"] for each in made["class_rows"]) == 60
    assert made["source"] == {"target": "y"}
    assert answer.headers["location"] == "/api/v1/datasets/mine/versions/1"
    assert http.get(answer.headers["location"].removeprefix("/api/v1")).json() == made
    assert http.get("/datasets/mine").json() == made

    study = {"name": "s", "dataset": "mine", "budget": {"trials": 2}}
    resolved = http.post("/studies", params={"dry_run": True}, json=study).json()
    assert resolved["spec"]["dataset"] == "mine@1"
    assert resolved["facts"]["dataset"]["columns"] == {"a": "number", "b": "number"}
    assert resolved["facts"]["dataset"]["classes"] == ["no", "yes"]


def test_the_same_files_and_source_are_the_same_version(http: httpx.Client, tmp_path: Path) -> None:
    first = post(http, "mine", table(), target="y")
    again = post(http, "mine", table(), source=json.dumps({"target": "y"}))
    other = post(http, "mine", table(seed=1), target="y")
    back = post(http, "mine", table(), target="y")
    elsewhere = post(http, "yours", table(), target="y")

    assert [each.status_code for each in (first, again, other, back, elsewhere)] == [201, 200, 201, 200, 201]
    assert [each.json()["version"] for each in (first, again, other, back, elsewhere)] == [1, 1, 2, 1, 1]
    assert first.json()["digest"] == elsewhere.json()["digest"] != other.json()["digest"]
    assert [each["version"] for each in http.get("/datasets/mine").json()["versions"]] == [2, 1]
    assert len(folders(tmp_path)) == 3


def test_the_same_uploaded_at_once_is_one_version(http: httpx.Client, tmp_path: Path) -> None:
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda: answers.append(post(http, "mine", table(), target="y"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(each.status_code for each in answers) == [200, 200, 200, 201]
    assert {each.json()["version"] for each in answers} == {1}
    assert len(folders(tmp_path)) == 1


def test_a_list_goes_page_by_page_to_the_built_in_ones(http: httpx.Client) -> None:
    for name in ("one", "two", "three"):
        post(http, name, table(), target="y")
    post(http, "one", table(seed=1), target="y")

    names: list[str] = []
    cursor: str | None = None
    while True:
        page = http.get("/datasets", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        names += [f"{each['name']}@{each['version']}" for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert names == [
        *("one@2", "three@1", "two@1"),
        *("digits@1", "breast_cancer@1", "wine@1", "iris@1", "diabetes@1"),
    ]
    assert http.get("/datasets/iris").json()["class_rows"] == [
        {"name": name, "rows": 50} for name in ("setosa", "versicolor", "virginica")
    ]


@pytest.mark.parametrize(
    ("name", "fields", "files", "pointer", "cure"),
    [
        ("iris", {"target": "y"}, {"data": ("d.csv", table())}, "/name", "built in"),
        ("a/b", {"target": "y"}, {"data": ("d.csv", table())}, "/name", "letters"),
        ("a@1", {"target": "y"}, {"data": ("d.csv", table())}, "/name", "letters"),
        ("d", {"target": "y"}, {"data": ("d.xlsx", table())}, "/data", "convert it"),
        ("d", {"target": "y"}, {"data": ("csv", table())}, "/data", "convert it"),
        ("d", {"target": "y"}, {"csv": ("d.csv", table())}, "/csv", "rename the part"),
        ("d", {}, {"target": (None, "y")}, "", "no file"),
        ("d", {"target": "y"}, {"train": ("d.csv", table())}, "/train", "with validation or test"),
        ("d", {"target": "y"}, {"test": ("d.csv", table())}, "/train", "with validation or test"),
        ("d", {"target": "y"}, {"data": ("d.csv", table()), "test": ("d.csv", table())}, "/data", "choose one"),
        ("d", {"target": "y", "colour": "red"}, {"data": ("d.csv", table())}, "/colour", "there is no such field"),
        ("d", {"target": "y", "task": "clustering"}, {"data": ("d.csv", table())}, "/task", "classification"),
        ("d", {"target": "y", "columns": '{"a": "text"}'}, {"data": ("d.csv", table())}, "/columns/a", "number"),
        ("d", {"source": "{"}, {"data": ("d.csv", table())}, "/source", "JSON"),
        ("d", {"data": "d.csv"}, {"train": ("d.csv", table())}, "/data", "=@FILE"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused_with_pointer_and_cure(
    http: httpx.Client,
    tmp_path: Path,
    name: str,
    fields: dict[str, str],
    files: dict[str, Any],
    pointer: str,
    cure: str,
) -> None:
    answer = http.post("/datasets", params={"name": name}, files=files, data=fields)

    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = {each["pointer"]: each["detail"] for each in answer.json()["errors"]}
    assert cure in found[pointer], found
    assert folders(tmp_path) == []


def test_what_is_wrong_in_a_file_is_told_with_row_and_column(http: httpx.Client, tmp_path: Path) -> None:
    broken = table().replace("\n", "\n1.0,oops,yes\n", 1)
    answer = post(http, "mine", broken, source=json.dumps({"target": "y", "columns": {"b": "number"}}))

    assert answer.status_code == 422
    fault = answer.json()["errors"][0]
    assert (fault["pointer"], fault["row"], fault["column"]) == ("/data", 2, "b")
    assert fault["detail"].startswith("row 2, column 'b': ")
    missing = post(http, "mine", table(), target="price")
    assert missing.status_code == 422
    assert "price" in missing.json()["detail"]
    assert "a" in missing.json()["detail"]
    assert folders(tmp_path) == []


def test_a_body_that_is_no_whole_form_is_refused(http: httpx.Client, tmp_path: Path) -> None:
    form = {"Content-Type": "multipart/form-data; boundary=xyz"}
    head = b'--xyz\r\nContent-Disposition: form-data; name="data"; filename="d.csv"\r\n\r\n'
    for body, headers in (
        (b"{}", {"Content-Type": "application/json"}),
        (b"nonsense", form),
        (head + table().encode(), form),
        (b"", {}),
    ):
        answer = http.post("/datasets", params={"name": "d"}, content=body, headers=headers)
        assert answer.status_code == 422, answer.text
    assert http.post("/datasets", files={"data": ("d.csv", table())}).json()["errors"][0]["pointer"] == "/name"
    assert folders(tmp_path) == []


# ---- limits ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(engine: Engine, tmp_path: Path) -> Iterator[httpx.Client]:
    """A service with little room: 1 MB uploads, too little memory to read anything."""
    settings = Settings(data=tmp_path, max_upload_mb=1, inspect_memory_mb=64)
    ring = keys.ring(admin_key=ADMIN, worker_key=WORKER)
    with serving(Gate(rest_app(settings, engine), ring=ring, port=1, max_body_bytes=10_000)) as url:
        headers = {"Authorization": f"Bearer {ADMIN}"}
        with httpx.Client(base_url=f"{url}/api/v1", headers=headers, trust_env=False, timeout=60) as client:
            yield client


def test_too_large_an_upload_is_refused_while_it_comes(small: httpx.Client, tmp_path: Path) -> None:
    answer = post(small, "large", b"a,y\n" + b"1,2\n" * 300_000, target="y")

    assert answer.status_code == 413
    assert "TUNER_MAX_UPLOAD_MB" in answer.json()["detail"]
    assert folders(tmp_path) == []


def test_the_client_hears_of_a_limit_that_it_runs_into_while_it_sends(small: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "large.csv").write_bytes(b"a,y\n" + b"1,2\n" * 10_000_000)
    with Client(str(small.base_url.join("/")), ADMIN) as client, pytest.raises(ClientError) as refused:
        client.upload_dataset("large", data=tmp_path / "large.csv", target="y")

    assert (refused.value.status, refused.value.type) == (413, "too-large")
    assert folders(tmp_path) == []


def test_a_file_that_needs_more_memory_than_allowed_is_refused(small: httpx.Client, tmp_path: Path) -> None:
    answer = post(small, "hungry", table(), target="y")

    assert answer.status_code == 422
    assert "TUNER_INSPECT_MEMORY_MB" in answer.json()["detail"]
    assert folders(tmp_path) == []


def test_a_file_that_takes_longer_than_allowed_is_refused(engine: Engine, tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, inspect_s=1)
    ring = keys.ring(admin_key=ADMIN, worker_key=WORKER)
    with serving(Gate(rest_app(settings, engine), ring=ring, port=1, max_body_bytes=10_000)) as url:
        headers = {"Authorization": f"Bearer {ADMIN}"}
        with httpx.Client(base_url=f"{url}/api/v1", headers=headers, trust_env=False, timeout=120) as http:
            answer = post(http, "slow", "a,y\n" + "1.5,2\n" * 8_000_000, target="y")

    assert answer.status_code == 422
    assert "1 s" in answer.json()["detail"]
    assert folders(tmp_path) == []


def test_others_are_answered_while_a_data_set_comes_in(http: httpx.Client) -> None:
    """Their answers come between two chunks of one upload that is not finished before they have come."""

    def slowly() -> Iterator[bytes]:
        yield b'--xyz\r\nContent-Disposition: form-data; name="data"; filename="d.csv"\r\n\r\n'
        for line in table().splitlines(keepends=True):
            assert http.get("/datasets").status_code == 200
            yield line.encode()
        yield b'\r\n--xyz\r\nContent-Disposition: form-data; name="target"\r\n\r\ny\r\n--xyz--\r\n'

    headers = {"Content-Type": "multipart/form-data; boundary=xyz"}
    answer = http.post("/datasets", params={"name": "slow"}, content=slowly(), headers=headers)

    assert (answer.status_code, answer.json()["rows"]) == (201, 60)


# ---- files, deletion -------------------------------------------------------------------------------------------------


def test_a_workers_key_fetches_files_and_nothing_else(http: httpx.Client, tmp_path: Path) -> None:
    post(http, "mine", table(), target="y")
    as_worker = {"Authorization": f"Bearer {WORKER}"}

    fetched = http.get("/datasets/mine/versions/1/files", headers=as_worker)

    assert fetched.status_code == 200
    with tarfile.open(fileobj=io.BytesIO(fetched.content)) as tar:
        assert sorted(tar.getnames()) == ["about.json", "data.csv", "source.json"]
        data = tar.extractfile("data.csv")
        assert data is not None
        assert data.read().decode() == table()
    (tmp_path / "copy").mkdir()
    digest = dataset_folder.files_digest(folders(tmp_path)[0])
    dataset_folder.unpack(io.BytesIO(fetched.content), tmp_path / "copy", digest)
    (tmp_path / "other").mkdir()
    with pytest.raises(dataset_folder.BrokenFolderError):
        dataset_folder.unpack(io.BytesIO(fetched.content[:2000]), tmp_path / "other", digest)

    assert http.get("/datasets/mine/versions/2/files", headers=as_worker).status_code == 404
    assert http.get("/datasets", headers=as_worker).status_code == 403
    assert http.delete("/datasets/mine", headers=as_worker).status_code == 403
    assert post(http, "x", table(), target="y").status_code == 201
    assert http.post("/datasets?name=x", headers=as_worker).status_code == 403


def test_a_data_set_that_a_study_uses_stays(http: httpx.Client, tmp_path: Path) -> None:
    post(http, "mine", table(), target="y")
    post(http, "mine", table(seed=1), target="y")
    study = http.post("/studies", json={"name": "s", "dataset": "mine@1", "budget": {"trials": 2}}).json()

    for path in ("/datasets/mine", "/datasets/mine/versions/1"):
        refused = http.delete(path)
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:tuner:problem:in-use")
        assert "'s'" in refused.json()["detail"]
    assert http.delete("/datasets/mine/versions/2").status_code == 204
    assert http.get("/datasets/mine/versions/2").status_code == 404
    assert len(folders(tmp_path)) == 1

    http.post(f"/studies/{study['id']}/cancel")
    assert http.delete("/datasets/mine").status_code == 409
    http.delete(f"/studies/{study['id']}")
    assert http.delete("/datasets/mine").status_code == 204
    assert http.get("/datasets/mine").status_code == 404
    assert folders(tmp_path) == []
    assert http.delete("/datasets/iris").status_code == 422


def test_a_study_of_a_data_set_that_is_not_there_learns_which_are(http: httpx.Client) -> None:
    post(http, "mine", table(), target="y")
    for dataset, cure in (
        ("mnist", "choose one of mine, breast_cancer"),
        ("mine@2", "choose one of mine"),
        ("mine@", "choose one of mine"),
        ("mine@²", "choose one of mine"),
        ("iris@2", "choose one of mine"),
        (None, "name a data set: mine"),
    ):
        answer = http.post("/studies", json={"name": "s", "dataset": dataset, "budget": {"trials": 2}})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/dataset"
        assert cure in answer.json()["errors"][0]["detail"]


def test_more_folds_than_the_smallest_class_has_rows_are_refused(http: httpx.Client) -> None:
    rows = ["a,y", *(f"{i},{'rare' if i < 6 else 'common'}" for i in range(60))]
    post(http, "lopsided", "\n".join(rows), target="y")
    study = {"name": "s", "dataset": "lopsided", "budget": {"trials": 2}}

    refused = http.post("/studies", json={**study, "evaluation": {"folds": 7, "test": 0.0}})

    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/evaluation/folds"
    assert http.post("/studies", json={**study, "evaluation": {"folds": 6, "test": 0.0}}).status_code == 201


def test_the_process_that_reads_files_knows_no_secret(
    http: httpx.Client, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret in the server's environment is not in the reader's, which prints its own as a note."""
    reader = tmp_path / "reader"
    (reader / "trainers" / "data").mkdir(parents=True)
    found = tmp_path / "environment.json"
    (reader / "sitecustomize.py").write_text(
        f"import json, os, sys\nopen({str(found)!r}, 'w').write(json.dumps(dict(os.environ)))\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{reader}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("TUNER_DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")

    assert post(http, "mine", table(), target="y").status_code == 201

    environment = json.loads(found.read_text())
    assert not {name for name in environment if name.startswith(("TUNER_", "MLFLOW_"))}
    with engine.begin() as connection:
        assert connection.execute(text("select count(*) from tuner.datasets")).scalar_one() == 1
