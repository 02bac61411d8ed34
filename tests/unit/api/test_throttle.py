"""Wrong keys: counted by address, forgotten with time, and never the matter of whoever has the right one."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from api import throttle
from api.gate import Gate
from api.throttle import Throttle
from tests.serving import serving
from tests.unit.api.test_gate import ADMIN, WORKER, bearer, inner
from tuner import keys


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_then_so_many_a_minute() -> None:
    clock = Clock()
    wrong_keys = Throttle(per_minute=10, burst=3, now_s=clock)

    assert [wrong_keys.take("a") for _ in range(3)] == [0, 0, 0]
    assert wrong_keys.take("a") == pytest.approx(6)
    assert wrong_keys.take("b") == 0
    clock.now_s = 5.9
    assert wrong_keys.take("a") == pytest.approx(0.1)
    clock.now_s = 6.1
    assert wrong_keys.take("a") == 0
    assert wrong_keys.take("a") > 0
    clock.now_s = 3600
    assert [wrong_keys.take("a") > 0 for _ in range(4)] == [False, False, False, True]


def test_a_network_of_version_6_is_one_address_and_two_are_two() -> None:
    wrong_keys = Throttle(burst=1)

    assert wrong_keys.take("2001:db8::1") == 0
    assert wrong_keys.take("2001:db8::ffff:2%eth0") > 0
    assert wrong_keys.take("2001:db8:0:1::1") == 0
    assert wrong_keys.take("::ffff:192.0.2.1") == 0
    assert wrong_keys.take("192.0.2.1") > 0
    assert wrong_keys.take("unknown") == 0


def test_memory_is_bounded_and_the_busiest_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MAX_ADDRESSES", 5)
    wrong_keys = Throttle(burst=1)
    wrong_keys.take("guesser")

    for i in range(100):
        wrong_keys.take(f"192.0.2.{i}")
        assert wrong_keys.take("guesser") > 0

    assert len(wrong_keys._buckets) == 5


@pytest.fixture
def url() -> Iterator[str]:
    ring = keys.ring(admin_key=ADMIN, worker_key=WORKER)
    with serving(Gate(inner, ring=ring, port=1, max_body_bytes=1000, throttle=Throttle(1, 3))) as address:
        yield address


def test_a_guesser_is_told_to_wait_and_the_right_key_always_comes_in(url: str) -> None:
    with httpx.Client(base_url=url, trust_env=False) as http:
        answers = [http.get("/x", headers=bearer(f"guess {i}")) for i in range(5)]

        assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
        assert answers[-1].headers["content-type"] == "application/problem+json"
        assert answers[-1].json()["type"] == "urn:tuner:problem:too-many-wrong-keys"
        assert 0 < int(answers[-1].headers["retry-after"]) <= 60
        for right in (ADMIN, WORKER):
            assert http.post("/api/v1/claims", headers=bearer(right)).status_code == 200
        assert http.get("/x").status_code == 401  # no key is no guess
        assert http.get("/login", params={"key": "guess"}).status_code == 429
        assert http.post("/login", data={"key": "guess"}).status_code == 429
        assert http.post("/login", data={"key": ADMIN}).status_code == 303
        assert http.get("/x").status_code == 200


def test_no_key_and_a_session_that_is_over_are_no_guesses(url: str) -> None:
    with httpx.Client(base_url=url, trust_env=False) as http:
        for _ in range(10):
            assert http.get("/x").status_code == 401
            assert http.get("/x", headers={"Cookie": "tuner_session_1=1.abc"}).status_code == 401
        assert http.get("/x", headers=bearer("guess")).status_code == 401
