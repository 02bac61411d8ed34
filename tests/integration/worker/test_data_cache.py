"""A worker's data sets on disk: fetched over HTTP once, checked, waited for, bounded, never taken from under a trial."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pytest

from api.gate import Gate
from tests.claimed import attempt
from tests.serving import serving
from tuner import dataset_folder
from tuner.client import Client, ClientError
from tuner.wire_attempts import ClaimedAttempt
from tuner.worker import data_cache
from tuner.worker.data_cache import DataCache


class Counted:
    """An app that counts requests for files, and refuses so many of them."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.fetched = 0
        self.broken = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].endswith("/files"):
            self.fetched += 1
            if self.fetched <= self.broken:
                await send({"type": "http.response.start", "status": 503, "headers": []})
                await send({"type": "http.response.body", "body": b"{}"})
                return
        await self.app(scope, receive, send)


@pytest.fixture
def app(gate: Gate) -> Counted:
    return Counted(gate)


@pytest.fixture
def attempts(admin: Client, tmp_path: Path) -> list[ClaimedAttempt]:
    """Attempts of studies on three data sets."""
    store = tmp_path / "artifacts" / "datasets"
    made: list[ClaimedAttempt] = []
    for i in range(3):
        before = set(store.glob("*"))
        file = tmp_path / f"d{i}.csv"
        file.write_text("a,y\n" + "".join(f"{j + i / 10},{j % 2}\n" for j in range(20)))
        admin.upload_dataset(f"d {i}", data=file, target="y")
        (folder,) = set(store.glob("*")) - before
        made.append(attempt(dataset=f"d {i}@1", dataset_files=dataset_folder.files_digest(folder)))
    return made


def test_a_data_set_is_fetched_once_for_all_slots(
    app: Counted, worker: Client, attempts: list[ClaimedAttempt], tmp_path: Path
) -> None:
    cache = DataCache(worker, tmp_path / "cache")

    fetches = [cache.fetch(attempts[0]) for _ in range(4)]
    folders = {each.result(30) for each in fetches}

    assert len(folders) == 1
    assert app.fetched == 1
    (folder,) = folders
    assert sorted(file.name for file in folder.iterdir()) == ["about.json", "data.csv", "source.json"]
    assert dataset_folder.files_digest(folder) == attempts[0].dataset_files
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [folder.name]


def test_a_control_plane_that_is_away_is_waited_for(
    app: Counted, worker: Client, attempts: list[ClaimedAttempt], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_cache, "RETRY_S", 0.01)
    app.broken = 3

    folder = DataCache(worker, tmp_path / "cache").fetch(attempts[0]).result(30)

    assert folder.is_dir()
    assert app.fetched == 4


def test_whoever_gives_up_ends_the_waiting(
    tmp_path: Path, worker: Client, attempts: list[ClaimedAttempt], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_cache, "RETRY_S", 0.01)
    before = threading.active_count()
    with Client("http://127.0.0.1:9", worker.key) as nobody:
        waiting = DataCache(nobody, tmp_path / "cache").fetch(attempts[0])
        assert threading.active_count() > before
        assert waiting.cancel()
        for thread in threading.enumerate():
            if thread.name.endswith("(_fetch_until_done)"):
                thread.join(30)
                assert not thread.is_alive()


def test_what_is_refused_or_is_not_what_was_asked_for_is_told(
    worker: Client, attempts: list[ClaimedAttempt], tmp_path: Path
) -> None:
    cache = DataCache(worker, tmp_path / "cache")

    with pytest.raises(ClientError) as refused:
        cache.fetch(attempts[0].model_copy(update={"dataset": "d 0@7"})).result(30)
    assert refused.value.status == 404
    with pytest.raises(dataset_folder.BrokenFolderError):
        cache.fetch(attempts[0].model_copy(update={"dataset_files": attempts[1].dataset_files})).result(30)
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_least_recently_used_leaves_but_none_that_a_trial_uses(
    app: Counted, worker: Client, attempts: list[ClaimedAttempt], tmp_path: Path
) -> None:
    first, second, third = attempts
    cache = DataCache(worker, tmp_path / "cache", max_bytes=1)  # room for the one that was used last

    with cache.held(first.dataset_files):
        a, b = cache.fetch(first).result(30), cache.fetch(second).result(30)
        assert a.is_dir()
        c = cache.fetch(third).result(30)
        assert (a.is_dir(), b.is_dir(), c.is_dir()) == (True, False, True)
    b = cache.fetch(second).result(30)

    assert (a.is_dir(), b.is_dir(), c.is_dir()) == (False, True, False)
    assert app.fetched == 4


def test_a_download_that_breaks_off_is_no_data_set(
    worker: Client, attempts: list[ClaimedAttempt], tmp_path: Path
) -> None:
    """As a server that is killed in the middle looks from here: fewer bytes than it has promised."""
    tar = io.BytesIO()
    worker.download_dataset("d 0", 1, tar)
    whole = tar.getvalue()

    async def half(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            return
        head = [(b"content-length", str(len(whole)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": whole[: len(whole) // 2], "more_body": True})
        raise ConnectionAbortedError

    with serving(half) as broken, Client(broken, worker.key) as client, pytest.raises(ClientError) as error:
        DataCache(client, tmp_path / "cache")._fetch(attempts[0])
    assert error.value.status == 0
    assert list((tmp_path / "cache").iterdir()) == []
