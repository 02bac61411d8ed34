"""Studies for tests: a small external one over two numbers, and a worker's moves in it without a worker."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Engine

from tuner import attempts, claims, studies
from tuner.domain.spec import StudySpec
from tuner.wire_attempts import PROTOCOL, ClaimedAttempt, CompleteBody, FailBody, ReportBody

SPACE = {"x": {"type": "float", "low": -1.0, "high": 1.0}, "n": {"type": "int", "low": 1, "high": 9}}


def external(**changes: Any) -> dict[str, Any]:
    """A study run by whoever claims it."""
    return {
        "name": f"study {uuid.uuid4().hex[:8]}",
        "trainer": "external",
        "objectives": [{"metric": "y", "direction": "minimize"}],
        "search_space": SPACE,
        "sampler": {"name": "random", "seed": 1},
        "budget": {"trials": 5},
    } | changes


def trained(**changes: Any) -> dict[str, Any]:
    """A study that workers train, and that ends with its final fit."""
    return {
        "name": f"study {uuid.uuid4().hex[:8]}",
        "dataset": "iris",
        "fixed": {"epochs": 5},
        "sampler": {"name": "random", "seed": 1},
        "budget": {"trials": 2},
    } | changes


def submit_trained(engine: Engine, **changes: Any) -> int:
    return studies.submit(engine, StudySpec.model_validate(trained(**changes)))


def submit(engine: Engine, **changes: Any) -> int:
    return studies.submit(engine, StudySpec.model_validate(external(**changes)))


def claim(
    engine: Engine,
    study_id: int | None = None,
    *,
    request_id: str | None = None,
    slots: int = 1,
    trainers: tuple[str, ...] = ("external",),
    protocol: int = PROTOCOL,
) -> list[ClaimedAttempt]:
    held = claims.claim(
        engine,
        worker_id="tester",
        request_id=request_id or uuid.uuid4().hex,
        slots=slots,
        trainers=trainers,
        study_id=study_id,
        protocol=protocol,
    )
    return held or []


def report(engine: Engine, attempt: ClaimedAttempt, step: int, y: float, **more: float) -> str:
    return attempts.report(engine, attempt.attempt_id, [ReportBody(step=step, metrics={"y": y, **more})]).decision


def complete(engine: Engine, attempt: ClaimedAttempt, y: float, **more: float) -> str:
    body = CompleteBody(metrics={"y": y, **more})
    return attempts.complete(engine, attempt.attempt_id, body).state


def fail(engine: Engine, attempt: ClaimedAttempt, reason: Any = "trainer-error") -> str:
    return attempts.fail(engine, attempt.attempt_id, FailBody(reason=reason, error="it broke")).state
