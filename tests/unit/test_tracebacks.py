"""Message first, the user's frames from the innermost out, bounded, without secrets."""

from __future__ import annotations

from collections.abc import Callable

from tuner.tracebacks import MAX_FRAMES, MAX_TEXT, told


def caught(function: Callable[[], object]) -> str:
    try:
        function()
    except Exception as error:
        return told(error, "my-own-key")
    raise AssertionError("it should raise")


def inner() -> None:
    raise KeyError("no such layer")


def outer() -> None:
    inner()


def test_the_message_comes_first_and_then_the_frame_that_raised() -> None:
    lines = caught(outer).splitlines()

    assert lines[0] == "KeyError: 'no such layer'"
    assert [line.rpartition(" in ")[2] for line in lines if line.startswith("  File")] == ["inner", "outer", "caught"]
    assert lines[3].strip() == 'raise KeyError("no such layer")'


def test_what_led_to_it_is_told_too() -> None:
    def wrap() -> None:
        try:
            inner()
        except KeyError as error:
            raise ValueError("no network") from error

    text = caught(wrap)

    assert text.startswith("ValueError: no network\n")
    assert "\nafter this: KeyError: 'no such layer'\n" in text


def test_it_is_bounded() -> None:
    def deep(n: int) -> None:
        if n == 0:
            raise ValueError("x" * 100_000)
        deep(n - 1)

    text = caught(lambda: deep(200))

    assert len(text) <= MAX_TEXT
    assert text.count("  File ") == MAX_FRAMES
    assert text.endswith("frames further out")


def test_the_services_own_frames_are_left_out() -> None:
    """A trainer that raises is called by `tuner.worker`: its user sees their own code alone."""
    text = caught(lambda: _through_the_worker(inner))

    assert "inner" in text
    assert "/tuner/worker/" not in text


def _through_the_worker(call: Callable[[], None]) -> None:
    from tuner.worker import meter  # noqa: PLC0415 - any module of the worker's that calls back

    class Device:
        @property
        def name(self) -> str:
            call()
            return "cpu"

    meter.Meter(1, Device())  # type: ignore[arg-type]  # only its name is looked at


def test_no_secret_is_in_it() -> None:
    def leak() -> None:
        raise ConnectionError("postgresql://me:hunter2@db/x refused my-own-key and tuner-worker-0123456789abcdefgh")

    text = caught(leak)

    assert text.splitlines()[0] == "ConnectionError: postgresql://… refused … and tuner-worker-…"
