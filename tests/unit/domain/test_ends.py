"""The words for each kind of end, the policies and their table in the docs."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tuner.domain import ends
from tuner.domain.ends import EndDetail, Memory
from tuner.domain.spec import Budget
from tuner.domain.states import POLICIES, TrialEnd, is_retried

DOCS = Path(__file__).parents[3] / "docs" / "endings.md"
ROW = re.compile(r"^\| `([a-z-]+)` \| ([a-z_ ]+) \| (yes|no) \| ([^|]+) \|", re.MULTILINE)


def test_every_kind_has_a_policy_and_the_docs_show_it() -> None:
    assert set(POLICIES) == set(TrialEnd)
    shown = {
        name: (retried, counts == "yes", why.strip()) for name, retried, counts, why in ROW.findall(DOCS.read_text())
    }
    assert shown == {str(reason): tuple(policy) for reason, policy in POLICIES.items()}


@pytest.mark.parametrize(
    ("reason", "used", "alike", "by_kernel", "retried"),
    [
        (TrialEnd.LOST, 1, 1, False, True),
        (TrialEnd.LOST, 3, 3, False, False),
        (TrialEnd.DEVICE_FATAL, 2, 1, False, True),
        (TrialEnd.OUT_OF_MEMORY, 1, 1, True, True),
        (TrialEnd.OUT_OF_MEMORY, 2, 2, True, False),
        (TrialEnd.OUT_OF_MEMORY, 3, 1, True, False),
        (TrialEnd.OUT_OF_MEMORY, 1, 1, False, False),
        (TrialEnd.TRAINER_ERROR, 1, 1, False, False),
        (TrialEnd.RELEASED, 9, 9, False, True),
    ],
)
def test_policies_decide(reason: TrialEnd, *, used: int, alike: int, by_kernel: bool, retried: bool) -> None:
    assert is_retried(reason, used=used, max_attempts=3, alike=alike, by_kernel=by_kernel) is retried


@pytest.mark.parametrize(
    ("reason", "detail", "error", "expected"),
    [
        ("complete", EndDetail(), None, "complete"),
        (
            "complete",
            EndDetail(memory=Memory(where="device", batch_size=64, micro_batch=16)),
            None,
            "complete; batches of 64 went in pieces of at most 16 rows, as memory ran out",
        ),
        (
            "pruned",
            EndDetail(step=3, metric="y", value=9.0, threshold=1.0, rule="above it"),
            None,
            "pruned at step 3, y 9: above it",
        ),
        ("pruned", EndDetail(step=2, metric="y", rule="NaN is bad"), None, "pruned at step 2, y NaN: NaN is bad"),
        (
            "non-finite",
            EndDetail(step=4, metric="val/loss"),
            "x",
            "non-finite: val/loss became NaN or infinite at step 4",
        ),
        (
            "out-of-memory",
            EndDetail(memory=Memory(where="device", peak_bytes=3 * 2**30, batch_size=8, micro_batch=1)),
            "x",
            "out-of-memory on the device, peak 3.0 GiB, even with one row at once; a smaller network needs less",
        ),
        (
            "out-of-memory",
            EndDetail(memory=Memory(where="host", peak_bytes=2**20)),
            "x",
            "out-of-memory on the host, peak 1 MiB; a smaller batch_size or network needs less",
        ),
        (
            "out-of-memory",
            EndDetail(memory=Memory(where="host", killed=True)),
            "x",
            "out-of-memory: the kernel killed the training process; fewer slots or a smaller network need less",
        ),
        (
            "lost",
            EndDetail(worker="gpu-1", last_heartbeat=datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)),
            "x",
            "lost: worker gpu-1 was last heard of at 2026-03-01 12:00:05Z",
        ),
        ("timeout", EndDetail(limit_minutes=60), "x", "timeout: not done within 60 min (limits.trial_minutes)"),
        (
            "no-progress",
            EndDetail(limit_minutes=0.5),
            "x",
            "no-progress: no report for 0.5 min (limits.no_progress_minutes)",
        ),
        ("trainer-error", EndDetail(), "KeyError: 'x'\nTraceback …", "trainer-error: KeyError: 'x'"),
        ("cancelled", EndDetail(), None, "cancelled"),
    ],
)
def test_an_end_in_one_line(reason: str, detail: EndDetail, error: str | None, expected: str) -> None:
    assert ends.line(reason, detail, error) == expected


def test_a_line_is_bounded_and_one_line() -> None:
    line = ends.line("trainer-error", EndDetail(), "x" * 5000 + "\nmore")

    assert len(line) == ends.MAX_TEXT
    assert "\n" not in line


def test_details_are_stored_without_what_they_do_not_have() -> None:
    detail = EndDetail(step=1, memory=Memory(where="host", micro_batch=4))

    assert ends.stored(detail) == '{"step":1,"memory":{"where":"host","micro_batch":4}}'
    assert ends.read(ends.stored(detail)) == detail
    assert ends.stored(EndDetail()) is None
    assert ends.read(None) == EndDetail()


@pytest.mark.parametrize(
    ("budget", "failures"),
    [
        ({"trials": 5}, 10),
        ({"trials": 2000}, 200),
        ({"hours": 1}, 10),
        ({"trials": 2000, "max_failures": 3}, 3),
        ({"trials": 5, "max_failures": None}, None),
    ],
)
def test_failures_are_bounded_unless_said_otherwise(budget: dict[str, object], failures: int | None) -> None:
    given = Budget.model_validate(budget)

    assert given.max_failures == failures
    assert Budget.model_validate_json(given.model_dump_json()).max_failures == failures
