"""Profiles over REST and in the terminal: made at the upload, or when first asked for, and gone with their data set."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import Engine, text

from tests.uploading import post, table
from tuner import show_datasets
from tuner.client import Client
from tuner.inspection import PREVIEW


def leaky() -> str:
    """A table whose column c is the target, and whose rows are numbered."""
    lines = table().splitlines()
    return "\n".join([f"{lines[0]},c", *(f"{line},{'p' if 'yes' in line else 'q'}" for line in lines[1:])]) + "\n"


def count(engine: Engine) -> int:
    with engine.begin() as connection:
        return int(connection.execute(text("select count(*) from tuner.dataset_profiles")).scalar_one())


def test_a_profile_is_made_at_the_upload_kept_and_deleted_with_its_data_set(http: httpx.Client, engine: Engine) -> None:
    made = post(http, "mine", leaky(), target="y").json()
    assert count(engine) == 1

    seen = http.get(made["links"]["profile"].removeprefix("/api/v1"))

    assert seen.status_code == 200, seen.text
    body = seen.json()
    assert (body["name"], body["version"], body["rows"], body["kind"]) == ("mine", 1, 60, "tabular")
    assert [column["name"] for column in body["columns"]] == ["a", "b", "c"]
    # the target is the sign of a, but for a little noise
    assert {(each["what"], each["column"]) for each in body["findings"]} == {("tells-target", name) for name in "ac"}
    assert http.get("/datasets/mine/profile").json() == body
    assert http.delete("/datasets/mine").status_code == 204
    assert count(engine) == 0
    assert http.get("/datasets/mine/profile").status_code == 404


def test_one_that_was_uploaded_before_there_were_profiles_is_looked_at_once(
    http: httpx.Client, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(http, "mine", leaky(), target="y")
    at_upload = http.get("/datasets/mine/profile").json()
    with engine.begin() as connection:
        connection.execute(text("delete from tuner.dataset_profiles"))

    assert http.get("/datasets/mine/versions/1/profile").json() == at_upload
    assert count(engine) == 1
    monkeypatch.setattr("tuner.inspection.PREVIEW", f"{PREVIEW}.gone")  # so that nobody can look again
    assert http.get("/datasets/mine/versions/1/profile").json() == at_upload


def test_a_built_in_set_has_one_and_what_is_not_there_has_none(http: httpx.Client) -> None:
    seen = http.get("/datasets/digits/profile").json()

    assert (seen["kind"], seen["rows"], len(seen["classes"])) == ("image", 1797, 10)
    assert (seen["images"]["height"], seen["images"]["width"], seen["images"]["high"]) == (8, 8, 16.0)
    assert http.get("/datasets/nothing/profile").status_code == 404
    assert http.get("/datasets/digits/versions/2/profile").status_code == 404


def test_the_terminal_shows_ranges_and_what_to_look_at(
    http: httpx.Client, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    post(http, "mine", leaky(), target="y")

    show_datasets.one(client.dataset("mine"), client.dataset_profile("mine"))

    shown = capsys.readouterr().out
    assert "look: c alone tells the target" in shown
    assert " … " in next(line for line in shown.splitlines() if line.startswith("a "))
