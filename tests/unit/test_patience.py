"""What is asked again and what is not, how long it waits between, and what people are told."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tuner import patience
from tuner.client import Client, ClientError


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it waited, which it does not here."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


def answering(*errors: ClientError) -> Callable[[], str]:
    left = list(errors)

    def ask() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return ask


def test_what_may_pass_is_asked_again_and_told_once(pauses: list[float]) -> None:
    told: list[str] = []
    errors = [ClientError(f"status {status}", status=status) for status in (0, 429, 502, 503, 504)]

    assert patience.until_answered(answering(*errors), told.append) == "answer"

    assert told == ["status 0 (waiting: it goes on by itself)", "the control plane is back"]
    assert pauses == [patience.PAUSE_S] * 5


def test_an_answer_at_once_says_nothing(pauses: list[float]) -> None:
    told: list[str] = []
    assert patience.until_answered(answering(), told.append) == "answer"
    assert (told, pauses) == ([], [])


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500])
def test_a_refusal_is_an_answer(pauses: list[float], status: int) -> None:
    with pytest.raises(ClientError, match="no"):
        patience.until_answered(answering(ClientError("no", status=status)), print)
    assert pauses == []


def test_it_waits_as_long_as_the_control_plane_says(pauses: list[float]) -> None:
    busy = ClientError("busy", status=429, retry_after_s=7.0)
    patience.until_answered(answering(busy, ClientError("away")), print)
    assert pauses == [7.0, patience.PAUSE_S]


class _Busy(BaseHTTPRequestHandler):
    """Answers the first two requests by 429 and 503, and says after how many seconds to come back."""

    asked_s: list[float]

    def do_GET(self) -> None:
        self.asked_s.append(time.monotonic())
        status = (429, 503, 200)[min(len(self.asked_s), 3) - 1]
        self.send_response(status)
        if status != 200:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(b'{"trainers": [], "broken": []}' if status == 200 else b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def busy() -> Iterator[tuple[str, list[float]]]:
    """The address of a server that is busy at first, and when it was asked."""
    handler = type("Handler", (_Busy,), {"asked_s": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler.asked_s  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_client_comes_back_no_sooner_than_it_was_told(busy: tuple[str, list[float]]) -> None:
    url, asked_s = busy
    with Client(url, "key") as client:
        client._wire.send("GET", "/trainers")

    assert len(asked_s) == 3
    assert all(after - before >= 1.0 for before, after in itertools.pairwise(asked_s))


def test_the_client_gives_the_word_on_where_it_has_no_time(busy: tuple[str, list[float]]) -> None:
    url, asked_s = busy
    with Client(url, "key", retry_for_s=0.5) as client, pytest.raises(ClientError) as refused:
        client.trainers()

    assert (refused.value.status, refused.value.retry_after_s, len(asked_s)) == (429, 1.0, 1)
